"""The paper's tables on the page: ours, the paper's, and how far apart they are."""

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from amulet_cli.base import format_numbers
from amulet_cli.results.result import Result
from amulet_cli.views.registry import Block, HtmlSection, Line

if TYPE_CHECKING:
    from amulet_cli.paper.tables import PaperCell, PaperTable

_SHARE = 0.5  # of a table's cells of which there must be runs: a few cells by chance are no table


def section(results: Sequence[Result]) -> HtmlSection | None:
    """The paper's tables of which most cells were run, as a section of the page; None without any."""
    from amulet_cli.paper.view import LEGEND

    found = tables(results)
    if not found:
        return None
    caption = "Ours, the paper’s, and how far apart they are"
    return HtmlSection(name="paper", title="Beside the paper", legend=LEGEND, caption=caption, tables=tuple(found))


def tables(results: Sequence[Result]) -> list[Block]:
    """The paper's tables of which most cells were run."""
    from amulet_cli.base.errors import UsageError
    from amulet_cli.paper.layouts import LAYOUTS
    from amulet_cli.paper.tables import compare

    found: list[Block] = []
    for name in (name for name in LAYOUTS if name.startswith("table")):
        try:
            compared = compare(name, results)
        except UsageError:  # no run of that table
            continue
        for table in compared:
            ours = sum(cell.ours is not None and cell.comparable for cell in table.cells)
            if ours >= _SHARE * len(table.cells):
                found.append(_table(table))
    return found


def _table(table: "PaperTable") -> Block:
    from amulet_cli.paper.view import remarks

    columns = list(dict.fromkeys(cell.column for cell in table.cells))
    rows = tuple(
        row
        for setting in dict.fromkeys(cell.setting for cell in table.cells)
        for row in _block(setting, {cell.column: cell for cell in table.cells if cell.setting == setting}, columns)
    )
    return Block(title=table.title, head=("", *columns), rows=rows, remarks=tuple(remarks(table)))


def _block(setting: str, cells: "dict[str, PaperCell]", columns: Sequence[str]) -> Iterator[Line]:
    row = [cells.get(column) for column in columns]
    name = setting.partition(".")[2].replace("=", " ") or setting.removeprefix("model=")
    yield Line(name=f"{name}: ours", first=True, cells=tuple(map(_ours, row)))
    yield Line(name="the paper’s", first=False, cells=tuple(map(_theirs, row)))
    yield Line(
        name="difference",
        first=False,
        cells=tuple("" if cell is None or math.isnan(cell.difference) else f"{cell.difference:+.2f}" for cell in row),
    )
    for reading, words in (("se", "errors apart, if ± is an error"), ("sd", "errors apart, if ± is a deviation")):
        yield Line(name=words, first=False, cells=tuple(_distance(cell, reading) for cell in row))


def _ours(cell: "PaperCell | None") -> str:
    if cell is None:
        return ""
    if cell.ours is None:
        return "no run"
    return format_numbers.plus_minus(*(value * cell.scale / 100 for value in (cell.ours.mean, cell.ours.error)))


def _theirs(cell: "PaperCell | None") -> str:
    if cell is None:
        return ""
    return f"{cell.mean:.2f}" if math.isnan(cell.error) else f"{cell.mean:.2f} ± {cell.error:.2f}"


def _distance(cell: "PaperCell | None", reading: str) -> str:
    from amulet_cli.paper.tables import BEYOND

    distance = cell.distance(reading) if cell else math.nan
    return "" if math.isnan(distance) else f"{distance:.1f}{' !' if distance > BEYOND else ''}"
