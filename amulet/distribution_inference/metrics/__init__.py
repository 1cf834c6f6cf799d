"""Metrics of distribution inference."""

from amulet.distribution_inference.metrics.distinguishing import (
    DistributionEvidence,
    distinguishing_accuracy,
    measure,
)

__all__ = ["DistributionEvidence", "distinguishing_accuracy", "measure"]
