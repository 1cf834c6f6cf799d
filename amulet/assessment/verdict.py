"""The verdict on each risk of a grid: what a defence changed, and whether the numbers can show it.

Undefended and defended victims share their seeds, so everything here works on paired differences.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amulet.assessment.crossed import ROUNDING, BlockEffects, Change, paired_change
from amulet.core.intervals import clopper_pearson

__all__ = ["MIN_SEEDS", "Comparison", "Summary", "Verdict", "clopper_pearson", "holm", "judge", "summarize"]

Outcome = Literal[
    "rises",
    "falls",
    "equivalent",
    "no evidence",
    "cannot show",
    "not measurable",
    "unchanged by construction",
    "too few seeds",
]
Worse = Literal["higher", "lower"]
K = TypeVar("K", bound=Hashable)

MIN_SEEDS = 10
"""With fewer seeds there are intervals but no verdicts."""


@dataclass(frozen=True)
class Summary:
    """One number over seeds. `error` (of the mean) and `sd` are NaN for a single seed."""

    n: int
    mean: float
    error: float
    sd: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One metric on both victims, seed by seed, in the same order of seeds, and what its number can carry."""

    undefended: Sequence[float]
    defended: Sequence[float]
    worse: Worse
    """Which way is worse for the victim."""
    effects: BlockEffects | None = None
    """How the records move the differences, where every seed has the same ones."""
    most: float = math.inf
    """The largest change that is possible, either way."""
    smallest_effect: float = 0.0
    """Changes within it are equivalent to none."""
    by_construction: bool = False
    """The defence cannot change this metric (it alters no weight)."""
    not_measurable: str = ""
    """Why some seeds have no number: a verdict on the others would be one on survivors."""
    invalid: str = ""
    """Why no verdict may rest on the numbers."""
    at_least: str = ""
    """Why the undefended victim's risk cannot be seen to fall: it is where the attack achieves nothing."""
    at_most: str = ""
    """Why it cannot be seen to rise: the attack always succeeds."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The verdict on one risk."""

    outcome: Outcome
    change: Change
    p_value: float
    """Holm-corrected over the grid; NaN where nothing was tested."""
    detectable: float
    """The smallest true difference that would have been found with a power of 0.8; NaN below two seeds."""
    reason: str = ""
    """Why there is no number, or none that could show an effect."""
    smallest_effect: float = 0.0
    """The smallest change that counts."""


def summarize(values: ArrayLike) -> Summary:
    """Mean, standard error and standard deviation (with n - 1) of the values that are not NaN.

    >>> summarize([1.0, 2.0, 3.0])
    Summary(n=3, mean=2.0, error=0.5773502691896258, sd=1.0)
    """
    kept = _finite(values)
    n = len(kept)
    if n == 0:
        return Summary(0, math.nan, math.nan, math.nan)
    mean = float(kept.mean())
    sd = float(kept.std(ddof=1)) if n > 1 else math.nan
    sd = 0.0 if sd <= ROUNDING * max(abs(mean), 1.0) else sd  # the same number on every seed
    return Summary(n, mean, sd / math.sqrt(n), sd)


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


def detectable_difference(change: Change, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest true mean difference that a test at `alpha` finds with probability `power`.

    From the non-central t distribution with the change's error and degrees of freedom. NaN below two seeds.
    """
    if change.n < 2 or math.isnan(change.error):
        return math.nan
    return _noncentrality(round(change.freedom, 1), alpha, power) * change.error


@cache
def _noncentrality(freedom: float, alpha: float, power: float) -> float:
    """Where the non-central t distribution leaves the acceptance region with probability `power`; by bisection.

    That distribution is integrated here over 4,000 quantiles of the standard deviation: scipy's function for it
    is undefined for some arguments.
    """
    from scipy.special import gammaincinv, ndtr, stdtrit

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
    """A verdict for every cell of a grid; the tests are corrected over all cells that are tested (Holm).

    - `unchanged by construction`, `not measurable`: nothing is tested. `cannot show`: nor is it where the number is
      invalid.
    - `too few seeds`: below `min_seeds` pairs there is an interval, and no test.
    - `equivalent`: the 95 % interval lies within the smallest effect that counts, which is a test of equivalence at
      2.5 % (two one-sided tests: Schuirmann, 1987).
    - `rises`, `falls`: the metric changed in the direction that is worse, or better, for the victim.
    - `cannot show`: neither, and the undefended victim is where the attack achieves nothing, or always succeeds, or
      the change goes where there is no room for it.
    - `no evidence`: none of these.
    """
    changes = {
        key: paired_change(cell.undefended, cell.defended, cell.effects, most=cell.most) for key, cell in grid.items()
    }
    tested = [key for key, cell in grid.items() if _testable(cell) and changes[key].n >= min_seeds]
    corrected = dict(zip(tested, map(float, holm([changes[key].p_value for key in tested])), strict=True))
    strictest = alpha / max(len(tested), 1)
    verdicts: dict[K, Verdict] = {}
    for key, cell in grid.items():
        change, p_value = changes[key], corrected.get(key, math.nan)
        level = strictest if key in corrected else alpha
        detectable = detectable_difference(change, level) if _testable(cell) else math.nan
        outcome, reason = _outcome(cell, change, p_value, alpha, min_seeds)
        verdicts[key] = Verdict(
            outcome=outcome,
            reason=reason,
            change=change,
            p_value=p_value,
            detectable=detectable,
            smallest_effect=cell.smallest_effect,
        )
    return verdicts


def _testable(cell: Comparison) -> bool:
    return not (cell.by_construction or cell.not_measurable or cell.invalid)


def _outcome(cell: Comparison, change: Change, p_value: float, alpha: float, min_seeds: int) -> tuple[Outcome, str]:
    if cell.by_construction:
        return "unchanged by construction", ""
    if cell.not_measurable:
        return "not measurable", cell.not_measurable
    if cell.invalid:
        return "cannot show", cell.invalid
    up = (change.mean > 0) == (cell.worse == "higher")
    few = change.n < min_seeds
    moved = (change.low > 0 or change.high < 0) if few else p_value < alpha
    stuck = cell.at_most if up else cell.at_least
    if moved and stuck:
        return "cannot show", stuck
    if not moved and (cell.at_least or cell.at_most):
        return "cannot show", cell.at_least or cell.at_most
    if few:
        return "too few seeds", ""
    if -cell.smallest_effect <= change.low and change.high <= cell.smallest_effect:
        return "equivalent", ""
    if moved:
        return ("rises" if up else "falls"), ""
    return "no evidence", ""


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    found = np.asarray(values, dtype=np.float64)
    return found[np.isfinite(found)]
