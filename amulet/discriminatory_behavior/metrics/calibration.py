"""Calibration within groups: do a group's probabilities mean what they say?"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
BINS = 10
_DRAWS = 2000


class Calibration(NamedTuple):
    """The calibration error of the group that has the largest."""

    error: float
    group: int
    """Its position."""
    interval: tuple[float, float]
    """95 %, of the largest error of any group."""
    chance: float
    """The mean largest error of any group where every probability is right and chance does the rest."""


def bins_of(probabilities: Floats, bins: int = BINS) -> NDArray[np.int64]:
    """The bin of each probability (n,), the same for all groups: as equally filled as equal probabilities allow."""
    edges = np.unique(np.quantile(probabilities, np.arange(1, bins) / bins))
    return np.searchsorted(edges, probabilities, side="right").astype(np.int64)


def calibration_errors(
    probabilities: Floats, happened: NDArray[np.bool_], group: NDArray[np.int64], groups: int, bins: int = BINS
) -> Floats:
    """The expected calibration error of each group, (groups,) in [0, 1]; NaN for a group without records.

    The mean over the group's bins, weighted by their records, of the difference between the mean probability and the
    share for which it came true: Naeini, Cooper and Hauskrecht (AAAI 2015), within groups as in Kleinberg,
    Mullainathan and Raghavan (ITCS 2017), condition A.

    >>> calibration_errors(np.array([0.2, 0.2, 0.8, 0.8]), np.array([0, 0, 1, 0]) > 0, np.array([0, 0, 1, 1]), 2)
    array([0.2, 0.3])
    """
    cell = group * bins + bins_of(probabilities, bins)
    difference = np.bincount(cell, happened - probabilities, minlength=groups * bins).reshape(groups, bins)
    sizes = np.bincount(group, minlength=groups)
    return np.divide(np.abs(difference).sum(axis=1), sizes, out=np.full(groups, np.nan), where=sizes > 0)


def worst_calibration(
    probabilities: Floats,
    happened: NDArray[np.bool_],
    group: NDArray[np.int64],
    kept: NDArray[np.int64],
    chance: np.random.Generator,
) -> Calibration:
    """The largest of the `calibration_errors` of the groups in `kept`, with an interval.

    An error cannot be negative, so chance alone makes it larger than 0, the more so in a small group. The interval's
    lower end is 0 for a group whose error chance explains; else what chance makes is taken off. The upper end is the
    largest of the groups' upper ends.
    """
    from scipy.special import ndtri

    place = np.full(int(group.max()) + 1, -1)
    place[kept] = np.arange(len(kept))
    inside = place[group] >= 0
    p, y, of = probabilities[inside], happened[inside], place[group][inside]
    k, bins = len(kept), bins_of(probabilities)[inside]
    cell, sizes = of * BINS + bins, np.bincount(of, minlength=k)
    whole = np.bincount(cell, minlength=k * BINS)
    expected = np.bincount(cell, p, minlength=k * BINS)
    difference = np.bincount(cell, y, minlength=k * BINS) - expected
    errors = np.abs(difference).reshape(k, BINS).sum(axis=1) / sizes

    share = np.clip(np.divide(expected, whole, out=np.zeros_like(expected), where=whole > 0), 0, 1)
    drawn = np.abs(chance.binomial(whole, share, size=(_DRAWS, k * BINS)) - expected)
    fair = drawn.reshape(_DRAWS, k, BINS).sum(axis=2) / sizes

    signed = np.sign(difference)[cell] * (y - p)
    spread = np.bincount(of, signed**2, minlength=k) / sizes - errors**2
    error = np.sqrt(np.maximum(spread, 0) / sizes)
    apart = -float(ndtri(0.025 / k))
    beyond = errors > np.quantile(fair, 1 - 0.025 / k, axis=0)
    low = np.where(beyond, np.maximum(errors - fair.mean(axis=0) - apart * error, 0), 0)
    high = np.minimum(errors - float(ndtri(0.025)) * error, 1)
    worst = int(errors.argmax())
    return Calibration(
        float(errors[worst]), int(kept[worst]), (float(low.max()), float(high.max())), float(fair.max(axis=1).mean())
    )
