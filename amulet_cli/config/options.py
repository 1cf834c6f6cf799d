"""What can be chosen: every option of every group, Amulet's own, those of plug-ins and a user's."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from amulet_cli.config.hydra_setup import OptionFolder, option_folders
from amulet_cli.config.option_files import read_option
from amulet_cli.config.schema import ADDED, CHOICES

SUITE = "amulet.assessment.suite.Suite"


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
    suite: bool = False
    """Of `attack`: whether it stands for several."""
    origin: str = ""
    """The distribution that brings it, or the name of the user's folder; empty for Amulet's own."""

    @property
    def choice(self) -> str:
        """What to type."""
        return f"{'+' if self.group in ADDED else ''}{self.group}={self.name}"


def find_options(config_dir: Path | None = None) -> list[Option]:
    """Every option, sorted by group and name, without importing what they name."""
    folders = option_folders(config_dir)
    there = (p.name for folder in folders for p in sorted(folder.path.iterdir()) if p.is_dir() and p.name != "hydra")
    groups = list(dict.fromkeys([*CHOICES, *there]))
    found = [
        _read(group, file, folder)
        for group in groups
        for folder in folders
        for file in sorted((folder.path / group).glob("**/*.yaml"))
    ]
    return sorted(
        found, key=lambda option: (groups.index(option.group), option.name not in ("none", "default"), option.name)
    )


def names_of(group: str, config_dir: Path | None = None) -> list[str]:
    """The options of one group but `none`."""
    return [o.name for o in find_options(config_dir) if o.group == group and o.name != "none"]


def is_suite(node: Any) -> bool:
    """Whether this is the node of `attack` that describes a suite, or those of all risks."""
    if not hasattr(node, "get"):
        return False
    target = cast(Mapping[str, Any], node).get("_target_")
    return target == SUITE or (target is None and "strength" in node)


def _read(group: str, file: Path, folder: OptionFolder) -> Option:
    content = read_option(file)
    about = _about(cast(dict[str, Any], content) if isinstance(content, dict) else {})
    known = {key: str(about[key]) for key in ("line", "source", "risk", "stage") if about.get(key)}
    name = file.relative_to(folder.path / group).with_suffix("").as_posix()
    suite = group == "attack" and is_suite(content)
    return Option(group, name, **known, file=str(file), suite=suite, origin=folder.origin)


def _about(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `about` of an option; a metric has its own one level down, beside its risk."""
    for node in (content, *content.values()):
        if isinstance(node, Mapping):
            about = cast(Mapping[str, Any], node).get("about")
            if isinstance(about, Mapping):
                risk = cast(Mapping[str, Any], node).get("risk")
                return {**({"risk": risk} if isinstance(risk, str) else {}), **cast(Mapping[str, Any], about)}
    return {}
