"""The pages of `--help`: one form for all verbs, readable on a terminal and in a pipe."""

from dataclasses import dataclass
from textwrap import wrap

Rows = tuple[tuple[str, str], ...]
_WIDEST = 110


@dataclass(frozen=True)
class Page:
    """What a page says, top to bottom."""

    usage: str
    about: str
    sections: tuple[tuple[str, Rows], ...] = ()
    """Headings, each with rows of a term and what it means."""
    examples: Rows = ()
    """Commands, each with what it does."""
    more: str = ""
    """Where to go from here."""


def asked(words: list[str]) -> bool:
    """Whether the words ask for a page.

    >>> asked(["defense=adv_training", "--help"]), asked(["--hydra-help"])
    (True, False)
    """
    return "--help" in words or "-h" in words


def show(page: Page) -> None:
    """Print a page on standard output."""
    from rich.text import Text

    from amulet_cli.base.console import out

    width = min(out.width, _WIDEST)
    lines = [Text.assemble(("Usage  ", "bold"), (page.usage, "cyan")), Text()]
    lines += [Text(line) for part in page.about.splitlines() for line in wrap(part, width)]
    for title, rows in page.sections:
        lines += [Text(), Text(title, style="bold")]
        longest = max(len(term) for term, _ in rows)
        for term, meaning in rows:
            first, *others = wrap(meaning, width - longest - 4) or [""]
            lines.append(Text.assemble("  ", (f"{term:{longest}}", "cyan"), f"  {first}"))
            lines += [Text(f"{'':{longest}}    {other}") for other in others]
    if page.examples:
        lines += [Text(), Text("Examples", style="bold")]
    for command, meaning in page.examples:
        lines.append(Text.assemble("  ", (command, "cyan")))
        lines += [Text(f"      {line}", style="dim") for line in wrap(meaning, width - 6)]
    if page.more:
        lines += [Text(), Text(page.more, style="dim")]
    for line in lines:
        out.print(line, soft_wrap=True)
