"""How well members are distinguished from others, where it matters: at few false alarms."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from amulet.core.intervals import clopper_pearson
from amulet.core.ranking import auc
from amulet.membership_inference.metrics import roc
from amulet_cli.results.evidence import Ranking
from amulet_cli.views.figures import style
from amulet_cli.views.figures.sweep import half_width

_POINTS = 81
_AT_LEAST = 10  # non-members that must lie above a threshold, for its rate to say something
_BAND = 0.18


def roc_curves(rankings: Mapping[str, Sequence[Ranking]]) -> Figure:
    """The ROC of each victim in log-log (Carlini et al., S&P 2022): mean over seeds, with the 95 % interval.

    The axes begin at the smallest false positive rate that the sample resolves, ten over the number of
    non-members. With one seed the interval is that of the records (Clopper and Pearson), else that of the seeds.

    The legend has the AUC, the mean over seeds.

    Args:
        rankings: by victim, one ranking per seed.
    """
    others = min(int((~one.members).sum()) for each in rankings.values() for one in each)
    start = min(_AT_LEAST / others, 0.1)
    rates = np.geomspace(start, 1, _POINTS)
    figure = style.new(4.4, 4.2)
    axes = style.panel(figure, xscale="log", yscale="log")
    axes.plot([start, 1], [start, 1], color=style.INK, linewidth=0.8, linestyle=":", label="guessing")
    for victim, each in rankings.items():
        looks = {key: value for key, value in style.VICTIMS[victim].items() if key != "marker"}
        mean, low, high = _over_seeds(each, rates)
        area = np.mean([auc(one.members, one.scores) for one in each])
        axes.plot(rates, np.maximum(mean, start), linewidth=1.6, label=f"{victim}, AUC {area:.3f}", **looks)
        band = np.maximum(low, start), np.clip(high, start, 1)
        axes.fill_between(rates, *band, color=looks["color"], alpha=_BAND, linewidth=0)
    axes.set_xlim(start, 1)
    axes.set_ylim(start, 1)
    axes.set_aspect("equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(style.per_cent)
        axis.set_minor_formatter("")
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("true positive rate")
    style.legend(axes, loc="lower right")
    return figure


def hit_rates(ranking: Ranking, rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """The true positive rate at each false positive rate: the best threshold that keeps to it, no interpolation."""
    fpr, tpr = roc(ranking.members, ranking.scores)
    return tpr[np.searchsorted(fpr, rates, side="right") - 1]


def _over_seeds(
    rankings: Sequence[Ranking], rates: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    each = np.stack([hit_rates(one, rates) for one in rankings])
    mean = each.mean(axis=0)
    if len(each) > 1:
        error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
        half = np.array([half_width(float(one), len(each)) for one in error])
        return mean, mean - half, mean + half
    members = int(rankings[0].members.sum())
    bounds = np.array([clopper_pearson(round(rate * members), members) for rate in mean])
    return mean, bounds[:, 0], bounds[:, 1]
