"""What evasion does to a model, in numbers."""

from amulet.evasion.metrics.robustness import EvasionEvidence, measure, robust_accuracy

__all__ = ["EvasionEvidence", "measure", "robust_accuracy"]
