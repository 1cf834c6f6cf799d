"""S3 unauthorized model ownership: models stolen through their answers, and how an owner proves it."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.unauth_model_ownership.attacks import ExtractionAttack, ModelExtraction, Oracle
    from amulet.unauth_model_ownership.defenses import DatasetInference, OwnershipDefense, WatermarkNN
    from amulet.unauth_model_ownership.defenses.base import Judgement, Verifier
    from amulet.unauth_model_ownership.defenses.triggers import TriggerSet, TriggerVerifier, match_p_value

__getattr__, __dir__ = attach(
    __name__,
    {
        "DatasetInference": "defenses",
        "ExtractionAttack": "attacks",
        "Judgement": "defenses.base",
        "ModelExtraction": "attacks",
        "Oracle": "attacks",
        "OwnershipDefense": "defenses",
        "TriggerSet": "defenses.triggers",
        "TriggerVerifier": "defenses.triggers",
        "Verifier": "defenses.base",
        "WatermarkNN": "defenses",
        "match_p_value": "defenses.triggers",
    },
)

__all__ = [
    "DatasetInference",
    "ExtractionAttack",
    "Judgement",
    "ModelExtraction",
    "Oracle",
    "OwnershipDefense",
    "TriggerSet",
    "TriggerVerifier",
    "Verifier",
    "WatermarkNN",
    "match_p_value",
]
