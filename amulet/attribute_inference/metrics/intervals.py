"""95 % intervals of means over the values of an attribute, which hold where a value has few records.

The interval of a mean of independent parts follows from the parts' intervals (MOVER; Zou and Donner, 2008): its
distance from the mean is the root of the sum of their squared distances. The parts have exact intervals: a Wald
interval of a value with three records, all right, has no width at all.
"""

import numpy as np
from numpy.typing import NDArray

from amulet.core.intervals import clopper_pearson

Counts = NDArray[np.int64] | NDArray[np.float64]
Floats = NDArray[np.float64]


def balanced_interval(right: Counts, records: Counts) -> tuple[float, float]:
    """The interval of the mean of the values' shares of right answers, in [0, 1].

    Args:
        right: (k,) right answers by value.
        records: (k,) records by value, at least 1.
    """
    share, below, above = _parts(right, records)
    return _of_mean(share, below, above)


def paired_interval(gained: Counts, lost: Counts, records: Counts) -> tuple[float, float]:
    """The interval of the mean of the values' differences between two answers to the same records, in [-1, 1].

    Args:
        gained: (k,) records by value that only the first answer has right.
        lost: (k,) records that only the second has right.
        records: (k,) all records by value, at least 1.
    """
    (up, up_below, up_above), (down, down_below, down_above) = (_parts(part, records) for part in (gained, lost))
    others = (1 - up) * (1 - down)  # a record is gained or lost, not both: the two shares are correlated
    both = np.sqrt(np.divide(up * down, others, out=np.zeros_like(up), where=others > 0))
    below = np.sqrt(up_below**2 + down_above**2 + 2 * both * up_below * down_above)
    above = np.sqrt(up_above**2 + down_below**2 + 2 * both * up_above * down_below)
    low, high = _of_mean(up - down, below, above)
    return max(-1.0, low), min(1.0, high)


def unpaired_interval(
    right: Counts, records: Counts, other_right: Counts, other_records: Counts
) -> tuple[float, float]:
    """The interval of the difference of two means of the values' shares of right answers, on other records, in [-1, 1].

    Args:
        right: (k,) right answers by value.
        records: (k,) records by value, at least 1.
        other_right: (k,) right answers among the other records.
        other_records: (k,) the other records, at least 1.
    """
    (first, first_low, first_high), (second, second_low, second_high) = (
        (float((hits / whole).mean()), *balanced_interval(hits, whole))
        for hits, whole in ((right, records), (other_right, other_records))
    )
    below = float(np.hypot(first - first_low, second_high - second))
    above = float(np.hypot(first_high - first, second - second_low))
    return max(-1.0, first - second - below), min(1.0, first - second + above)


def _parts(successes: Counts, trials: Counts) -> tuple[Floats, Floats, Floats]:
    """The shares, and their distances to the ends of their exact intervals."""
    ends = np.array([clopper_pearson(int(x), int(n)) for x, n in zip(successes, trials, strict=True)])
    share = np.asarray(successes / trials)
    return share, share - ends[:, 0], ends[:, 1] - share


def _of_mean(values: Floats, below: Floats, above: Floats) -> tuple[float, float]:
    mean, k = float(values.mean()), len(values)
    return mean - float(np.linalg.norm(below)) / k, mean + float(np.linalg.norm(above)) / k
