"""Attacks on the distribution of a model's training records."""

from amulet.distribution_inference.attacks.base import DistributionAttack
from amulet.distribution_inference.attacks.distribution_inference import DistributionInference
from amulet.distribution_inference.attacks.population import PopulationAttack
from amulet.distribution_inference.attacks.regression import RatioRegression
from amulet.distribution_inference.attacks.weights import WeightRegression

__all__ = ["DistributionAttack", "DistributionInference", "PopulationAttack", "RatioRegression", "WeightRegression"]
