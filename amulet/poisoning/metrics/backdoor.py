"""Attack success rate, accuracy with a trigger, and the clean accuracy of the poisoned model."""

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
        "records that get the attacker's answer, of those the attack is after",
        "higher",
        decides=True,
    ),
    Metric(
        "poisoned_accuracy",
        "share of all records with a trigger that get the attacker's answer",
        "higher",
    ),
    Metric("triggered_accuracy", "accuracy on records with a trigger, by their true labels", "lower"),
    Metric("poisoned_test_accuracy", "accuracy of the poisoned model on clean records", "lower"),
)


@dataclass(frozen=True, kw_only=True)
class PoisoningEvidence(Evidence):
    """The answers of one victim with poisoned and with clean training records.

    For n test records, each unchanged and under attack: with each of t triggers, or unchanged (t = 1).
    """

    ids: Tensor
    """(n,) record ids."""
    labels: Tensor
    """(n,) true labels."""
    wanted: Tensor
    """(n,) the class that the attack wants for each record; -1: any but the true one."""
    counts: Tensor
    """(n,) bool: the records on which it wants that."""
    has_triggers: bool = True
    """Whether attacked records have a trigger; else they are unchanged."""
    clean_answers: Tensor
    """(n,) of the poisoned model."""
    attacked_answers: Tensor
    """(t, n) of the poisoned model, under attack."""
    unpoisoned_clean_answers: Tensor
    """(n,) of the model of the same recipe with clean training records."""
    unpoisoned_attacked_answers: Tensor
    """(t, n) of that model."""
    poisoned_ids: Tensor
    """(p,) ids of the training records that were poisoned."""
    poisoned_which: Tensor
    """(p,) the number of the trigger, or of the target, that each is for."""
    curve: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(t, n) by rate: under attack, the answers of a model trained with that share of poisoned records."""
    curve_clean: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(n,) by rate: that model's answers to unchanged records."""

    def hits(self, answers: Tensor) -> Tensor:
        """(t, n) bool: which answers (t, n) are those that the attack wants."""
        return torch.where(self.wanted >= 0, answers == self.wanted, answers != self.labels)

    def success(self, *, poisoned: bool = True) -> Tensor:
        """(t, m) 0 or 1: the hits among the m records that count, of the poisoned model or of the other one."""
        answers = self.attacked_answers if poisoned else self.unpoisoned_attacked_answers
        return self.hits(answers)[:, self.counts].double()


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
    """All metrics of the poisoned model, with the unpoisoned model's as their baselines; and by rate."""
    measured = Measurement(warnings=list(evidence.warnings))
    _at_rate(measured, evidence, evidence.attacked_answers, evidence.clean_answers)
    for rate, answers in evidence.curve.items():
        _at_rate(measured, evidence, answers, evidence.curve_clean[rate], rate)
    return measured


def _at_rate(
    measured: Measurement, evidence: PoisoningEvidence, attacked: Tensor, clean: Tensor, rate: str | None = None
) -> None:
    """Record what a model answers to records under attack (t, n) and to unchanged ones (n,)."""
    plain, plain_clean = evidence.unpoisoned_attacked_answers, evidence.unpoisoned_clean_answers
    labels, among, every = evidence.labels, evidence.counts, torch.ones(len(evidence.labels), dtype=torch.bool)
    obeyed, before = evidence.hits(attacked), evidence.hits(plain)
    _record(measured, "attack_success_rate", evidence.ids, among, obeyed, before, rate)
    if evidence.has_triggers:
        _record(measured, "poisoned_accuracy", evidence.ids, every, obeyed, before, rate)
        _record(measured, "triggered_accuracy", evidence.ids, among, attacked == labels, plain == labels, rate)
    _record(measured, "poisoned_test_accuracy", evidence.ids, every, clean == labels, plain_clean == labels, rate)


def _record(
    measured: Measurement,
    name: str,
    ids: Tensor,
    among: Tensor,
    hits: Tensor,
    plain: Tensor,
    rate: str | None,
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
