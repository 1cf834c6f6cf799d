"""95 % intervals of quantities that chance can only move away from equality: a gap, a ratio, the worst of several.

They invert a test, so that they hold equality in 95 of 100 samples where it is true; a percentile bootstrap never does.
The upper end of the largest of several gaps is the largest of their upper ends. Its lower end is the least value at
which chance would not let any gap exceed it by as much as is seen: gaps that are far smaller take no part (Andrews and
Soares, 2010), and errors that the upper end cannot make are the lower end's to use (Feldman and Cousins, 1998).

The error of a difference or ratio of two rates follows from their score intervals (MOVER: Newcombe, 1998, method 10;
for ratios Donner and Zou, 2012), which hold for small groups and for rates near 0 and 1. With more than two groups the
pairs are treated as independent (Sidak, 1967), which is on the safe side.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from amulet.core.intervals import NORMAL_95, wilson

Floats = NDArray[np.float64]
Rates = tuple[Floats, Floats]
"""Successes and trials of the groups of one comparison, (k,) each."""
_FAR = 3.3  # standard errors by which a pair must fall short to take no part: one in a thousand


class _Pairs(NamedTuple):
    """Every two groups of every comparison, (pairs,) each."""

    high: Floats
    """The rate of the group that has the higher one."""
    low: Floats
    """The rate of the other."""
    high_below: Floats
    """The distance from the higher rate to the lower end of its interval."""
    high_above: Floats
    low_below: Floats
    low_above: Floats


def difference_interval(comparisons: Sequence[Rates]) -> tuple[float, float]:
    """The interval of the largest difference between two groups' rates in any of the comparisons, in [0, 1]."""
    pairs = _pairs(comparisons)
    difference = pairs.high - pairs.low
    error = np.hypot(pairs.high_below, pairs.low_above) / NORMAL_95
    upper = difference + np.hypot(pairs.high_above, pairs.low_below)
    low = _first_accepted(lambda gap: _rejected(difference - gap, error, 2 * gap / error), 0.0, difference.max())
    return low, min(1.0, float(upper.max()))


def ratio_interval(comparisons: Sequence[Rates]) -> tuple[float, float]:
    """The interval of the smallest ratio of two groups' rates in any of the comparisons, in [0, 1].

    Some group's rate must be above 0 in each comparison.
    """
    pairs = _pairs(comparisons)
    some = pairs.high > 0
    high, low, high_above, high_below, low_below, low_above = (
        part[some]
        for part in (pairs.high, pairs.low, pairs.high_above, pairs.high_below, pairs.low_below, pairs.low_above)
    )
    # The smaller r that solves (low - r high)^2 = low_below^2 + r^2 high_above^2, written so that nothing cancels.
    own, product = low**2 - low_below**2, low * high
    root = np.sqrt(np.maximum(product**2 - own * (high**2 - high_above**2), 0))
    ends = np.divide(own, product + root, out=np.zeros_like(own), where=product + root > 0)

    def rejected(ratio: float) -> bool:
        error = np.hypot(ratio * high_below, low_above) / NORMAL_95
        return _rejected(ratio * high - low, error, (1 - ratio**2) * high / error)

    return float(ends.min()), _first_accepted(rejected, 1.0, float((low / high).min()))


def lowest_interval(rates: Rates) -> tuple[float, float]:
    """The interval of the lowest rate of any group, in [0, 1]."""
    from scipy.special import ndtri

    apart = float(ndtri(0.975 ** (1 / len(rates[1]))))
    return float(wilson(*rates)[0].min()), float(wilson(*rates, apart)[1].min())


def _pairs(comparisons: Sequence[Rates]) -> _Pairs:
    found: list[Floats] = []
    for part, whole in comparisons:
        share, (low, high) = part / whole, wilson(part, whole)
        order = np.argsort(-share, kind="stable")
        share, below, above = share[order], (share - low)[order], (high - share)[order]
        a, b = np.triu_indices(len(share), 1)
        found.append(np.stack([share[a], share[b], below[a], above[a], below[b], above[b]]))
    return _Pairs(*np.concatenate(found, axis=1))


def _rejected(excess: Floats, error: Floats, apart: Floats) -> bool:
    """Is some pair further beyond what is tested than chance allows, if every pair that comes near is right at it?

    Args:
        excess: how far each pair is beyond what is tested.
        error: the standard errors of that.
        apart: the distance, in standard errors, to what is tested with the pair's groups exchanged.
    """
    from scipy.special import ndtr

    near = excess >= -_FAR * error
    if not near.any():
        return False
    furthest = float((excess[near] / error[near]).max())
    within = ndtr(furthest) - ndtr(-apart[near] - furthest)
    above = ndtr(-NORMAL_95) - ndtr(NORMAL_95 - apart[near])  # how often the upper end is too low
    return bool(1 - np.prod(within) < 0.05 - max(0.0, above.max()))


def _first_accepted(rejected: Callable[[float], bool], equal: float, seen: float) -> float:
    """The value nearest to equality that is not rejected, between equality and what is seen; by bisection."""
    if not rejected(equal):
        return equal
    out, kept = equal, float(seen)
    for _ in range(40):
        middle = (out + kept) / 2
        out, kept = (middle, kept) if rejected(middle) else (out, middle)
    return kept
