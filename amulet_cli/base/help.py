"""The pages of `--help`: one form for all verbs, readable on a terminal and in a pipe."""

import shlex
import textwrap
from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from amulet_cli.base.console import Command, out
from amulet_cli.base.flags import Block, CommandLine

_WIDEST = 110  # of a line that is comfortable to read


def show(line: CommandLine) -> None:
    """Print a verb's page on standard output."""
    width = min(out.width, _WIDEST)
    usage = _wrapped(" ".join(piece.replace(" ", "\0") for piece in line.usage), width - 9)
    for i, text in enumerate(usage):
        start = "         " if i else "Usage  "
        out.print(Text.assemble((start, "bold"), (text.replace("\0", " "), "cyan")), soft_wrap=True)
    for block in line.blocks:
        out.print()
        for part in _shown(block, width):
            out.print(part, soft_wrap=True)


def _shown(block: Block, width: int) -> Iterator[RenderableType]:
    """A paragraph; or terms in one column and what they mean in the next, or below where the term is long."""
    for text in _wrapped(block.text, width):
        yield Text(text, style="bold" if block.rows else "")
    column = min(max((len(term) for term, _ in block.rows), default=0), width * 2 // 5)
    for term, meaning in block.rows:
        if block.text == "Examples":
            words = shlex.split(term)
            yield Command("  ", words) if words[0] == "amulet" else Text(f"  {term}", style="cyan")
            yield from (Text(f"      {text}", style="dim") for text in _wrapped(meaning, width - 6))
            continue
        lines = _wrapped(meaning, width - column - 4)
        beside = lines.pop(0) if lines and len(term) <= column else ""
        yield Text.assemble((f"  {term}", "cyan"), f"{'':{column - len(term)}}  {beside}" if beside else "")
        yield from (Text(f"{'':{column}}    {text}") for text in lines)


def _wrapped(text: str, width: int) -> list[str]:
    """Broken between words only: a flag or a setting is never cut."""
    return textwrap.wrap(text, max(width, 20), break_long_words=False, break_on_hyphens=False)
