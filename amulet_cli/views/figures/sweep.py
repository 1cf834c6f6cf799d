"""A metric over what was swept, for both victims, with the interval over seeds."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import stdtrit

from amulet_cli.analysis.names import rows_title, setting_title
from amulet_cli.analysis.rows import Row
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.figures import style

_WIDTH, _HEIGHT = 4.8, 3.2
_FAR = 20  # times larger: then a logarithmic axis
_BAND = 0.18
_WRAPPED = 36  # characters beside an axis


def sweep_curve(rows: Sequence[Row], key: str) -> Figure:
    """One metric over the numbers of `key`: means over seeds, their 95 % t intervals as bands.

    Args:
        rows: of one metric, the same in all labels but `key`, which is a number in each.
        key: what was swept.
    """
    figure = style.new(_WIDTH, _HEIGHT)
    axes = style.panel(figure)
    info = rows[0].facts
    for victim in VICTIMS:
        _draw_line(axes, rows, key, victim, label=victim)
    _finish(axes, rows, key)
    arrow = {"higher": " (higher is worse)", "lower": " (lower is worse)"}.get(info.worse, "")
    title = textwrap.fill(f"{rows_title(rows)}{arrow}", _WRAPPED)
    axes.set_ylabel(style.literal(title))
    if info.fraction:
        axes.yaxis.set_major_formatter(style.per_cent)
    style.legend(axes)
    return figure


def robustness_curve(robust: Sequence[Row], clean: Sequence[Row], key: str) -> Figure:
    """Accuracy under an evasion attack over its budget `key`, and above it, dotted, the accuracy without an attack.

    Args:
        robust: rows of `robust_accuracy`, the same in all labels but `key`.
        clean: rows of `test_accuracy` of the same cells; may be empty.
        key: the budget that was swept.
    """
    figure = style.new(_WIDTH, _HEIGHT)
    axes = style.panel(figure)
    for victim in VICTIMS:
        _draw_line(axes, robust, key, victim, label=f"{victim}, attacked")
    for victim in VICTIMS:
        _draw_line(axes, clean, key, victim, label=f"{victim}, not attacked", linestyle=":", markerfacecolor="none")
    _finish(axes, robust, key)
    style.whole_at_zero(axes, "y")
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(style.per_cent)
    style.legend(axes, loc="best")
    return figure


def _draw_line(axes: Axes, rows: Sequence[Row], key: str, victim: str, **looks: Any) -> None:
    """The means of one victim with their band; nothing where it has no numbers."""
    points: list[tuple[float, float, float, float]] = []
    for row in rows:
        summary = row.summaries[victim]
        if summary.n:
            half = half_width(summary.error, summary.n)
            points.append((number(row.cell.labels[key]), summary.mean, summary.mean - half, summary.mean + half))
    if not points:
        return
    x, mean, low, high = np.array(sorted(points)).T
    options: Mapping[str, Any] = {"markersize": 4.5, "linewidth": 1.6, **style.VICTIMS[victim], **looks}
    axes.plot(x, mean, **options)
    axes.fill_between(x, low, high, color=options["color"], alpha=_BAND, linewidth=0)


def half_width(error: float, n: int) -> float:
    """Half of the 95 % t interval of a mean; 0 where one seed leaves none."""
    return float(stdtrit(n - 1, 0.975)) * error if n > 1 and math.isfinite(error) else 0.0


def _finish(axes: Axes, rows: Sequence[Row], key: str) -> None:
    """The axis of what was swept: a tick at each value, logarithmic where these are far apart."""
    from matplotlib.ticker import NullLocator

    ticks = sorted({number(row.cell.labels[key]) for row in rows})
    if ticks[0] > 0 and ticks[-1] / ticks[0] > _FAR:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xlabel(style.literal(setting_title(key)))


def number(value: Any) -> float:
    """A label as a number; NaN if it is none.

    >>> number("0.03"), number(4), number("adam"), number(True)
    (0.03, 4.0, nan, nan)
    """
    if isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
