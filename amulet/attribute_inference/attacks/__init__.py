"""Attacks on the sensitive attributes of a model's users."""

from amulet.attribute_inference.attacks.attribute_inference import AttributeInference
from amulet.attribute_inference.attacks.base import AttributeAttack

__all__ = ["AttributeAttack", "AttributeInference"]
