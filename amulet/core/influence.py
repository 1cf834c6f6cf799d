"""How far each record moves a metric: with it, an interval covers the records as well as the seeds.

A metric over n records reacts to another sample of them, to first order, as the mean of its influence values does
(Hampel, 1974): its standard error is their standard deviation over the square root of n. Two victims on the same
records differ by the difference of their influences, which is the paired comparison.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amulet.core.blocks import BLOCKS, RecordBlocks

Floats = NDArray[np.float64]
_STEP = 1e-6


@dataclass(frozen=True, eq=False)
class Influence:
    """The influence of every record that a metric was computed over."""

    ids: NDArray[np.int64]
    """(n,): the records' ids; another seed or victim has the same ones, or is not comparable record by record."""
    values: Floats
    """(n,): mean 0, in the metric's unit."""

    def __post_init__(self) -> None:
        if self.ids.shape != self.values.shape or self.ids.ndim != 1:
            raise ValueError(f"`values` must be one per record: {self.ids.shape} ids, {self.values.shape} values")

    @property
    def error(self) -> float:
        """The metric's standard error over records; NaN below two."""
        n = len(self.values)
        return float(np.sqrt((self.values**2).sum() / (n - 1) / n)) if n > 1 else float("nan")

    def blocks(self) -> RecordBlocks:
        """What is kept of it."""
        n = len(self.values)
        sums = np.bincount(_block_of(self.ids), weights=self.values, minlength=BLOCKS) / max(n, 1)
        order = np.argsort(self.ids, kind="stable")
        return RecordBlocks(
            digest=hashlib.sha256(self.ids[order].tobytes()).hexdigest()[:16],
            records=n,
            spread=float(np.ptp(self.values)) if n else 0.0,
            sums=tuple(float(f"{total:.6g}") for total in sums),
        )


def _block_of(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each id's block, from 0 to BLOCKS - 1: as if drawn, but always the same (the finalizer of SplitMix64)."""
    mixed = ids.astype(np.uint64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(BLOCKS)).astype(np.int64)


def of_mean(ids: Any, values: Any) -> Influence:
    """Of the mean of one value per record, such as a share: 0 and 1.

    >>> round(of_mean(range(100), [1] * 50 + [0] * 50).error, 4)
    0.0503
    """
    numbers = _array(values, np.float64)
    return Influence(_array(ids, np.int64), numbers - (numbers.mean() if len(numbers) else 0.0))


def of_cells(ids: Any, cells: Any, statistic: Callable[[Floats], float], kinds: int | None = None) -> Influence:
    """Of any smooth function of how the records divide into cells: Cohen's kappa, balanced accuracy, a gap.

    Args:
        ids: (n,) record ids.
        cells: (n,) the cell of each record, from 0: what was answered and what is true, say.
        statistic: the metric, from the shares of the cells (kinds,), which add up to 1.
        kinds: the number of cells; the largest of `cells` + 1 if None.
    """
    place = _array(cells, np.int64)
    shares = np.bincount(place, minlength=kinds or 0) / max(len(place), 1)
    slopes = np.zeros_like(shares)
    for cell in np.flatnonzero(shares):  # towards a sample with more of this cell
        more, less = shares.copy(), shares.copy()
        more[cell] += _STEP
        less[cell] -= _STEP
        slopes[cell] = (statistic(more) - statistic(less)) / (2 * _STEP)
    return Influence(_array(ids, np.int64), (slopes - shares @ slopes)[place])


def of_auc(ids: Any, scores: Any, positive: Any) -> Influence:
    """Of the area under the ROC curve of `scores` for `positive` against the others (DeLong et al., 1988)."""
    score, true = _array(scores, np.float64), _array(positive, np.bool_)
    n, n_true = len(score), int(true.sum())
    n_false = n - n_true
    values = np.zeros(n)
    if n_true and n_false:
        above = _mean_rank(score, score[~true])  # the share of the negatives below each score, ties half
        below = 1 - _mean_rank(score, score[true])
        auc = above[true].mean()
        values[true] = (above[true] - auc) * n / n_true
        values[~true] = (below[~true] - auc) * n / n_false
    return Influence(_array(ids, np.int64), values)


def _mean_rank(values: Floats, among: Floats) -> Floats:
    """The share of `among` that lies below each value, ties counted half."""
    ordered = np.sort(among)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(ordered))


def _array(values: Any, kind: Any) -> NDArray[Any]:
    if hasattr(values, "detach"):  # a tensor; reports read influences without loading torch
        values = values.detach().cpu().numpy()
    return np.asarray(list(values) if isinstance(values, range) else values).astype(kind)
