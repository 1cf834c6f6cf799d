"""Metrics of evasion."""

from amulet.evasion.metrics.robustness import EvasionEvidence, measure, robust_accuracy

__all__ = ["EvasionEvidence", "measure", "robust_accuracy"]
