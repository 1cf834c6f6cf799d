"""Exact intervals. Imports nothing heavy: what reads results needs them too."""


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
