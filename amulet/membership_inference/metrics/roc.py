"""The ROC curve of a membership score, and metrics from it. Scores: higher means member."""

import math
from collections.abc import Callable

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
    others = int((~members).sum())
    return int(_hits(members, score)[math.floor(rate * others + 1e-9)])


def tpr_interval(
    members: np.ndarray, score: np.ndarray, rate: float, confidence: float = 0.95
) -> tuple[float, float] | None:
    """The interval of the true positive rate at a false positive rate, over members *and* non-members.

    The threshold at which `rate` of all non-members would score higher is not known: of the n at hand, a binomial
    number k of them is above it, whatever the distribution of the score, and it lies between the k-th and the next. For
    the hits at either end the rate has Jeffreys' distribution; the limits are quantiles of these, mixed with the
    probabilities of k. With Clopper and Pearson's limits for the hits, as
    if the threshold were known, a 95 % interval covers in 40 to 88 % of the cases. None as for
    `hits_at_fpr`.
    """
    from scipy.special import bdtr, betainc

    others, m = int((~members).sum()), int(members.sum())
    if others < resolving(rate) or not m:
        return None
    hits = _hits(members, score)
    spread = 8 * math.sqrt(others * rate * (1 - rate)) + 10
    ks = np.arange(max(0, math.floor(others * rate - spread)), min(others, math.ceil(others * rate + spread)) + 1)
    chances = np.diff(bdtr(ks, others, rate), prepend=bdtr(ks[0] - 1, others, rate) if ks[0] else 0.0)
    ends = np.stack([np.where(ks > 0, hits[np.maximum(ks - 1, 0)], 0), hits[ks]])
    weights = chances / chances.sum() / 2

    def below(p: float) -> float:
        return float((betainc(ends + 0.5, m - ends + 0.5, p) * weights).sum())

    tail = (1 - confidence) / 2
    low, high = _solve(below, tail), _solve(below, 1 - tail)
    found = float(hits[math.floor(rate * others + 1e-9)]) / m
    return min(low, found), max(high, found)


def _solve(below: Callable[[float], float], wanted: float) -> float:
    """Where a rising function of [0, 1] reaches a value."""
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) < wanted else (low, middle)
    return (low + high) / 2


def _hits(members: np.ndarray, score: np.ndarray) -> np.ndarray:
    """(others + 1,): the members above the best threshold that at most 0, 1, 2, ... of the others are above."""
    ordered = np.argsort(-score, kind="stable")
    last = np.append(score[ordered][1:] != score[ordered][:-1], True)  # no threshold between equal scores
    true = members[ordered]
    found = np.append(0, np.cumsum(true)[last])
    false = np.append(0, np.cumsum(~true)[last])
    others = int((~members).sum())
    return found[np.searchsorted(false, np.arange(others + 1), side="right") - 1]


def resolving(rate: float) -> int:
    """The number of non-members needed for that false positive rate.

    >>> resolving(0.001)
    10000
    """
    return round(10 / rate)
