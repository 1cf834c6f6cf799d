"""Accuracy with and without an evasion attack, over its budget."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from amulet_cli.analysis.rows import Row
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.figures import style
from amulet_cli.views.figures.sweep import HEIGHT, WIDTH, draw_line, finish, number


def robustness_curve(robust: Sequence[Row], clean: Sequence[Row], key: str) -> Figure:
    """Robust accuracy over the budget `key`, and above it, dotted, the accuracy without an attack.

    Args:
        robust: rows of `robust_accuracy`, the same in all labels but `key`.
        clean: rows of `test_accuracy` of the same cells; may be empty.
        key: the budget that was swept.
    """
    figure = style.new(WIDTH, HEIGHT)
    axes = style.panel(figure)
    for victim in VICTIMS:
        draw_line(axes, robust, key, victim, label=f"{victim}, attacked")
    for victim in VICTIMS:
        draw_line(axes, clean, key, victim, label=f"{victim}, not attacked", linestyle=":", markerfacecolor="none")
    finish(axes, [number(row.cell.labels[key]) for row in robust], key)
    style.whole_at_zero(axes, "y")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(style.per_cent)
    style.legend(axes, loc="best")
    return figure
