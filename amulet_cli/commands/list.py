"""`amulet list`: what can be chosen."""

from dataclasses import asdict

from rich.table import Table
from rich.text import Text

from amulet.assessment.risks import RISKS
from amulet.core.risk import code_order
from amulet_cli.base import format_numbers
from amulet_cli.base.console import out, print_json
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.flags import CommandLine, rows
from amulet_cli.config.arguments import CONFIG_DIR, user_folder
from amulet_cli.config.options import Option, find_options
from amulet_cli.config.schema import CHOICES

_MANY = 50  # options that are only counted unless their group is asked for
_BY_RISK = ("attack", "defense")


def command_line() -> CommandLine:
    """Groups."""
    return CommandLine(
        f"""
        amulet list [group ...]

        Without a group the names of all options. With one or more, what each of their options is, the risk it belongs
        to, its source, and the installed package that brings it where that is not Amulet.

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


def main(words: list[str]) -> int:
    """Print the options as tables or as JSON."""
    groups, asked = command_line().parse(words)
    folder = asked.get("--config-dir")
    options = find_options(user_folder(folder) if folder else None)
    groups = _checked(groups, options)
    options = [option for option in options if not groups or option.group in groups]
    if "--json" in asked:
        print_json([{**asdict(option), "choice": option.choice} for option in options])
        return 0
    for group in dict.fromkeys(option.group for option in options):
        its = [option for option in options if option.group == group]
        (_show if groups else _names)(its)
    if not groups:
        out.print("[dim]What the options of a group are:[/] [cyan]amulet list attack[/]", soft_wrap=True)
    out.print(
        "[dim]Choose with[/] [cyan]amulet run group=option[/][dim]; its settings:[/] "
        "[cyan]amulet run group=option --cfg job -p group[/]",
        soft_wrap=True,
    )
    return 0


def _names(options: list[Option]) -> None:
    """The names of a group's options, attacks and defences by risk; of many options their number."""
    group, key = options[0].group, options[0].choice.partition("=")[0]
    heading = Text(f"{key}=", style="bold")
    if group in CHOICES:
        heading.append(f"  {CHOICES[group]}", style="not bold dim")
    out.print(heading)
    named = [option for option in options if "/" not in option.name]  # parts of others have a folder of their own
    if len(named) > _MANY:
        out.print(f"  {format_numbers.plural(len(named), 'option')}: [cyan]amulet list {group}[/]\n")
        return
    by_risk: dict[str, list[str]] = {}
    for option in named:
        code = RISKS[option.risk].code if group in _BY_RISK and option.risk in RISKS else ""
        by_risk.setdefault(code, []).append(option.name)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for code in sorted(by_risk, key=lambda code: code_order(code) if code else (-1, "", 0)):
        table.add_row(f"  {code}" if len(by_risk) > 1 else "", Text(", ".join(by_risk[code])))
    out.print(table)
    out.print()


def _show(options: list[Option]) -> None:
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
    """Risk, stage and source in one line, and the package that brings it where that is not Amulet."""
    risk = f"against {option.risk}" if option.group == "defense" and option.risk else option.risk
    stage = {"in": "in training", "before": "before training", "after": "after training"}.get(option.stage, "")
    # A metric is named after its risk more often than not.
    return " · ".join(
        part
        for part in (
            "" if option.group == "metric" and risk == option.name else risk,
            stage,
            option.source,
            option.origin and f"from {option.origin}",
        )
        if part
    )


def _checked(groups: list[str], options: list[Option]) -> list[str]:
    """The groups that are asked for; second_defense has the options of defense."""
    groups = ["defense" if group == "second_defense" else group for group in groups]
    known = list(dict.fromkeys([*CHOICES, *(option.group for option in options)]))
    for group in groups:
        if group not in known:
            plural = [name for name in known if similar(group, [name, f"{name}s"])]
            raise UsageError(
                f"there is no group `{group}`",
                expected=", ".join(known),
                meant=[f"amulet list {name}" for name in plural],
            )
    return groups
