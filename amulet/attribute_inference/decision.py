"""From the likelihood of each value to an answer: the thresholds that maximise balanced accuracy."""

import torch
from torch import Tensor


def balanced_thresholds(log_probabilities: Tensor, truth: Tensor) -> Tensor:
    """The amount to subtract from each value's log probability before taking the largest, (k,).

    Chosen to maximise balanced accuracy on these records: for two values the best threshold; for more, one threshold
    after the other, in three rounds. They start at each value's share of the records, which is optimal for correct
    probabilities.

    Args:
        log_probabilities: (n, k) of records to which the probabilities were not fitted.
        truth: (n,) the records' values in [0, k).

    >>> p = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3]]).double().log()
    >>> answers(p, balanced_thresholds(p, torch.tensor([0, 0, 1])))
    tensor([0, 0, 1])
    """
    scores = log_probabilities.double()
    k = scores.shape[1]
    counts = truth.bincount(minlength=k)
    thresholds = (counts.double().clamp_min(0.5) / len(truth)).log()
    weights = torch.where(counts > 0, 1 / counts.clamp_min(1).double(), 0.0)[truth]
    values = [1] if k == 2 else list(range(k)) * 3
    for value in values if k > 1 else []:
        shifted = scores - thresholds
        shifted[:, value] = float("-inf")
        others, second = shifted.max(dim=1)
        thresholds[value] = _best(scores[:, value] - others, truth == value, second == truth, weights)
    return thresholds


def answers(log_probabilities: Tensor, thresholds: Tensor) -> Tensor:
    """The value of each record, (n,), whose log probability is furthest above its threshold."""
    return (log_probabilities.double() - thresholds).argmax(dim=1)


def _best(margin: Tensor, wanted: Tensor, otherwise_right: Tensor, weights: Tensor) -> Tensor:
    """The threshold on `margin` above which a record gets this value, for the largest weight of correct answers.

    Args:
        margin: (n,) log probability of the value over the best of the others.
        wanted: (n,) whether the value is the correct answer.
        otherwise_right: (n,) whether the best of the others is.
        weights: (n,) the weight of a correct answer.
    """
    margin, order = margin.sort(descending=True)
    gain = (weights * (wanted.double() - otherwise_right.double()))[order].cumsum(0)
    # There is no threshold between equal margins; there is one above all and one below all.
    ends = torch.cat([margin[1:] < margin[:-1], torch.ones(1, dtype=torch.bool)])
    gain = torch.where(ends, gain, float("-inf"))
    best = int(gain.argmax())
    if gain[best] <= 0:
        return margin[0] + 1
    below = margin[best + 1] if best + 1 < len(margin) else margin[best] - 1
    return (margin[best] + below) / 2
