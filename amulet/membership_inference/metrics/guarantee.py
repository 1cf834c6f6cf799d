"""What (epsilon, delta)-differential privacy leaves to any attack in the game that is played here."""

import math

import numpy as np

_MOST = 700.0  # exp of more overflows


def by_substitution(epsilon: float, delta: float) -> tuple[float, float]:
    """Epsilon and delta for neighbours with one record *replaced*, from those for one record more.

    Members are a random half of the pool, of fixed size: without a record, another one is in its place. That is one
    record taken out and one added: group privacy for two (Dwork and Roth, 2014, theorem 2.2 and its form with delta).

    >>> by_substitution(1.0, 0.0)
    (2.0, 0.0)
    """
    return 2 * epsilon, min(1.0, delta * (1 + math.exp(min(epsilon, _MOST))))


def largest_tpr(epsilon: float, delta: float, fpr: float) -> float:
    """The largest true positive rate at a false positive rate, [0, 1] (Kairouz, Oh and Viswanath, ICML 2015).

    The smaller of exp(epsilon) fpr + delta and 1 - exp(-epsilon) (1 - delta - fpr); both for the neighbours that are
    told apart.

    >>> round(largest_tpr(math.log(3), 0.0, 0.01), 4)
    0.03
    """
    few = math.exp(min(epsilon, _MOST)) * fpr + delta
    many = 1 - math.exp(-epsilon) * max(0.0, 1 - delta - fpr)
    return min(1.0, few, many)


def largest_auc(epsilon: float, delta: float) -> float:
    """The area under the curve of `largest_tpr`, [0.5, 1].

    >>> largest_auc(0.0, 0.0)
    0.5
    """
    bend = (1 - delta) / (1 + math.exp(min(epsilon, _MOST)))
    fpr = np.array([0.0, bend, 1 - delta, 1.0])
    return float(np.trapezoid(np.array([delta, 1 - bend, 1.0, 1.0]), fpr))
