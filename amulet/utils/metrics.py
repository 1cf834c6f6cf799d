"""Metrics of plain predictions: arrays or tensors in, fractions out."""

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from amulet.core.errors import SettingError
from amulet.core.ranking import auc
from amulet.discriminatory_behavior.metrics import gaps
from amulet.discriminatory_behavior.metrics.gaps import count
from amulet.membership_inference.metrics import balanced_accuracy, roc


def membership_metrics(scores: ArrayLike, members: ArrayLike, fpr: float = 0.01) -> dict[str, float]:
    """How well a score tells members from other records.

    Args:
        scores: (n,) floats, higher for members.
        members: (n,) 1 for a member, 0 for another record.
        fpr: the largest false positive rate at which the true positive rate is taken, without interpolation.

    Returns:
        `auc`; `balanced_accuracy` at the best threshold, which is chosen with knowledge of the membership;
        `tpr_at_fpr`. All in [0, 1].

    >>> membership_metrics([3.0, 1.0, 2.0, 0.0], [1, 1, 0, 0])
    {'auc': 0.75, 'balanced_accuracy': 0.75, 'tpr_at_fpr': 0.5}
    """
    score, inside = np.asarray(scores, np.float64), np.asarray(members).astype(bool)
    _same_length(scores=score, members=inside)
    false, true = roc(inside, score)
    return {
        "auc": auc(inside, score),
        "balanced_accuracy": balanced_accuracy(inside, score),
        "tpr_at_fpr": float(true[false <= fpr].max()),
    }


def fairness_metrics(answers: ArrayLike, labels: ArrayLike, groups: ArrayLike, positive: int = 1) -> dict[str, float]:
    """How differently groups are answered.

    Args:
        answers: (n,) predicted classes.
        labels: (n,) true classes.
        groups: (n,) the group of each record: any whole numbers.
        positive: the class that is the favourable answer.

    Returns:
        `demographic_parity_difference`, `equalized_odds_difference`, `true_positive_rate_difference`,
        `false_positive_rate_difference` and `p_rule`, as `amulet.discriminatory_behavior.metrics.gaps` defines them,
        for any number of groups; NaN where fewer than two groups have the rate.

    >>> found = fairness_metrics([1, 1, 1, 0], [1, 0, 1, 0], [0, 0, 1, 1])
    >>> found["demographic_parity_difference"], found["p_rule"]
    (0.5, 0.5)
    """
    answer, label, group = (torch.from_numpy(np.asarray(values).copy()) for values in (answers, labels, groups))
    _same_length(answers=answer, labels=label, groups=group)
    values, place = group.unique(return_inverse=True)
    return gaps(count(answer == positive, label == positive, place, len(values)))


def _same_length(**given: Tensor | np.ndarray) -> None:
    sizes = {name: tuple(values.shape) for name, values in given.items()}
    if len(set(sizes.values())) > 1 or any(len(shape) != 1 for shape in sizes.values()):
        found = ", ".join(f"`{name}` {shape}" for name, shape in sizes.items())
        raise SettingError(f"all must be one value per record (n,), got {found}")
