"""`amulet report --paper`: which of the paper's tables and figures there are, and each in every form."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from amulet_cli.analysis.groups import Report
from amulet_cli.base.errors import UsageError
from amulet_cli.paper import interactions as paper_interactions
from amulet_cli.paper import interactions_view as paper_interactions_view
from amulet_cli.paper import tables as paper
from amulet_cli.paper import view as paper_view
from amulet_cli.paper.layouts import FIGURES
from amulet_cli.results.result import Result
from amulet_cli.views.figures.drawing import Drawing
from amulet_cli.views.registry import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def shown(name: str, results: Sequence[Result]) -> Shown:
    """A table or figure of the paper beside the runs that belong to it.

    Raises:
        UsageError: there is none of that name, or no run that belongs to it.
    """
    if name == "table5":
        found = paper_interactions.findings(results)
        return Shown(
            view=lambda width: paper_interactions_view.view(found, width),
            forms={
                "csv": lambda: paper_interactions.as_csv(found),
                "markdown": lambda: paper_interactions_view.as_markdown(found),
                "latex": lambda: paper_interactions_view.as_latex(found),
            },
        )
    tables = paper.compare(name, results)
    if name in FIGURES:
        _, column, title = FIGURES[name]
        tables = [paper.only(table, ("Acc_te", column), title) for table in tables]
    return Shown(
        view=lambda width: paper_view.view(tables, width),
        forms={
            "csv": lambda: paper.as_csv(tables),
            "markdown": lambda: paper_view.as_markdown(tables),
            "latex": lambda: paper_view.as_latex(tables),
        },
        figure=partial(drawn, name, tables) if name in FIGURES else None,
    )


def figures(results: Sequence[Result]) -> "Iterator[tuple[str, str, str, Callable[[], Figure]]]":
    """Name, title, words and drawing of each figure of the paper of which there are at least two points of ours."""
    for name, (table, column, title) in FIGURES.items():
        try:
            found = [paper.only(one, ("Acc_te", column), title) for one in paper.compare(table, results)]
        except UsageError:  # no run of that table
            return
        tables = [one for one in found if len({cell.setting for cell in one.cells if cell.ours}) > 1]
        if tables:
            from amulet_cli.paper.figure import description

            yield name, title, description(tables, column), partial(drawn, name, tables)


def drawn(name: str, tables: Sequence[paper.PaperTable]) -> "Figure":
    """A figure of the paper, ours beside the paper's."""
    from amulet_cli.paper.figure import removal

    if name not in FIGURES:
        raise UsageError(f"`{name}` is no figure of the paper", expected=", ".join(FIGURES))
    _, column, title = FIGURES[name]
    return removal(tables, column, title)


def drawings(report: Report, results: Sequence[Result]) -> Iterator[Drawing]:
    """The figures of the paper, as `amulet plot` and the HTML report offer them."""
    for name, title, description, draw in figures(results):
        rows = [row for row in report.rows if row.cell.labels["defense"] == "outlier_removal"]
        cells = {id(row.cell): row.cell for row in rows if row.cell.labels["attack"] == "model_extraction"}
        yield Drawing(
            kind=name,
            title=title,
            setting="the paper's Table 8",
            description=description,
            cells=tuple(cells.values()),
            draw=draw,
            rank=6,
        )
