"""`amulet list`: what can be chosen."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.errors import UsageError, alike
from amulet_cli.base.flags import CommandLine, rows
from amulet_cli.config.arguments import CONFIG_DIR, user_folder
from amulet_cli.config.schema import ADDED, CHOICES


def command_line() -> CommandLine:
    """Groups."""
    return CommandLine(
        f"""
        amulet list [group ...]

        Shows the options of each group, or of those named, with the risk each belongs to and its source.

        Groups:
        {rows(CHOICES)}

        Options:
        {CONFIG_DIR}
        --json  for a program to read

        Examples:
        amulet list attack  all attacks
        amulet run attack=model_extraction --cfg job -p attack  an option's settings
        """,
        words=tuple(CHOICES),
    )


@dataclass(frozen=True)
class Option:
    """One option of one group."""

    group: str
    name: str
    line: str = ""
    source: str = ""
    risk: str = ""
    stage: str = ""
    file: str = ""

    @property
    def choice(self) -> str:
        """What to type."""
        return f"{'+' if self.group in ADDED else ''}{self.group}={self.name}"


def main(words: list[str]) -> int:
    """Print the options as tables or as JSON."""
    from amulet_cli.base.console import out

    groups, asked = command_line().parse(words)
    folder = asked.get("--config-dir")
    options = find(user_folder(folder) if folder else None)
    groups = _checked(groups, options)
    options = [option for option in options if not groups or option.group in groups]
    if "--json" in asked:
        rows = [{**asdict(option), "choice": option.choice} for option in options]
        out.print(json.dumps(rows, indent=2, ensure_ascii=False), soft_wrap=True, markup=False)
        return 0
    for group in dict.fromkeys(option.group for option in options):
        _show([option for option in options if option.group == group])
    out.print(
        "[dim]Choose with[/] [cyan]amulet run group=option[/][dim]; its settings:[/] "
        "[cyan]amulet run group=option --cfg job -p group[/]",
        soft_wrap=True,
    )
    return 0


def find(config_dir: Path | None = None) -> list[Option]:
    """Every option, ours and then those in a user's folder, without importing what they name."""
    from amulet_cli.config.hydra_setup import conf_dir

    folders = [conf_dir(), *([config_dir] if config_dir else [])]
    there = (p.name for folder in folders for p in sorted(folder.iterdir()) if p.is_dir() and p.name != "hydra")
    groups = list(dict.fromkeys([*CHOICES, *there]))
    found = [_read(group, file) for group in groups for folder in folders for file in _files(folder / group)]
    return sorted(
        found, key=lambda option: (groups.index(option.group), option.name not in ("none", "default"), option.name)
    )


def _files(folder: Path) -> Iterator[Path]:
    yield from sorted(folder.glob("**/*.yaml"))


def _read(group: str, file: Path) -> Option:
    import yaml

    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise UsageError(f"`{file}` cannot be read: {error}") from error
    about = _about(content if isinstance(content, dict) else {})
    known = {key: str(about[key]) for key in ("line", "source", "risk", "stage") if about.get(key)}
    name = file.relative_to(_folder_of(file, group)).with_suffix("").as_posix()
    return Option(group, name, **known, file=str(file))


def _folder_of(file: Path, group: str) -> Path:
    return next(parent for parent in file.parents if parent.name == group)


def _about(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `about` of an option; a metric has its own one level down, beside its risk."""
    for node in (content, *content.values()):
        if isinstance(node, Mapping):
            about = cast(Mapping[str, Any], node).get("about")
            if isinstance(about, Mapping):
                risk = cast(Mapping[str, Any], node).get("risk")
                return {**({"risk": risk} if isinstance(risk, str) else {}), **cast(Mapping[str, Any], about)}
    return {}


def _show(options: list[Option]) -> None:
    from rich.table import Table
    from rich.text import Text

    from amulet_cli.base.console import out

    out.print(Text(options[0].choice.partition("=")[0], style="bold"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for option in options:
        table.add_row(f"  {option.name}", Text(option.line))
        if belongs := _belongs(option):
            table.add_row("", Text(belongs, style="dim"))
    out.print(table)
    out.print()


def _belongs(option: Option) -> str:
    """Risk, stage and source in one line."""
    risk = f"against {option.risk}" if option.group == "defense" and option.risk else option.risk
    stage = {"in": "in training", "before": "before training", "after": "after training"}.get(option.stage, "")
    # A metric is named after its risk more often than not.
    return " · ".join(
        part
        for part in ("" if option.group == "metric" and risk == option.name else risk, stage, option.source)
        if part
    )


def _checked(groups: list[str], options: list[Option]) -> list[str]:
    """The groups that are asked for; second_defense has the options of defense."""
    groups = ["defense" if group == "second_defense" else group for group in groups]
    known = list(dict.fromkeys([*CHOICES, *(option.group for option in options)]))
    for group in groups:
        if group not in known:
            plural = [name for name in known if alike(group, [name, f"{name}s"])]
            raise UsageError(
                f"there is no group `{group}`",
                expected=", ".join(known),
                meant=[f"amulet list {name}" for name in plural],
            )
    return groups
