"""Defences against unauthorized model ownership."""

from amulet.unauth_model_ownership.defenses.base import Judgement, OwnershipDefense, Verifier
from amulet.unauth_model_ownership.defenses.dataset_inference import DatasetInference
from amulet.unauth_model_ownership.defenses.trigger_verifier import TriggerVerifier
from amulet.unauth_model_ownership.defenses.watermark import WatermarkNN
from amulet.unauth_model_ownership.triggers import TriggerSet, match_p_value

__all__ = [
    "DatasetInference",
    "Judgement",
    "OwnershipDefense",
    "TriggerSet",
    "TriggerVerifier",
    "Verifier",
    "WatermarkNN",
    "match_p_value",
]
