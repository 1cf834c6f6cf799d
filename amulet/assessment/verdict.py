"""Statistics over seeds: what a defence changed, how certain that is, and the verdict.

Undefended and defended victims share their seeds, so everything here works on paired differences.
"""

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amulet.core.intervals import clopper_pearson

__all__ = [
    "Change",
    "Comparison",
    "Summary",
    "Verdict",
    "bootstrap_interval",
    "clopper_pearson",
    "detectable_difference",
    "holm",
    "judge",
    "paired_change",
    "summarize",
    "wilcoxon",
]

Outcome = Literal["rises", "falls", "no evidence", "unchanged by construction", "too few seeds"]
Worse = Literal["higher", "lower"]
K = TypeVar("K", bound=Hashable)

MIN_SEEDS = 10
"""With fewer seeds there are intervals but no verdicts."""
_ROUNDING = 1e-12  # differences of fractions below this are rounding errors


@dataclass(frozen=True)
class Summary:
    """One number over seeds. `error` (of the mean) and `sd` are NaN for a single seed."""

    n: int
    mean: float
    error: float
    sd: float


@dataclass(frozen=True)
class Change:
    """The mean of paired differences with its t interval and the p-value of the two-sided paired t-test."""

    n: int
    mean: float
    error: float
    sd: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric on both victims, seed by seed, in the same order of seeds."""

    undefended: Sequence[float]
    defended: Sequence[float]
    worse: Worse
    """Which way is worse for the victim."""
    by_construction: bool = False
    """The defence cannot change this metric (it alters no weight)."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one risk."""

    outcome: Outcome
    change: Change
    p_value: float
    """Holm-corrected over the grid; NaN where nothing was tested."""
    detectable: float
    """The smallest true difference that would have been found with a power of 0.8; NaN below two seeds."""


def summarize(values: ArrayLike) -> Summary:
    """Mean, standard error and standard deviation (with n - 1) of the values that are not NaN.

    >>> summarize([1.0, 2.0, 3.0])
    Summary(n=3, mean=2.0, error=0.5773502691896258, sd=1.0)
    """
    kept = _finite(values)
    n = len(kept)
    if n == 0:
        return Summary(0, math.nan, math.nan, math.nan)
    sd = float(kept.std(ddof=1)) if n > 1 else math.nan
    return Summary(n, float(kept.mean()), sd / math.sqrt(n), sd)


def paired_change(undefended: ArrayLike, defended: ArrayLike, confidence: float = 0.95) -> Change:
    """Defended minus undefended, seed by seed; pairs with a NaN are left out.

    Differences that are all the same have an interval of width zero, and a p-value of 0; 1 if they are zero.
    """
    from scipy.special import stdtr, stdtrit  # a tenth of the time that scipy.stats takes to import

    summary = summarize(_differences(undefended, defended))
    n, mean, error, sd = summary.n, summary.mean, summary.error, summary.sd
    if n < 2:
        return Change(n, mean, error, sd, math.nan, math.nan, math.nan)
    if sd <= _ROUNDING:
        return Change(n, mean, error, sd, mean, mean, 1.0 if abs(mean) <= _ROUNDING else 0.0)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    p_value = 2 * float(stdtr(n - 1, -abs(mean / error)))
    return Change(n, mean, error, sd, mean - half, mean + half, p_value)


def wilcoxon(undefended: ArrayLike, defended: ArrayLike) -> float:
    """The two-sided p-value of Wilcoxon's signed-rank test without zero differences; NaN below two pairs."""
    from scipy import stats

    differences = _differences(undefended, defended)
    if len(differences) < 2:
        return math.nan
    moved = differences[np.abs(differences) > _ROUNDING]
    return float(stats.wilcoxon(moved).pvalue) if len(moved) else 1.0


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P-values corrected for multiple tests (Holm, 1979): compare each with alpha as if it were the only one.

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, dtype=np.float64)
    if np.isnan(p).any():
        raise ValueError("`p_values` must hold no NaN: leave out what was not tested")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    corrected = np.empty_like(p)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def bootstrap_interval(
    statistic: Callable[..., float],
    *arrays: NDArray[Any],
    generator: np.random.Generator,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> tuple[float, float]:
    """The percentile interval of a statistic of records (Efron, 1979).

    Args:
        statistic: takes the resampled arrays and returns a number; NaN if a resample has none.
        arrays: aligned arrays, (n, ...) each; records are drawn with replacement, the same ones from all.

    Returns:
        The interval; NaN if more than one resample in twenty has no number.
    """
    n = len(arrays[0])
    if any(len(array) != n for array in arrays):
        raise ValueError(f"`arrays` must be of one length, got {[len(array) for array in arrays]}")
    draws = (generator.integers(0, n, n) for _ in range(resamples))
    values = np.array([statistic(*(array[draw] for array in arrays)) for draw in draws])
    kept = _finite(values)
    if len(kept) < 0.95 * resamples:
        return math.nan, math.nan
    low, high = np.quantile(kept, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def detectable_difference(sd: float, n: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference that a two-sided paired t-test finds with probability `power`.

    From the non-central t distribution; `sd` is that of the differences over `n` seeds. NaN below two seeds.
    """
    if n < 2 or math.isnan(sd):
        return math.nan
    return _noncentrality(n, alpha, power) * sd / math.sqrt(n)


@cache
def _noncentrality(n: int, alpha: float, power: float) -> float:
    """Where the non-central t distribution leaves the acceptance region with probability `power`; by bisection.

    That distribution is integrated here over 4,000 quantiles of the standard deviation: scipy's function for it
    is undefined for some arguments.
    """
    from scipy.special import gammaincinv, ndtr, stdtrit

    freedom = n - 1
    quantiles = (np.arange(4000) + 0.5) / 4000
    scale = np.sqrt(2 * gammaincinv(freedom / 2, quantiles) / freedom)  # of the estimate, relative to the truth
    border = stdtrit(freedom, 1 - alpha / 2) * scale
    low, high = 0.0, 1.0
    while (ndtr(high - border) + ndtr(-high - border)).mean() < power:
        low, high = high, 2 * high
    for _ in range(50):
        middle = (low + high) / 2
        enough = (ndtr(middle - border) + ndtr(-middle - border)).mean() >= power
        low, high = (low, middle) if enough else (middle, high)
    return high


def judge(grid: Mapping[K, Comparison], alpha: float = 0.05, min_seeds: int = MIN_SEEDS) -> dict[K, Verdict]:
    """A verdict for every cell of a grid, from paired t-tests corrected over all cells that can be tested.

    The risk rises if the metric changes in the harmful direction. A cell with fewer than `min_seeds` pairs gets no
    verdict, and one that the defence cannot change is unchanged by construction; neither counts as a test.
    """
    changes = {key: paired_change(cell.undefended, cell.defended) for key, cell in grid.items()}
    tested = [key for key, cell in grid.items() if not cell.by_construction and changes[key].n >= min_seeds]
    corrected = dict(zip(tested, map(float, holm([changes[key].p_value for key in tested])), strict=True))
    strictest = alpha / max(len(tested), 1)
    verdicts: dict[K, Verdict] = {}
    for key, cell in grid.items():
        change, p_value = changes[key], corrected.get(key, math.nan)
        level = strictest if key in corrected else alpha
        detectable = math.nan if cell.by_construction else detectable_difference(change.sd, change.n, level)
        word: Outcome = "no evidence"
        if cell.by_construction:
            word = "unchanged by construction"
        elif key not in corrected:
            word = "too few seeds"
        elif p_value < alpha:
            word = "rises" if (change.mean > 0) == (cell.worse == "higher") else "falls"
        verdicts[key] = Verdict(outcome=word, change=change, p_value=p_value, detectable=detectable)
    return verdicts


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]


def _differences(undefended: ArrayLike, defended: ArrayLike) -> NDArray[np.float64]:
    before, after = np.asarray(undefended, dtype=np.float64), np.asarray(defended, dtype=np.float64)
    if before.shape != after.shape:
        raise ValueError(f"`defended` must pair with `undefended`: {before.size} seeds, got {after.size}")
    return _finite(after - before)
