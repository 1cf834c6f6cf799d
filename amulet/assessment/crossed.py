"""The change that a defence makes, with an interval over seeds and records.

Every seed trains two models, and all of them answer the same test records: a crossed design. Both are samples, so
both are in the standard error. With y[s, b] the change of seed s as block b of the records shows it, the variance of
the mean change is (MS_seeds + MS_blocks - MS_rest) / (seeds x blocks), from the mean squares of the two-way layout:
the design of readers and cases in diagnostic studies (Dorfman, Berbaum and Metz, 1992; Obuchowski and Rockette,
1995), with Satterthwaite's degrees of freedom (1946).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from amulet.core.blocks import RecordBlocks

Floats = NDArray[np.float64]
ROUNDING = 1e-12
"""Differences of fractions below this are rounding errors."""
_ENUMERATED = 16  # seeds, whose 2^16 patterns of signs are all tried


@dataclass(frozen=True, kw_only=True)
class Change:
    """A mean of paired differences, with its interval and the p-value of the two-sided test that it is 0."""

    n: int
    """Seeds."""
    mean: float
    error: float
    """The standard error, over seeds and records where records are shared; NaN where it cannot be had."""
    sd: float
    """The standard deviation over seeds; NaN below two."""
    low: float
    high: float
    p_value: float
    freedom: float = math.nan
    """The degrees of freedom of the t distribution."""
    seeds_error: float = math.nan
    """What the error would be if the records were fixed."""
    records_error: float = math.nan
    """What it would be if the models were fixed; NaN where no records are shared."""
    sign_flip: float = math.nan
    """The p-value of the exact test that flips the signs of the differences, which assumes no distribution."""


def block_effects(pairs: Sequence[tuple[RecordBlocks | None, RecordBlocks | None]]) -> "BlockEffects | None":
    """How the records move each seed's difference; None unless every model was measured on the same records."""
    kept = [(before, after) for before, after in pairs if before is not None and after is not None]
    if len(kept) < len(pairs) or not kept or len({one.digest for pair in kept for one in pair}) > 1:
        return None
    sums = np.array([np.subtract(after.sums, before.sums) for before, after in kept])
    spread = max(one.spread for pair in kept for one in pair)
    return BlockEffects(sums=sums, spread=spread, records=kept[0][0].records)


@dataclass(frozen=True, kw_only=True, eq=False)
class BlockEffects:
    """The influence of blocks of records on the difference between two victims."""

    sums: Floats
    """(seeds, blocks)"""
    spread: float
    records: int

    @property
    def least_variance(self) -> float:
        """What two records that turn, one each way, add: no sample shows that none would (Bonett and Price, 2012)."""
        return 2 * (self.spread / (self.records + 2)) ** 2


def paired_change(
    undefended: ArrayLike,
    defended: ArrayLike,
    effects: BlockEffects | None = None,
    confidence: float = 0.95,
    most: float = math.inf,
) -> Change:
    """Defended minus undefended.

    Args:
        undefended, defended: (seeds,) each; pairs with a NaN are left out.
        effects: how the records move these differences, seed by seed; None: the records differ by seed, so that the
            differences vary with them too. With effects, a single seed has an interval: over records alone.
        confidence: of the interval.
        most: the largest change that is possible, either way: 1 for fractions. No interval goes beyond it, which few
            seeds' would.
    """
    from scipy.special import stdtr, stdtrit  # a tenth of the time that scipy.stats takes to import

    differences, kept = _paired(undefended, defended)
    n = len(differences)
    mean = float(differences.mean()) if n else math.nan
    sd = float(differences.std(ddof=1)) if n > 1 else math.nan
    variance, freedom, records = sd**2 / n if n > 1 else math.nan, n - 1.0, math.nan
    if effects is not None and n:
        variance, freedom, records = _both(differences, effects.sums[kept], effects.least_variance)
    error = math.sqrt(variance) if variance >= 0 else math.nan
    flip = _sign_flip(differences)
    parts: dict[str, Any] = {
        "n": n,
        "mean": mean,
        "error": error,
        "sd": sd,
        "freedom": freedom,
        "seeds_error": sd / math.sqrt(n) if n else math.nan,
        "records_error": records,
        "sign_flip": flip,
    }
    if math.isnan(error):
        return Change(low=math.nan, high=math.nan, p_value=math.nan, **parts)
    if error <= ROUNDING:  # the same on every seed: no spread to judge by, but the signs
        return Change(low=mean, high=mean, p_value=flip, **parts)
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    p_value = 2 * float(stdtr(freedom, -abs(mean / error)))
    return Change(low=max(mean - half, -most), high=min(mean + half, most), p_value=p_value, **parts)


def _both(differences: Floats, sums: Floats, least: float) -> tuple[float, float, float]:
    """The variance of the mean difference over seeds and records, its degrees of freedom, the error over records."""
    n, blocks = sums.shape
    by_block = blocks * sums.mean(axis=0)  # mean 0: how each block departs from the mean difference
    of_blocks = n * float((by_block**2).sum()) / (blocks - 1)
    records = math.sqrt(of_blocks / (n * blocks) + least)
    if n < 2:
        return records**2, blocks - 1.0, records
    of_seeds = blocks * float(differences.var(ddof=1))
    rest = float(((blocks * sums - by_block) ** 2).sum()) / ((n - 1) * (blocks - 1))
    extra = max(of_blocks - rest, 0.0)
    freedom = float(n - 1)
    if extra and of_seeds + extra:
        spread = of_seeds**2 / (n - 1) + of_blocks**2 / (blocks - 1) + rest**2 / ((n - 1) * (blocks - 1))
        freedom = max((of_seeds + extra) ** 2 / spread, float(n - 1))
    return (of_seeds + extra) / (n * blocks) + least, freedom, records


def _sign_flip(differences: Floats) -> float:
    """The two-sided p-value of the sign-flip test on the mean (Fisher, 1935), over all patterns of signs.

    NaN below two seeds; with more than 16, over 2^16 patterns that are always the same.
    """
    if len(differences) < 2:
        return math.nan
    return _share_of_signs(tuple(differences.tolist()))


@lru_cache(maxsize=4096)
def _share_of_signs(differences: tuple[float, ...]) -> float:
    """How many patterns move the mean as far; a report asks for each row's again."""
    values = np.array(differences)
    signs = _signs(len(values))
    parts = (signs[start : start + 4096].astype(np.float64) @ values for start in range(0, len(signs), 4096))
    means = np.abs(np.concatenate(list(parts))) / len(values)
    return float((means >= abs(values.mean()) - ROUNDING).mean())


@lru_cache(maxsize=8)
def _signs(n: int) -> NDArray[np.int8]:
    """The patterns, (patterns, n), of 1 and -1."""
    if n <= _ENUMERATED:
        patterns = (np.arange(2**n)[:, None] >> np.arange(n)) & 1
    else:
        patterns = np.random.default_rng(0).integers(0, 2, (2**_ENUMERATED, n))
        patterns[0] = 1
    return (2 * patterns - 1).astype(np.int8)


def _paired(undefended: ArrayLike, defended: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    """The differences of the pairs that are finite, and which these are."""
    before, after = np.asarray(undefended, dtype=np.float64), np.asarray(defended, dtype=np.float64)
    if before.shape != after.shape:
        raise ValueError(f"`defended` must pair with `undefended`: {before.size} seeds, got {after.size}")
    differences = after - before
    kept = np.isfinite(differences)
    return differences[kept], kept
