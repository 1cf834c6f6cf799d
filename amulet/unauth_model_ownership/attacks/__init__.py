"""Attacks that steal models."""

from amulet.unauth_model_ownership.attacks.base import ExtractionAttack, Means, Oracle
from amulet.unauth_model_ownership.attacks.model_extraction import ModelExtraction

__all__ = ["ExtractionAttack", "Means", "ModelExtraction", "Oracle"]
