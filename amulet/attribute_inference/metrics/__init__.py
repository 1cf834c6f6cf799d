"""Metrics of attribute inference."""

from amulet.attribute_inference.metrics.evidence import AttributeEvidence
from amulet.attribute_inference.metrics.guessing import attack_accuracy, balanced_accuracy, measure

__all__ = ["AttributeEvidence", "attack_accuracy", "balanced_accuracy", "measure"]
