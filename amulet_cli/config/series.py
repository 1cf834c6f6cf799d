"""Experiments that are a series of others: `+experiment=table7` is one sweep per data set, one after the other."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import is_file
from amulet_cli.config.arguments import EXPERIMENT, QUICK, Arguments
from amulet_cli.config.hydra_setup import option_folders
from amulet_cli.config.option_files import read_option


def parts(arguments: Arguments) -> list[Arguments]:
    """The parts of a command: itself, or each member of the series that it names, in order.

    Raises:
        UsageError: a series is swept over together with other experiments.
    """
    words = [word for word in arguments.overrides if word.startswith(EXPERIMENT)]
    names = words[-1].removeprefix(EXPERIMENT).split(",") if words else []
    members = {name: _members(name, arguments.config_dir) for name in names}
    if not any(members.values()):
        return [arguments]
    if len(names) > 1:
        raise UsageError(
            f"`{words[-1]}` sweeps over a series, which is several sweeps itself",
            expected=f"one of them, or the experiments in it: {', '.join(members[names[0]] or names)}",
        )
    return [_with(arguments, names[0], member) for member in members[names[0]]]


def _members(name: str, config_dir: Path | None, within: tuple[str, ...] = ()) -> list[str]:
    """The experiments that a series lists; none if it is an experiment of its own, or no file."""
    if name in within:
        raise UsageError(f"the series `{name}` contains itself", where=" -> ".join((*within, name)))
    for folder in option_folders(config_dir):
        file = folder.path / "experiment" / f"{name}.yaml"
        if not is_file(file):
            continue
        try:
            content: Any = read_option(file)
        except UsageError:
            return []  # composing reports the error
        listed: Any = cast(dict[str, Any], content).get("series", []) if isinstance(content, dict) else []
        if not isinstance(listed, list) or not all(isinstance(member, str) for member in cast(list[Any], listed)):
            raise UsageError(f"`series` must list experiments, got {listed!r}", where=str(file))
        return list(_flat(cast(list[str], listed), config_dir, (*within, name)))
    return []


def _flat(listed: Sequence[str], config_dir: Path | None, within: tuple[str, ...]) -> Iterator[str]:
    """A series may name another one."""
    for member in listed:
        yield from _members(member, config_dir, within) or [member]


def _with(arguments: Arguments, series: str, member: str) -> Arguments:
    changes = {f"{EXPERIMENT}{series}": f"{EXPERIMENT}{member}", f"{QUICK}/{series}": f"{QUICK}/{member}"}
    words = (changes.get(word, word) for word in arguments.overrides)
    return dataclasses.replace(arguments, overrides=tuple(words))
