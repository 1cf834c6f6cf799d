"""Metrics of distribution inference."""

from amulet.distribution_inference.metrics.distinguishing import (
    DistributionEvidence,
    distinguishing_accuracy,
    measure,
    standard_error,
)

__all__ = ["DistributionEvidence", "distinguishing_accuracy", "measure", "standard_error"]
