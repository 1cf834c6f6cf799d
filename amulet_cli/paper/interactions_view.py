"""How the findings for the paper's Table 5 look: a row for each interaction and metric, a sentence below."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from amulet_cli.base import format_numbers
from amulet_cli.base.console import aligned, hanging
from amulet_cli.paper.interactions import Finding, Findings
from amulet_cli.views.table import Table, latex, markdown

HEAD = (
    "interaction",
    "metric",
    "undefended",
    "defended",
    "change",
    "95% interval",
    "n",
    "p (Holm)",
    "verdict",
    "paper",
)
LEGEND = (
    "In per cent, MSE as it is: mean ± standard error over n seeds; change in points: defended - undefended, paired by "
    "seed, with its 95% interval. p: paired test, Holm-corrected over the rows of the table."
)
_STYLES = {"rises": "bold red", "falls": "bold green"}


def view(tables: Sequence[Findings], width: int = 80) -> RenderableType:
    """All tables for a console: the numbers of an interaction, and below them what they say."""
    parts: list[RenderableType] = []
    for table in tables:
        parts.append(Text(table.title, style="bold underline"))
        for row in table.rows:
            parts.append(Text.assemble((row.name, "bold"), f" ({_paper(row)})"))
            if row.row:
                cells = _cells(row)
                shown = [cells[1], f"{cells[2]} → {cells[3]}", f"n {cells[6]}"]
                parts.append(aligned([[Text("  " + "  ".join(shown))]], [min(width, 78)]))
            parts.append(hanging("  ", Text(row.sentence, style=_STYLES.get(row.outcome, "")).plain))
            parts += [hanging("  ! ", text, "yellow") for text in _warnings_of(table, row)]
        parts += [*(hanging("  ", note) for note in table.notes), Text()]
    return Group(*parts, Text(LEGEND, style="dim"))


def as_markdown(tables: Sequence[Findings]) -> str:
    """A table per data set, then a sentence for each row."""
    return markdown(list(map(_table, tables)), [LEGEND])


def as_latex(tables: Sequence[Findings]) -> str:
    """A `tabular` per data set, the sentences as comments."""
    return latex(list(map(_table, tables)), [LEGEND])


def _table(found: Findings) -> Table:
    rows, notes = tuple(tuple(_cells(row)) for row in found.rows), tuple(_sentences(found))
    return Table(title=found.title, head=HEAD, blocks=(rows,), align="llrrrrrrll", notes=notes)


def _sentences(table: Findings) -> Iterator[str]:
    """What each row says and what it warns of: the same words once, with all rows that they are of."""
    places: dict[tuple[str, str], list[str]] = {}
    for row in table.rows:
        places.setdefault(("", row.sentence), []).append(f"{row.name}, {row.row.metric}" if row.row else row.name)
        for text in _warnings_of(table, row):
            places.setdefault(("! ", text), []).append(row.name)
    for (mark, text), names in places.items():
        yield f"{mark}{'; '.join(names)}: {text}"
    yield from table.notes


def _warnings_of(table: Findings, row: Finding) -> tuple[str, ...]:
    """Those of an interaction once, behind its last metric."""
    its = [other for other in table.rows if other.name == row.name]
    return tuple(dict.fromkeys(text for other in its for text in other.warnings)) if row is its[-1] else ()


def _cells(row: Finding) -> list[str]:
    if row.row is None:
        return [row.name, row.lost, *[""] * 6, row.outcome, _paper(row)]
    fraction, change = row.row.facts.fraction, row.row.change
    before, after = (row.row.summaries[victim] for victim in ("undefended", "defended"))
    p_value = row.verdict.p_value if row.verdict else math.nan
    return [
        row.name,
        row.row.metric,
        format_numbers.plus_minus(before.mean, before.error, fraction=fraction),
        format_numbers.plus_minus(after.mean, after.error, fraction=fraction),
        format_numbers.change(change.mean, fraction=fraction),
        format_numbers.interval(change.low, change.high, fraction=fraction, signed=True),
        str(change.n),
        "" if math.isnan(p_value) else f"{p_value:.2g}",
        row.outcome,
        _paper(row),
    ]


def _paper(row: Finding) -> str:
    """What the paper says of the pair, and what it found itself."""
    return f"{row.status}; {row.paper}" if row.paper else row.status
