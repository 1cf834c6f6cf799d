"""Attack success rate, poisoned accuracy, and the clean accuracy of the poisoned model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.influence import of_mean
from amulet.core.intervals import clopper_pearson

METRICS = metrics_of(
    "poisoning",
    Metric(
        "attack_success_rate",
        "records with a trigger that get the attacker's answer",
        "higher",
        decides=True,
    ),
    Metric(
        "poisoned_accuracy",
        "share of all records with a trigger that get the attacker's answer",
        "higher",
    ),
    Metric("poisoned_test_accuracy", "accuracy of the poisoned model on clean records", "lower"),
)


@dataclass(frozen=True, kw_only=True)
class PoisoningEvidence(Evidence):
    """The answers of one victim with poisoned and with clean training records.

    For n test records, each unchanged and with each of t triggers.
    """

    ids: Tensor
    """(n,) record ids."""
    labels: Tensor
    """(n,) true labels."""
    target: int
    """The label that the triggers should cause."""
    clean_answers: Tensor
    """(n,) of the poisoned model."""
    triggered_answers: Tensor
    """(t, n) of the poisoned model, with a trigger."""
    unpoisoned_clean_answers: Tensor
    """(n,) of the model of the same recipe with clean training records."""
    unpoisoned_triggered_answers: Tensor
    """(t, n) of that model."""
    poisoned_ids: Tensor
    """(p,) ids of the training records that were poisoned."""
    poisoned_trigger: Tensor
    """(p,) the number of the trigger of each."""
    curve: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(t, n) by rate: with a trigger, the answers of a model trained with that share of poisoned records."""


def attack_success_rate(answers: Tensor, labels: Tensor, target: int) -> float:
    """Share of triggered records of other classes classified as the target; higher is worse for the victim.

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
    """Accuracy on the whole triggered split with respect to the target label, [0, 1]; higher is worse for the victim.

    The mean over all i of 1[f(x_i with trigger) = target] (paper, Table 3), and over triggers.
    """
    return (answers == target).double().mean().item()


def measure(evidence: PoisoningEvidence) -> Measurement:
    """All three metrics of the poisoned model, with the unpoisoned model's as their baselines; success by rate."""
    measured = Measurement(warnings=list(evidence.warnings))
    target, every = evidence.target, torch.ones(len(evidence.labels), dtype=torch.bool)
    others = evidence.labels != target
    obeyed, before = (
        answers == target for answers in (evidence.triggered_answers, evidence.unpoisoned_triggered_answers)
    )
    right, right_before = (
        answers == evidence.labels for answers in (evidence.clean_answers, evidence.unpoisoned_clean_answers)
    )
    _record(measured, "attack_success_rate", evidence.ids, others, obeyed, before)
    _record(measured, "poisoned_accuracy", evidence.ids, every, obeyed, before)
    _record(measured, "poisoned_test_accuracy", evidence.ids, every, right, right_before)
    for rate, answers in evidence.curve.items():
        _record(measured, "attack_success_rate", evidence.ids, others, answers == target, before, rate=rate)
    return measured


def _record(
    measured: Measurement,
    name: str,
    ids: Tensor,
    among: Tensor,
    hits: Tensor,
    plain: Tensor,
    rate: str | None = None,
) -> None:
    """Record the share of `hits` (n,) or (t, n) among some records; `plain`: those of the unpoisoned model."""
    each, without = (torch.atleast_2d(rows[..., among]).double().mean(dim=0) for rows in (hits, plain))
    n = len(each)
    measured.record(
        METRICS[name],
        each.mean().item(),
        None if rate is None else {"rate": rate},
        prefix=None if rate is None else [f"rate_{100 * float(rate):g}pct"],
        # Several triggers on one record are not several trials.
        interval=clopper_pearson(round(each.sum().item()), n) if n else None,
        baseline=without.mean().item(),
        influence=of_mean(ids[among], each) if n else None,
        decides=None if rate is None else False,
    )
