"""Attacks on the distribution of a model's training records."""

from amulet.distribution_inference.attacks.base import DistributionAttack
from amulet.distribution_inference.attacks.distribution_inference import DistributionInference

__all__ = ["DistributionAttack", "DistributionInference"]
