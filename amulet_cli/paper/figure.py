"""Figures 3 and 4 of the paper: what removing outliers does to accuracy and to extraction, ours beside the paper's."""

import re
from collections.abc import Iterable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amulet_cli.paper.tables import PaperCell, PaperTable
from amulet_cli.views.figures import style

_STYLES = {"Acc_te": (":", "o"), "other": ("-", "s")}
_PANEL = 3.4


def removal(tables: Sequence[PaperTable], column: str, title: str) -> Figure:
    """A panel per table: dotted the accuracy, solid the other column; filled ours, hollow and thin the paper's.

    Args:
        tables: Table 8's, by data set and variant.
        column: what stands beside `Acc_te`.
        title: of the whole.
    """
    count = max(len(tables), 1)
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = style.new(_PANEL * columns, 2.9 * rows + 0.3)
    grid = figure.add_gridspec(rows, columns)
    # A single panel is too narrow for it in one line.
    figure.suptitle(
        style.literal(title if columns > 1 else title.replace(": ", "\n", 1)), color=style.INK, fontsize=style.SMALL + 2
    )
    for i, table in enumerate(tables):
        axes = style.panel(figure, grid[i // columns, i % columns])
        axes.set_title(style.literal(_name(table)), color=style.INK, fontsize=style.SMALL + 1)
        for name, look, colour in (("Acc_te", "Acc_te", "blue"), (column, "other", "vermillion")):
            _lines(axes, [cell for cell in table.cells if cell.column == name], name, look, style.COLOURS[colour])
        axes.set_xlabel("% of the records removed", color=style.INK)
        axes.set_ylabel("%", color=style.INK)
        axes.set_xticks([0, 10, 20, 30, 40])
        if i == 0:
            style.legend(axes, loc="best")
    return figure


def description(tables: Sequence[PaperTable], column: str) -> str:
    """The figure in words, for who cannot see it."""
    said: list[str] = []
    for table in tables:
        for name in ("Acc_te", column):
            ours = _points([cell for cell in table.cells if cell.column == name])
            if ours:
                (first, start), (last, end) = ours[0], ours[-1]
                said.append(
                    f"{_name(table)}: {name} from {start:.1f} at {first:g} % to {end:.1f} at {last:g} % removed"
                )
    return "; ".join(said) + "."


def _lines(axes: Axes, cells: Sequence[PaperCell], name: str, look: str, colour: str) -> None:
    line, marker = _STYLES[look]
    ours = _points(cells)
    if ours:
        errors = [100 * cell.ours.error for cell in cells if cell.ours]
        axes.errorbar(
            *zip(*ours, strict=True), yerr=errors, color=colour, linestyle=line, marker=marker, markersize=4, capsize=2,
            linewidth=1.6, label=style.literal(f"{name}, ours"),
        )  # fmt: skip
    theirs = [(_percent(cell), cell.mean) for cell in cells]
    if theirs:
        axes.plot(
            *zip(*theirs, strict=True), color=colour, linestyle=line, marker=marker, markersize=4, linewidth=0.8,
            markerfacecolor="none", alpha=0.75, label=style.literal(f"{name}, paper"),
        )  # fmt: skip


def _points(cells: Iterable[PaperCell]) -> list[tuple[float, float]]:
    return [(_percent(cell), cell.scale * cell.ours.mean) for cell in cells if cell.ours]


def _percent(cell: PaperCell) -> float:
    """Where on the axis a row of Table 8 stands; the undefended victim has nothing removed."""
    found = re.search(r"=([\d.]+)$", cell.setting)
    return float(found[1]) if found else 0.0


def _name(table: PaperTable) -> str:
    return " · ".join(filter(None, (table.dataset, table.variant)))
