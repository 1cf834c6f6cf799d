"""Robust accuracy."""

from dataclasses import dataclass

from torch import Tensor

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of

METRICS = metrics_of(
    "evasion",
    Metric("robust_accuracy", "accuracy under attack", "lower", decides=True),
)


@dataclass(frozen=True, kw_only=True)
class EvasionEvidence(Evidence):
    """A victim's answers on n records before and after an evasion attack."""

    ids: Tensor
    """(n,) record ids."""
    clean_correct: Tensor
    """(n,) bool: correct before the attack."""
    robust_correct: Tensor
    """(n,) bool: correct after it; with true labels never where `clean_correct` is false."""
    distance: Tensor
    """(n,) norm of the change."""


def robust_accuracy(evidence: EvasionEvidence) -> float:
    """Share of records that are classified correctly after the attack, in [0, 1]; lower is worse for the victim.

    The mean over records of 1[f(x_adv) = y] (Madry et al., ICLR 2018; paper, Table 3).
    """
    return evidence.robust_correct.double().mean().item()


def measure(evidence: EvasionEvidence) -> Measurement:
    """Robust accuracy with its interval; its baseline is the accuracy without an attack."""
    n = len(evidence.ids)
    measured = Measurement(warnings=list(evidence.warnings))
    measured.proportion(METRICS["robust_accuracy"], int(evidence.robust_correct.sum()), n)
    measured.baselines["robust_accuracy"] = evidence.clean_correct.double().mean().item()
    return measured
