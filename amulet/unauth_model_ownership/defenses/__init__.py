"""Defences against unauthorized model ownership."""

from amulet.unauth_model_ownership.defenses.base import OwnershipDefense
from amulet.unauth_model_ownership.defenses.dataset_inference import DatasetInference
from amulet.unauth_model_ownership.defenses.watermark import WatermarkNN

__all__ = ["DatasetInference", "OwnershipDefense", "WatermarkNN"]
