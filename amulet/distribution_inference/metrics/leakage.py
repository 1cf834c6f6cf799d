"""How many records a model leaks, in effect: so many drawn at random would tell the ratio as well."""

import math

import torch
from torch import Tensor


def leaked_records(accuracy: float, ratio_1: float, ratio_2: float) -> float:
    """The number of records that tell two ratios apart as well as a model does: n_leaked, at least 0.

    Suri and Evans (PETS 2022), Theorem 4.1: who sees n records drawn from one of two distributions in which a value has
    the ratios a and b tells which with an accuracy of at most (1 + sqrt(1 - q^n)) / 2, where q is the larger of
    min(a, b) / max(a, b) and (1 - max(a, b)) / (1 - min(a, b)). So n is at least log(4 w (1 - w)) / log q for an
    accuracy w.

    Args:
        accuracy: of telling the two apart, [0, 1]; at most 0.5 is 0 records, 1 infinitely many.
        ratio_1: the one ratio.
        ratio_2: the other. NaN if they are equal; infinite if one record can prove one of them.

    >>> round(leaked_records(0.75, 0.2, 0.8), 3)
    0.208
    """
    low, high = sorted((ratio_1, ratio_2))
    if low == high:
        return math.nan
    if accuracy <= 0.5:
        return 0.0
    q = max(low / high, (1 - high) / (1 - low))
    if accuracy >= 1 or q == 0:
        return math.inf
    return math.log(4 * accuracy * (1 - accuracy)) / math.log(q)


def ratio_errors(estimates: Tensor, population: Tensor, ratios: Tensor) -> tuple[Tensor, Tensor]:
    """Mean absolute and mean squared error of inferred ratios, (k,) each: one for each ratio.

    Args:
        estimates: (n,) inferred ratios, [0, 1].
        population: (n,) the position of each model's ratio.
        ratios: (k,) the true ones.
    """
    error = estimates.double() - ratios.double()[population]
    count = population.bincount(minlength=len(ratios)).double()
    absolute, squared = (torch.bincount(population, part, minlength=len(ratios)) for part in (error.abs(), error**2))
    return absolute / count, squared / count


def leaked_by_regression(squared: Tensor, ratios: Tensor) -> float:
    """The number of records whose share estimates the ratio as well: n_leaked of a regression.

    The share of a value among n records has the mean squared error a (1 - a) / n for a ratio a (Suri and Evans, PETS
    2022). They average a (1 - a) / error over ratios, which one ratio decides that is hit by luck; here the mean of
    a (1 - a) is divided by that of the errors. Infinite without any error.

    Args:
        squared: (k,) mean squared errors.
        ratios: (k,) the true ratios.

    >>> round(leaked_by_regression(torch.tensor([0.025, 0.025]), torch.tensor([0.5, 0.5])), 6)
    10.0
    """
    spread, error = (ratios * (1 - ratios)).double().mean().item(), squared.double().mean().item()
    return spread / error if error else math.inf
