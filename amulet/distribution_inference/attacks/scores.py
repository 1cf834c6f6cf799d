"""The tests of distribution inference: from models' answers to a score of each victim, above 0 for the second ratio.

Answers are log probabilities (sets, models, queries, classes): first the queries drawn with the first ratio, then those
with the second. Each victim is scored separately: no score depends on the other victims.
"""

from typing import Literal

import torch
from torch import Tensor

Test = Literal["kl", "loss", "threshold"]


def mean_kl(of: Tensor, to: Tensor) -> Tensor:
    """Mean over queries of KL(of || to) for every pair of models, (sets, models of `to`, models of `of`), in nats.

    Args:
        of: log probabilities (sets, a, queries, classes).
        to: log probabilities (sets, v, queries, classes).
    """
    of, to = of.double(), to.double()
    queries = of.shape[2]
    p = of.exp().flatten(2)
    entropy = (p * of.flatten(2)).sum(dim=2)  # (sets, a), negative entropies summed over queries
    return (entropy.unsqueeze(1) - to.flatten(2) @ p.transpose(1, 2)) / queries


def kl_votes(far: Tensor, near: Tensor) -> Tensor:
    """The share of pairs of the adversary's models that vote for the second ratio, minus one half, (v,).

    Every model of the first ratio is paired with every one of the second, on both query sets, and votes for the one
    whose answers are closer to the victim's.

    Args:
        far: divergences (sets, v, a) from the models of the first ratio, from `mean_kl`.
        near: divergences (sets, v, b) from those of the second.

    Returns:
        In [-0.5, 0.5]. Equal votes are decided by the mean divergences, which then count less than one vote.
    """
    difference = far.unsqueeze(3) - near.unsqueeze(2)
    votes = difference.sign().mean(dim=(0, 2, 3)) / 2
    tie = difference.mean(dim=(0, 2, 3)).sign() / (8 * difference[:, 0].numel())
    return torch.where(votes.abs() < 1e-12, tie, votes)


def kl_score(victims: Tensor, first: Tensor, second: Tensor, *, calibrate: bool = True) -> Tensor:
    """The KL test (Suri et al., SaTML 2023): to which models' answers are a victim's closer?

    The share of votes of `kl_votes`, minus a threshold. The paper compares a random part of the pairs, and scales the
    differences over all victims before it takes one half as threshold; here no score depends on other victims.

    Args:
        victims: (2, v, queries, classes) answers of the victims' models.
        first: (2, a, queries, classes) of the adversary's models of the first ratio.
        second: (2, b, queries, classes) of those of the second.
        calibrate: models of one ratio can differ more among themselves than those of the other, and then most votes
            go to the other ratio, whatever the victim. So the threshold is midway between the mean votes for the
            adversary's own models of either ratio, each voted on by the rest. Else it is at equal votes.

    Returns:
        (v,), above 0 for the second ratio.
    """
    votes = kl_votes(mean_kl(first, victims), mean_kl(second, victims))
    if not calibrate or min(first.shape[1], second.shape[1]) < 2:
        return votes
    own = [
        kl_votes(_without_itself(mean_kl(first, first)), mean_kl(second, first)),
        kl_votes(mean_kl(first, second), _without_itself(mean_kl(second, second))),
    ]
    return votes - (own[0].mean() + own[1].mean()) / 2


def _without_itself(divergences: Tensor) -> Tensor:
    """Divergences (sets, n, n) of n models without those of each from itself, (sets, n, n - 1)."""
    sets, n, _ = divergences.shape
    return divergences[:, ~torch.eye(n, dtype=torch.bool, device=divergences.device)].view(sets, n, n - 1)


def accuracies(answers: Tensor, labels: Tensor) -> Tensor:
    """Each model's accuracy on each query set, (sets, models); `labels` are (sets, queries)."""
    return (answers.argmax(dim=3) == labels.unsqueeze(1)).double().mean(dim=2)


def loss_score(victims: Tensor, labels: Tensor) -> Tensor:
    """The loss test (Suri and Evans, PETS 2022): on which query set is the victim more accurate? (v,)

    It needs no models of the adversary.
    """
    first, second = accuracies(victims, labels)
    return second - first


def threshold_score(victims: Tensor, first: Tensor, second: Tensor, labels: Tensor) -> Tensor:
    """The threshold test (Suri and Evans, PETS 2022): an accuracy that separates the adversary's models.

    The query set, the threshold and the side of the second ratio are those that best separate the adversary's own
    models; the score is the victim's accuracy minus that threshold, (v,), signed so that above 0 is the second ratio.
    """
    ours = torch.cat([first, second], dim=1)
    truth = torch.arange(ours.shape[1], device=ours.device) >= first.shape[1]
    balance = torch.where(truth, 1 / second.shape[1], -1 / first.shape[1]).double()
    best = -1.0, 0, 0.0, 1.0
    for queries, values in enumerate(accuracies(ours, labels)):
        ordered, order = values.sort()
        # Of the models below a threshold: the share of the second ratio's minus the share of the first's.
        below = balance[order].cumsum(0)[:-1]
        cut = ordered[1:] > ordered[:-1]
        gaps = torch.where(cut, below.abs(), -1.0)
        if len(gaps) and gaps.max() > best[0]:
            at = int(gaps.argmax())
            middle = (ordered[at] + ordered[at + 1]).item() / 2
            best = gaps[at].item(), queries, middle, -1.0 if below[at] > 0 else 1.0
    _, queries, middle, side = best
    return side * (accuracies(victims, labels)[queries] - middle)
