"""How the paper's tables and figures come into reports and plots: as a plug-in of Amulet's own."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from amulet_cli.paper.layouts import FIGURES, LAYOUTS
from amulet_cli.paper.page import section
from amulet_cli.paper.report import drawings, shown
from amulet_cli.views.registry import HtmlSection, Shown, View, register_view

if TYPE_CHECKING:
    from amulet_cli.analysis.groups import Report
    from amulet_cli.results.result import Result
    from amulet_cli.views.figures.drawing import Drawing

_REMOVAL = (
    "the paper's, ours beside it: what removing outliers does to extraction; from runs of its Table 8, such as "
    "+experiment=table8_census"
)


def _shown(name: str, results: "Sequence[Result]") -> Shown:
    return shown(name, results)


def _drawings(report: "Report", results: "Sequence[Result]") -> "Iterable[Drawing]":
    return drawings(report, results)


def _section(results: "Sequence[Result]") -> HtmlSection | None:
    return section(results)


register_view(
    View(
        name="paper",
        names=tuple(sorted((*LAYOUTS, "table5", *FIGURES))),
        about="table4 to table8, figure3, figure4, in_text: ours beside the paper's, cell by cell",
        shown=_shown,
        kinds=dict.fromkeys(FIGURES, _REMOVAL),
        drawings=_drawings,
        section=_section,
    )
)
