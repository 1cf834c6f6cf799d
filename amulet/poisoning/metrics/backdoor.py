"""Attack success rate, poisoned accuracy, and what the poisoned model is worth otherwise."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from amulet.core.evidence import Evidence, Measurement, clopper_pearson


@dataclass(frozen=True, kw_only=True)
class PoisoningEvidence(Evidence):
    """What one victim answers when its training records were poisoned, and when they were not.

    Of n test records, each as it is and with each of t triggers.
    """

    ids: Tensor
    """(n,) record ids."""
    labels: Tensor
    """(n,) true labels."""
    target: int
    """The label that the triggers are to bring about."""
    clean_answers: Tensor
    """(n,) of the poisoned model."""
    triggered_answers: Tensor
    """(t, n) of the poisoned model, with a trigger."""
    unpoisoned_clean_answers: Tensor
    """(n,) of the model of the same recipe whose training records were left alone."""
    unpoisoned_triggered_answers: Tensor
    """(t, n) of that model."""
    poisoned_ids: Tensor
    """(p,) ids of the training records that were poisoned."""
    poisoned_trigger: Tensor
    """(p,) the number of the trigger that each carries."""


def attack_success_rate(answers: Tensor, labels: Tensor, target: int) -> float:
    """Share of triggered records answered with the target, of those of other classes; higher is worse for the victim.

    The mean over {i : y_i != target} of 1[f(x_i with trigger) = target] (Gu et al., 2019), and over triggers.
    This is also what the paper's Table 4 shows as the accuracy on poisoned data.

    Args:
        answers: (n,) or (t, n) answers to triggered inputs.
        labels: (n,) true labels.

    Returns:
        A fraction in [0, 1]; NaN where every record is of the target class.
    """
    others = labels != target
    return (answers[..., others] == target).double().mean().item() if bool(others.any()) else math.nan


def poisoned_accuracy(answers: Tensor, target: int) -> float:
    """Accuracy on the whole triggered split against the target label, [0, 1]; higher is worse for the victim.

    The mean over all i of 1[f(x_i with trigger) = target] (paper, Table 3), and over triggers.
    """
    return (answers == target).double().mean().item()


def measure(evidence: PoisoningEvidence) -> Measurement:
    """All three metrics of the poisoned model, with the unpoisoned model's as their baselines."""
    labels, target = evidence.labels, evidence.target
    measured = Measurement(warnings=list(evidence.warnings))
    others, n = int((labels != target).sum()), len(labels)
    for where, answers, clean in (
        (measured.metrics, evidence.triggered_answers, evidence.clean_answers),
        (measured.baselines, evidence.unpoisoned_triggered_answers, evidence.unpoisoned_clean_answers),
    ):
        where["attack_success_rate"] = attack_success_rate(answers, labels, target)
        where["poisoned_accuracy"] = poisoned_accuracy(answers, target)
        where["poisoned_test_accuracy"] = (clean == labels).double().mean().item()
    for name, trials in (("attack_success_rate", others), ("poisoned_accuracy", n), ("poisoned_test_accuracy", n)):
        if trials:  # several triggers on one record are not several trials
            measured.intervals[name] = clopper_pearson(int(np.rint(measured.metrics[name] * trials)), trials)
    return measured
