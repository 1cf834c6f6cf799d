"""A gate as people read it: on the console and in Markdown, from one table."""

from typing import TYPE_CHECKING

from rich.table import Table as RichTable
from rich.text import Text

from amulet_cli.analysis.gate.judging import Gate, Judgement
from amulet_cli.analysis.gate.words import limit_words
from amulet_cli.views.table import Table, markdown

if TYPE_CHECKING:
    from rich.console import RenderableType

_STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "not measured": "yellow"}
_MEANS = {
    0: "Every limit that counts is kept.",
    3: "A limit is broken.",
    4: "No limit is seen to be broken, and not all of them could be decided.",
}


def gate_table(gate: Gate) -> "RenderableType":
    """For the console."""
    table = verdicts(gate)
    shown = RichTable(title=table.title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for name in table.head:
        shown.add_column(name, overflow="fold", no_wrap=name == "verdict")
    for line, one in zip(table.lines, gate.judgements, strict=True):
        cells = [Text(cell) for cell in line]
        cells[0].stylize(_STYLES[one.outcome] if one.blocks or one.outcome == "pass" else "dim")
        shown.add_row(*cells)
    return shown


def summary(gate: Gate) -> str:
    """What comes of it, in a sentence, with the number of each verdict."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in gate.count.items())
    text = f"{_MEANS[gate.exit_code]} {counts}."
    waived = sum(not one.blocks and one.outcome != "pass" for one in gate.judgements)
    return f"{text} In brackets, and not counted: {waived}." if waived else text


def gate_markdown(gate: Gate) -> str:
    """For a comment on a forge."""
    closing = [summary(gate)]
    return markdown([verdicts(gate)], closing, strong=True)


def verdicts(gate: Gate) -> Table:
    """A line for each judgement: its verdict, in brackets where it does not count, the rule, limit, number, victim."""
    return Table(
        title=gate.policy.title,
        head=("verdict", "rule", "limit", "found", "of"),
        blocks=tuple((_line(one),) for one in gate.judgements),
        align="lllll",
    )


def _line(one: Judgement) -> tuple[str, ...]:
    word = one.outcome if one.blocks or one.outcome == "pass" else f"({one.outcome})"
    rule = f"{one.rule.id}: {one.title}"
    limit = limit_words(one.rule, fraction=one.fraction)
    why = f" ({one.rule.why})" if one.rule.why and one.outcome != "pass" else ""
    return word, rule, limit + why, one.reason, one.subject
