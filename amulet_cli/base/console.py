"""The two consoles, and the parts of every view."""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_NO_TERMINAL = 120  # columns if the width is unknown
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}


def _console(*, stderr: bool) -> Console:
    """Width and colour from the terminal, COLUMNS and NO_COLOR; otherwise no colour, and a width for tables."""
    return Console(stderr=stderr, highlight=False, emoji=False, width=None if _knows_width() else _NO_TERMINAL)


def _knows_width() -> bool:
    if os.environ.get("COLUMNS", "").isdigit():
        return True
    for stream in (0, 1, 2):
        try:
            os.get_terminal_size(stream)
        except (OSError, ValueError):
            continue
        return True
    return False


out = _console(stderr=False)
"""For results: tables, lists."""
err = _console(stderr=True)
"""For everything else: progress, notes, errors."""


def aligned(rows: Sequence[Sequence[Text]], widths: Sequence[int], style: str = "") -> RenderableType:
    """Rows in columns with the same widths as those of other calls."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
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


def hanging(label: str, text: str, style: str = "") -> RenderableType:
    """A label, and a text whose lines are all to the right of it."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style=style or "bold"), Text(text))
    return grid
