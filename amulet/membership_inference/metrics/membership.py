"""Membership inference in numbers: AUC, balanced accuracy, true positives at few false ones."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from amulet.core.evidence import Evidence, Measurement
from amulet.core.ranking import auc, auc_interval
from amulet.membership_inference.metrics.roc import balanced_accuracy, hits_at_fpr, resolving

RATES = {"tpr_at_1pct_fpr": 0.01, "tpr_at_0.1pct_fpr": 0.001}
"""False positive rates at which the true positive rate is reported."""
FEW = 16
"""Shadow models below which the scores are rough."""


@dataclass(frozen=True, kw_only=True)
class MembershipEvidence(Evidence):
    """What an attack says of n candidates, and the truth."""

    victim: str
    """Whose model it is."""
    ids: np.ndarray
    """(n,) record ids."""
    members: np.ndarray
    """(n,) bool: was the record given to the victim's recipe?"""
    retained: np.ndarray | None = None
    """(n,) bool: members that no defence took out before training; None where none was taken out."""
    correct: np.ndarray
    """(n,) bool: does the attacked model answer the record right?"""
    scores: Mapping[str, np.ndarray]
    """(n,) each: the higher, the more likely a member."""
    target_signals: np.ndarray
    """(n,) signals of the attacked model."""
    shadow_signals: np.ndarray
    """(shadows, n) signals of the shadow models."""
    shadow_members: np.ndarray
    """(shadows, n) bool: was the shadow model trained on the record?"""
    epsilon: float | None = None
    """What differential privacy guarantees of the attacked model; NaN: nothing, although it was asked for."""


def train_test_gap(evidence: MembershipEvidence) -> float:
    """Accuracy of the attacked model on its members minus that on the others, [-1, 1]."""
    members, correct = evidence.members, evidence.correct
    return float(correct[members].mean() - correct[~members].mean())


def measure(evidence: MembershipEvidence) -> Measurement:
    """Four metrics for each score, higher is worse for the victim; with `retained`, again for the retained members.

    The baseline of each is a blind classifier; that of the balanced accuracy is the better of blind and the gap attack,
    which takes a record for a member when it is answered right: (1 + gap) / 2 (Yeom et al., CSF 2018). A model trained
    with differential privacy also has its `epsilon`.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    gap = train_test_gap(evidence)
    measured.baselines["train_test_gap"] = gap
    blind = {"auc": 0.5, "balanced_accuracy": max(0.5, (1 + gap) / 2), **RATES}
    views = {"": np.ones_like(evidence.members)}
    if evidence.retained is not None:
        views["retained."] = evidence.retained | ~evidence.members
    for name, score in evidence.scores.items():
        for view, chosen in views.items():
            _measure(measured, f"{name}.{view}", evidence.members[chosen], score[chosen])
            measured.baselines |= {f"{name}.{view}{metric}": value for metric, value in blind.items()}
    if evidence.epsilon is not None:
        measured.metrics["epsilon"] = evidence.epsilon
    _warn(measured, evidence)
    return measured


def _measure(measured: Measurement, prefix: str, members: np.ndarray, score: np.ndarray) -> None:
    positives = int(members.sum())
    if not 0 < positives < len(members):
        measured.metrics |= {f"{prefix}{name}": float("nan") for name in ("auc", "balanced_accuracy", *RATES)}
        measured.warnings.append(f"{prefix[:-1]}: there are no records on one side, so nothing can be told apart")
        return
    measured.metrics[f"{prefix}auc"] = auc(members, score)
    measured.intervals[f"{prefix}auc"] = auc_interval(members, score)
    measured.metrics[f"{prefix}balanced_accuracy"] = balanced_accuracy(members, score)
    for name, rate in RATES.items():
        hits = hits_at_fpr(members, score, rate)
        if hits is None:
            measured.metrics[f"{prefix}{name}"] = float("nan")
        else:
            measured.proportion(f"{prefix}{name}", hits, positives)


def _warn(measured: Measurement, evidence: MembershipEvidence) -> None:
    shadows, others = len(evidence.shadow_signals), int((~evidence.members).sum())
    if shadows < FEW:
        measured.warnings.append(
            f"{evidence.victim}: {shadows} shadow models estimate each record's Gaussians roughly, so the risk is "
            f"understated. Raise attack.n_shadow to {FEW} or more; those that exist are used again"
        )
    for name, rate in RATES.items():
        if others < resolving(rate):
            measured.warnings.append(
                f"{evidence.victim}: {name} is left out: {others} non-members cannot resolve it, it wants at least "
                f"{resolving(rate)}. Raise attack.pool_size or take a larger data set"
            )
