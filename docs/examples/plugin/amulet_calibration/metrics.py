"""How far a model's confidence is from its accuracy."""

from dataclasses import dataclass

import torch
from torch import Tensor

from amulet.core import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of

METRICS = metrics_of(
    "calibration",
    Metric("calibration_error", "expected calibration error", "higher", decides=True),
    Metric("overconfidence", "mean confidence minus accuracy", "higher"),
)


@dataclass(frozen=True, kw_only=True)
class CalibrationEvidence(Evidence):
    """A model's answers to n records."""

    ids: Tensor
    """(n,) record ids."""
    confidence: Tensor
    """(n,) the probability of the class that is answered."""
    correct: Tensor
    """(n,) bool: is it the right one?"""
    bins: int


def calibration_error(confidence: Tensor, correct: Tensor, bins: int) -> float:
    """Expected calibration error in [0, 1]; higher is worse for the victim.

    The mean over records of |accuracy - mean confidence| of the record's bin, the bins being of equal width
    (Guo et al., ICML 2017, Equation 3).

    >>> calibration_error(torch.tensor([0.9, 0.9]), torch.tensor([True, False]), 10)
    0.4
    """
    place = (confidence * bins).long().clamp_max(bins - 1)
    gaps = torch.zeros(bins, dtype=torch.float64)
    gaps.index_add_(0, place, correct.double() - confidence.double())
    return gaps.abs().sum().item() / len(confidence)


def measure(evidence: CalibrationEvidence) -> Measurement:
    """Both metrics; the baseline of each is a model whose confidence is its accuracy."""
    measured = Measurement(warnings=list(evidence.warnings))
    confidence, correct = evidence.confidence, evidence.correct
    error = calibration_error(confidence, correct, evidence.bins)
    measured.record(METRICS["calibration_error"], error, baseline=0.0)
    over = (confidence.double().mean() - correct.double().mean()).item()
    measured.record(METRICS["overconfidence"], over, baseline=0.0)
    return measured
