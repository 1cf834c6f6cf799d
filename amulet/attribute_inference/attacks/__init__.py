"""Attacks on the sensitive attributes of a model's users."""

from amulet.attribute_inference.attacks.aided_imputation import AidedImputation
from amulet.attribute_inference.attacks.attribute_inference import AttributeInference, AttributeLabels
from amulet.attribute_inference.attacks.base import Asked, AttributeAttack
from amulet.attribute_inference.attacks.csmia import CSMIA
from amulet.attribute_inference.attacks.lomia import LOMIA

__all__ = ["CSMIA", "LOMIA", "AidedImputation", "Asked", "AttributeAttack", "AttributeInference", "AttributeLabels"]
