"""The ROC curve of a membership score, and what is read off it. Scores: higher means member."""

import math

import numpy as np

from amulet.core.evidence import clopper_pearson


def roc(members: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold that the scores allow, from (0, 0) to (1, 1).

    Args:
        members: (n,) bool.
        score: (n,) finite floats.
    """
    from sklearn.metrics import roc_curve

    # Every corner is kept: one that lies on a line between others may be the last within a small rate.
    fpr, tpr, _ = roc_curve(members, score, drop_intermediate=False)
    return fpr, tpr


def auc(members: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve: P[a member scores above a non-member], ties count half; [0, 1], 0.5 is chance.

    >>> auc(np.array([True, True, False]), np.array([2.0, 1.0, 1.0]))
    0.75
    """
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(members, score))


def auc_interval(members: np.ndarray, score: np.ndarray) -> tuple[float, float]:
    """95 % interval of the AUC over records, by DeLong's variance in the form of Sun and Xu (2014).

    It takes the attacked model and the shadow models as given; what another training would change shows over seeds.
    Where all members score above all others, or below, the variance vanishes: the exact interval of as many trials as
    the smaller side has records stands in.
    """
    inside, outside = score[members], score[~members]
    m, n = len(inside), len(outside)
    everywhere = _midranks(np.concatenate([inside, outside]))
    above = (everywhere[:m] - _midranks(inside)) / n  # share of non-members below each member
    below = 1 - (everywhere[m:] - _midranks(outside)) / m  # share of members above each non-member
    area = float(above.mean())
    if area in (0.0, 1.0) or min(m, n) < 2:
        trials = min(m, n)
        return clopper_pearson(round(area * trials), trials)
    deviation = math.sqrt(float(above.var(ddof=1)) / m + float(below.var(ddof=1)) / n)
    return max(0.0, area - 1.959964 * deviation), min(1.0, area + 1.959964 * deviation)


def _midranks(values: np.ndarray) -> np.ndarray:
    """1-based ranks; equal values share the middle of theirs."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[place]


def balanced_accuracy(members: np.ndarray, score: np.ndarray) -> float:
    """The best mean of true positive and true negative rate over all thresholds; the paper's Acc_fix, [0.5, 1].

    The threshold is chosen with the answers at hand: over n records, a score that is blind gets to about
    0.5 + 0.6 / sqrt(n).

    >>> balanced_accuracy(np.array([True, True, False, False]), np.array([3.0, 1.0, 2.0, 0.0]))
    0.75
    """
    fpr, tpr = roc(members, score)
    return float(((tpr + 1 - fpr) / 2).max())


def hits_at_fpr(members: np.ndarray, score: np.ndarray, rate: float) -> int | None:
    """How many members score above the threshold at which at most `rate` of the non-members do.

    None where there are fewer than 10 / rate non-members: the sample cannot resolve the rate. Of thresholds with the
    same false positives the one with the most hits; no interpolation between them (Carlini et al., S&P 2022).
    """
    if (~members).sum() < resolving(rate):
        return None
    fpr, tpr = roc(members, score)
    return round(float(tpr[fpr <= rate].max()) * int(members.sum()))


def resolving(rate: float) -> int:
    """How many non-members it takes to speak of that false positive rate.

    >>> resolving(0.001)
    10000
    """
    return round(10 / rate)
