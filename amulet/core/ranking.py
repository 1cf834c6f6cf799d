"""How well a score separates two kinds of records."""

import math

import numpy as np
from torch import Tensor

from amulet.core.intervals import clopper_pearson


def auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: P[a positive scores above a negative], ties count half; [0, 1], 0.5 is chance.

    >>> auc(np.array([True, True, False]), np.array([2.0, 1.0, 1.0]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(positive, score))


def one_vs_rest_auc(scores: Tensor, truth: Tensor) -> float:
    """Area under the ROC curve of scores for each value, in [0, 1], chance 0.5.

    With more than two values: the mean over the values that occur, each against the rest (one-vs-rest, macro). NaN
    if only one value occurs.

    Args:
        scores: (n, k), one column for each value; only their order counts.
        truth: (n,) in [0, k).
    """
    occurring = truth.unique().tolist()
    if len(occurring) < 2:
        return math.nan
    values = [occurring[1]] if scores.shape[1] == 2 else occurring
    columns, right = scores.double().cpu().numpy(), truth.cpu().numpy()
    each = [auc(right == value, columns[:, value]) for value in values]
    return sum(each) / len(each)


def auc_interval(positive: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """95 % interval of the AUC over records, by DeLong's variance in the form of Sun and Xu (2014).

    It is for the given models; several seeds show how much another training would change.
    If all positives score above all negatives, or below, the variance is zero: then it is the exact interval for as
    many trials as the smaller side has records.
    """
    inside, outside = score[positive], score[~positive]
    m, n = len(inside), len(outside)
    everywhere = _midranks(np.concatenate([inside, outside]))
    above = (everywhere[:m] - _midranks(inside)) / n  # share of negatives below each positive
    below = 1 - (everywhere[m:] - _midranks(outside)) / m  # share of positives above each negative
    area = float(above.mean())
    if area in (0.0, 1.0) or min(m, n) < 2:
        trials = min(m, n)
        return clopper_pearson(round(area * trials), trials)
    deviation = math.sqrt(float(above.var(ddof=1)) / m + float(below.var(ddof=1)) / n)
    return max(0.0, area - 1.959964 * deviation), min(1.0, area + 1.959964 * deviation)


def _midranks(values: np.ndarray) -> np.ndarray:
    """1-based ranks; equal values get their mean rank."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]
