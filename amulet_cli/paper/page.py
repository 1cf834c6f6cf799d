"""The paper's tables on the page: ours, the paper's, and how far apart they are."""

from collections.abc import Sequence

from amulet_cli.base.errors import UsageError
from amulet_cli.paper.layouts import LAYOUTS
from amulet_cli.paper.tables import PaperTable, compare
from amulet_cli.paper.view import LEGEND, plain_tables
from amulet_cli.results.result import Result
from amulet_cli.views.registry import HtmlSection

_SHARE = 0.5  # of a table's cells of which there must be runs: a few cells by chance are no table


def section(results: Sequence[Result]) -> HtmlSection | None:
    """The paper's tables of which most cells were run, as a section of the page; None without any."""
    found = plain_tables(tables(results))
    if not found:
        return None
    caption = "Ours, the paper’s, and how far apart they are"
    return HtmlSection(name="paper", title="Beside the paper", legend=LEGEND, caption=caption, tables=tuple(found))


def tables(results: Sequence[Result]) -> list[PaperTable]:
    """Those of which most cells were run."""
    found: list[PaperTable] = []
    for name in (name for name in LAYOUTS if name.startswith("table")):
        try:
            compared = compare(name, results)
        except UsageError:  # no run of that table
            continue
        for table in compared:
            ours = sum(cell.ours is not None and cell.comparable for cell in table.cells)
            if ours >= _SHARE * len(table.cells):
                found.append(table)
    return found
