"""The two consoles, and the parts of every view."""

import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_NO_TERMINAL = 120  # columns if the width is unknown
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


class Unwritable(Exception):
    """Standard output takes nothing any more: the disk is full."""


class _Output(Console):
    """A console that knows that nobody may be reading."""

    def print(self, *args: Any, **kwargs: Any) -> None:
        """As rich's; but what nobody can read on standard error is no error.

        Raises:
            BrokenPipeError: the reader of standard output has left.
            Unwritable: standard output is full.
        """
        try:
            super().print(*args, **kwargs)
        except BrokenPipeError:
            if not self.stderr:
                raise
            self.quiet = True  # a run is not lost with the reader of its progress
        except OSError as error:
            if not self.stderr:
                raise Unwritable(error.strerror) from error
            self.quiet = True

    def on_broken_pipe(self) -> None:
        """Leave to `print` what rich ends the process for."""
        raise  # noqa: PLE0704 - rich calls this while it handles the error


def steady() -> None:
    """Make the standard streams take everything: one that is closed nothing, one that lacks a sign its number."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None or stream.closed:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123 - as long as the process
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def abandon(descriptor: int) -> None:
    """Send what is still on its way to a stream that takes nothing any more to nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _console(*, stderr: bool) -> Console:
    """Width and colour from the terminal, COLUMNS and NO_COLOR; otherwise no colour, and a width for tables."""
    return _Output(stderr=stderr, highlight=False, emoji=False, width=None if _knows_width() else _NO_TERMINAL)


def _knows_width() -> bool:
    if os.environ.get("COLUMNS", "").isdigit():
        return True
    for stream in (0, 1, 2):
        with suppress(OSError, ValueError):
            os.get_terminal_size(stream)
            return True
    return False


out = _console(stderr=False)
"""For results: tables, lists."""
err = _console(stderr=True)
"""For everything else: progress, notes, errors."""


@contextmanager
def silent(*, asked: bool) -> Iterator[None]:
    """If asked, nothing is printed on standard output inside the block."""
    before, out.quiet = out.quiet, asked or out.quiet
    try:
        yield
    finally:
        out.quiet = before


def print_json(value: Any) -> None:
    """A value for a program to read, on standard output; numbers that are not finite are null."""
    from amulet_cli.base.serialize import plain  # with its YAML, which no page of help needs

    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    out.print(text, soft_wrap=True, markup=False, highlight=False)


def aligned(rows: Sequence[Sequence[Text]], widths: Sequence[int] = (), style: str = "") -> RenderableType:
    """Rows in columns; given widths are the least, so that those of other calls stand below them."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths or [0] * len(rows[0]):
        grid.add_column(min_width=width, style=style, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


class Command:
    """A command that can be copied from the console: broken only between words, with backslashes."""

    def __init__(self, label: str, words: Sequence[str]) -> None:
        self.label, self.words = label, [shlex.quote(word) for word in words]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent, lines = " " * len(self.label), [""]
        for word in self.words:
            if lines[-1] and len(indent) + len(lines[-1]) + len(word) + 3 > options.max_width:
                lines.append(f"  {word}")
            else:
                lines[-1] += f" {word}" if lines[-1] else word
        command = f" \\\n{indent}".join(lines)  # nothing may follow the backslash, so no table, which would pad
        yield Text.assemble((self.label, "bold"), (command, "cyan"), overflow="fold")


def here(folder: Path) -> str:
    """A folder relative to the working directory, if it is below it."""
    path, here = folder.absolute(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def headed(heading: str, style: str = "bold") -> list[RenderableType]:
    """A heading below an empty line."""
    return [Text(), Text(heading, style=style)]


def hanging(label: str, text: str, style: str = "") -> RenderableType:
    """A label, and a text whose lines are all to the right of it."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style=style or "bold"), Text(text))
    return grid
