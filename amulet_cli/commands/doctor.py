"""`amulet doctor`: what this machine has, what is wrong with it, and what to do."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from rich.text import Text

from amulet_cli.base.console import aligned, hanging, out, print_json
from amulet_cli.base.errors import FAILURE, UsageError
from amulet_cli.base.flags import FOLDERS, CommandLine
from amulet_cli.base.format_numbers import plural, size

if TYPE_CHECKING:
    from amulet_cli.execution.machine import Machine

_BYTES = ("total", "available", "used", "free", "memory")
"""Facts that are sizes."""


def command_line() -> CommandLine:
    """The output folder."""
    return CommandLine(
        """
        amulet doctor [FOLDER]

        Shows what runs on this machine depend on: versions, the processor and what it is fast at, threads, memory,
        GPUs, the sizes and free space of results, trained models and data, installed extras and plug-ins. It ends in
        the problems it found, each with what to do. FOLDER is where results go, by default outputs.

        Options:
        --store DIR  where trained models are kept, by default FOLDER/models
        --json       for a program to read, or to add to a report of an error

        Examples:
        amulet doctor  is everything in order?
        amulet doctor --json  the same for a program

        Exit code: 0 in order, 1 a problem was found, 2 the command is wrong.
        """,
        words=(FOLDERS,),
    )


def main(words: list[str]) -> int:
    """Look, then say what there is."""
    from amulet_cli.execution.machine import examined

    folders, asked = command_line().parse(words)
    if len(folders) > 1:
        raise UsageError(f"`amulet doctor` takes one folder, got {len(folders)}", try_="amulet doctor --help")
    folder = Path(folders[0] if folders else "outputs")
    machine = examined(folder, Path(asked["--store"]) if "--store" in asked else folder / "models")
    if "--json" in asked:
        print_json({**machine.facts, "problems": [asdict(problem) for problem in machine.problems]})
    else:
        _show(machine)
    return FAILURE if machine.problems else 0


def _show(machine: "Machine") -> None:
    for section, facts in machine.facts.items():
        out.print(Text(section, style="bold"))
        rows = [[Text(f"  {name}"), Text(text)] for name, text in _rows(facts)]
        out.print(aligned(rows or [[Text("  none"), Text("")]], [20, 0]))
    out.print()
    for problem in machine.problems:
        out.print(hanging("problem  ", problem.what, "bold yellow"))
        out.print(hanging("         ", problem.do))
    if machine.problems:
        out.print(Text(f"{plural(len(machine.problems), 'problem')} found.", style="yellow"))
    else:
        out.print(Text("No problem found.", style="green"))


def _rows(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            inner = cast(Mapping[str, Any], value)
            yield name, ", ".join(filter(None, (_said(key, one) for key, one in inner.items())))
        elif value is not None:
            yield name, size(value) if name in _BYTES else str(value)


def _said(name: str, value: Any) -> str:
    """A fact within a line.

    >>> _said("free", 2_500_000_000), _said("writable", False), _said("missing", ["ray"]), _said("name", "H200")
    ('2.5 GB free', 'not writable', 'missing: ray', 'H200')
    """
    if isinstance(value, bool):
        return name if value else f"not {name}"
    if isinstance(value, list):
        return f"{name}: {', '.join(map(str, cast(list[Any], value)))}" if value else ""
    if name in _BYTES:
        return "" if value is None else f"{size(value)} {name}"
    return str(value) if name in ("name", "path") else f"{name.replace('_', ' ')} {value}"
