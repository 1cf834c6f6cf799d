"""Intervals of proportions. Imports nothing heavy: what reads results needs them too."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

NORMAL_95 = 1.959964
"""The normal quantile of a two-sided 95 % interval."""


def clopper_pearson(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """The exact interval of a proportion (Clopper and Pearson, 1934).

    >>> low, high = clopper_pearson(0, 100)
    >>> low == 0.0 and 0.036 < high < 0.037
    True
    """
    from scipy.special import betaincinv  # scipy.stats takes a second to import

    tail = (1 - confidence) / 2
    low = float(betaincinv(successes, trials - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, trials - successes, 1 - tail)) if successes < trials else 1.0
    return low, high


def wilson(
    successes: ArrayLike, trials: ArrayLike, quantile: float = NORMAL_95
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The score intervals of proportions (Wilson, 1927): lower and upper ends, in [0, 1].

    Args:
        successes: (k,) or a number.
        trials: of the same shape, at least 1.
        quantile: of the standard normal distribution.

    >>> [round(float(end), 3) for end in wilson(3, 3)]
    [0.439, 1.0]
    """
    n = np.asarray(trials, dtype=np.float64)
    p, extra = np.asarray(successes, dtype=np.float64) / n, quantile**2 / n
    half = quantile * np.sqrt(p * (1 - p) / n + extra / (4 * n))
    return (
        np.clip((p + extra / 2 - half) / (1 + extra), 0, p),
        np.clip((p + extra / 2 + half) / (1 + extra), p, 1),
    )
