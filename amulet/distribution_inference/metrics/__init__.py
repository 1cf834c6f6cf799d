"""How well the make-up of training records is guessed, in numbers."""

from amulet.distribution_inference.metrics.distinguishing import (
    DistributionEvidence,
    distinguishing_accuracy,
    measure,
)

__all__ = ["DistributionEvidence", "distinguishing_accuracy", "measure"]
