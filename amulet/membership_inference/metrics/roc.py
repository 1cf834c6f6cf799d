"""The ROC curve of a membership score, and metrics from it. Scores: higher means member."""

import numpy as np


def roc(members: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold, from (0, 0) to (1, 1).

    Args:
        members: (n,) bool.
        score: (n,) finite floats.
    """
    from sklearn.metrics import roc_curve

    # Every corner is kept: one on a line between others may be the last within a small rate.
    fpr, tpr, _ = roc_curve(members, score, drop_intermediate=False)
    return fpr, tpr


def balanced_accuracy(members: np.ndarray, score: np.ndarray) -> float:
    """The best mean of true positive and true negative rate over all thresholds; the paper's Acc_fix, [0.5, 1].

    The threshold is chosen with knowledge of the membership: with n records, a random score reaches about
    0.5 + 0.6 / sqrt(n).

    >>> balanced_accuracy(np.array([True, True, False, False]), np.array([3.0, 1.0, 2.0, 0.0]))
    0.75
    """
    fpr, tpr = roc(members, score)
    return float(((tpr + 1 - fpr) / 2).max())


def hits_at_fpr(members: np.ndarray, score: np.ndarray, rate: float) -> int | None:
    """The number of members that score above the threshold at which at most `rate` of the non-members do.

    None if there are fewer than 10 / rate non-members: the sample cannot resolve the rate. Of thresholds with the same
    false positives, the one with the most true positives; no interpolation between them (Carlini et al., S&P 2022).
    """
    if (~members).sum() < resolving(rate):
        return None
    fpr, tpr = roc(members, score)
    return round(float(tpr[fpr <= rate].max()) * int(members.sum()))


def resolving(rate: float) -> int:
    """The number of non-members needed for that false positive rate.

    >>> resolving(0.001)
    10000
    """
    return round(10 / rate)
