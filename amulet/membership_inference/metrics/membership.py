"""Metrics of membership inference: AUC, balanced accuracy, true positive rate at low false positive rates."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.ranking import auc, auc_interval
from amulet.membership_inference.metrics.roc import balanced_accuracy, hits_at_fpr, resolving

RATES = {"tpr_at_1pct_fpr": 0.01, "tpr_at_0.1pct_fpr": 0.001}
"""False positive rates at which the true positive rate is reported."""
METRICS = metrics_of(
    "membership_inference",
    Metric("auc", "AUC of telling members from others", "higher", decides=True),
    Metric("balanced_accuracy", "members and others told apart at the best threshold", "higher"),
    Metric("tpr_at_1pct_fpr", "members found at 1 false alarm in 100 others", "higher"),
    Metric("tpr_at_0.1pct_fpr", "members found at 1 false alarm in 1,000 others", "higher"),
    Metric("epsilon", "what differential privacy guarantees", "higher", unit="nats"),
)


@dataclass(frozen=True, kw_only=True)
class MembershipEvidence(Evidence):
    """An attack's scores for n candidates, and the truth."""

    victim: str
    """The name of the victim."""
    ids: np.ndarray
    """(n,) record ids."""
    members: np.ndarray
    """(n,) bool: was the record given to the victim's recipe?"""
    retained: np.ndarray | None = None
    """(n,) bool: members that no defence removed before training; None if none was removed."""
    correct: np.ndarray
    """(n,) bool: does the attacked model classify the record correctly?"""
    scores: Mapping[str, np.ndarray]
    """(n,) each: the higher, the more likely a member."""
    deciding: str = ""
    """The score that decides the risk; empty: the first."""
    target_signals: np.ndarray
    """(n,) signals of the attacked model."""
    shadow_signals: np.ndarray
    """(shadows, n) signals of the shadow models."""
    shadow_members: np.ndarray
    """(shadows, n) bool: was the shadow model trained on the record?"""
    epsilon: float | None = None
    """The epsilon of the attacked model; NaN: no guarantee, although one was requested."""


def train_test_gap(evidence: MembershipEvidence) -> float:
    """Accuracy of the attacked model on its members minus that on the others, [-1, 1]."""
    members, correct = evidence.members, evidence.correct
    return float(correct[members].mean() - correct[~members].mean())


def measure(evidence: MembershipEvidence) -> Measurement:
    """Four metrics for each score, higher is worse for the victim; with `retained`, again for the retained members.

    The baseline of each is a random classifier; that of the balanced accuracy is the better of this and the gap
    attack, which calls a record a member if it is classified correctly: (1 + gap) / 2 (Yeom et al., CSF 2018). A model
    trained with differential privacy also has its `epsilon`.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    gap = train_test_gap(evidence)
    measured.baselines["train_test_gap"] = gap
    blind = {"auc": 0.5, "balanced_accuracy": max(0.5, (1 + gap) / 2), **RATES}
    views = {"": np.ones_like(evidence.members)}
    if evidence.retained is not None:
        views["retained"] = evidence.retained | ~evidence.members
    deciding = evidence.deciding or next(iter(evidence.scores), "")
    for name, score in evidence.scores.items():
        for view, chosen in views.items():
            about = {"score": name, **({"members": view} if view else {})}
            _measure(measured, about, evidence.members[chosen], score[chosen], decides=name == deciding and not view)
            measured.baselines |= {".".join((*about.values(), metric)): value for metric, value in blind.items()}
    if evidence.epsilon is not None:
        measured.record(METRICS["epsilon"], evidence.epsilon)
    _warn(measured, evidence)
    return measured


def _measure(
    measured: Measurement, about: Mapping[str, str], members: np.ndarray, score: np.ndarray, *, decides: bool
) -> None:
    positives = int(members.sum())
    area = METRICS["auc"]
    if not 0 < positives < len(members):
        measured.record(area, float("nan"), about, decides=decides)
        for name in ("balanced_accuracy", *RATES):
            measured.record(METRICS[name], float("nan"), about)
        measured.warnings.append(
            f"{'.'.join(about.values())}: there are no records on one side, so nothing can be told apart"
        )
        return
    interval = auc_interval(members, score)
    measured.record(area, auc(members, score), about, interval=interval, decides=decides)
    measured.record(METRICS["balanced_accuracy"], balanced_accuracy(members, score), about)
    for name, rate in RATES.items():
        hits = hits_at_fpr(members, score, rate)
        if hits is None:
            measured.record(METRICS[name], float("nan"), about)
        else:
            measured.proportion(METRICS[name], hits, positives, about)


def _warn(measured: Measurement, evidence: MembershipEvidence) -> None:
    others = int((~evidence.members).sum())
    for name, rate in RATES.items():
        if others < resolving(rate):
            measured.warnings.append(
                f"{evidence.victim}: {name} is left out: {others} non-members cannot resolve it, it needs at least "
                f"{resolving(rate)}. Raise attack.pool_size or take a larger data set"
            )
