"""What correct guesses about canaries prove of epsilon (Steinke, Nasr and Jagielski, NeurIPS 2023)."""

import math
from dataclasses import dataclass

import numpy as np

_MOST = 50.0  # an epsilon that no audit of fewer than exp(50) guesses can prove


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The outcome of an audit: guesses about records that were each included by the toss of a coin."""

    canaries: int
    """How many there were."""
    guesses: int
    """How many of them were guessed: a number that was fixed before any answer was seen."""
    right: int
    """How many guesses were right."""
    delta: float
    """Of the differential privacy that is tested, [0, 1]."""


def chance_of(audit: Audit, epsilon: float) -> float:
    """The largest probability of as many right guesses if training is (epsilon, delta)-private, [0, 1].

    P[W >= v] + 2 m delta max_i P[v - i <= W < v] / i for v right ones of r guesses about m canaries, with W binomial
    (r, 1 / (1 + exp(-epsilon))) (theorem 5.2 with appendix D there). Privacy is that of adding or removing a record.

    >>> round(chance_of(Audit(canaries=10, guesses=1, right=1, delta=0.0), math.log(3)), 6)
    0.75
    """
    from scipy.special import bdtr, bdtrc

    r, v = audit.guesses, audit.right
    if not v:
        return 1.0
    p = 1 / (1 + math.exp(-epsilon))
    surely = float(bdtrc(v - 1, r, p))
    lower = np.append(0.0, bdtr(np.arange(v), r, p))  # P[W < k] for k = 0 ... v
    between = (lower[v] - lower[:v][::-1]) / np.arange(1, v + 1)
    return min(1.0, surely + 2 * audit.canaries * audit.delta * float(between.max()))


def least_epsilon(audit: Audit, confidence: float = 0.95) -> float:
    """The lower bound on epsilon with that confidence, 0 or more: smaller ones make so many right guesses too unlikely.

    >>> round(least_epsilon(Audit(canaries=1000, guesses=200, right=166, delta=0.0)), 2)
    1.27
    """
    low, high = 0.0, _MOST
    if chance_of(audit, low) > 1 - confidence:
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if chance_of(audit, middle) <= 1 - confidence else (low, middle)
    return low
