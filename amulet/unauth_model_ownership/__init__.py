"""S3 unauthorized model ownership: models stolen through their answers, and how an owner proves it."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.unauth_model_ownership.attacks import ExtractionAttack, Means, ModelExtraction, Oracle
    from amulet.unauth_model_ownership.defenses import DatasetInference, OwnershipDefense, WatermarkNN
    from amulet.unauth_model_ownership.defenses.base import Judgement, Verifier
    from amulet.unauth_model_ownership.defenses.trigger_verifier import TriggerVerifier
    from amulet.unauth_model_ownership.removers import Remover, Thief
    from amulet.unauth_model_ownership.triggers import TriggerSet, match_p_value

__getattr__, __dir__ = attach(
    __name__,
    {
        "DatasetInference": "defenses",
        "ExtractionAttack": "attacks",
        "Judgement": "defenses.base",
        "Means": "attacks",
        "ModelExtraction": "attacks",
        "Oracle": "attacks",
        "OwnershipDefense": "defenses",
        "Remover": "removers",
        "Thief": "removers",
        "TriggerSet": "triggers",
        "TriggerVerifier": "defenses.trigger_verifier",
        "Verifier": "defenses.base",
        "WatermarkNN": "defenses",
        "match_p_value": "triggers",
    },
)

__all__ = [
    "DatasetInference",
    "ExtractionAttack",
    "Judgement",
    "Means",
    "ModelExtraction",
    "Oracle",
    "OwnershipDefense",
    "Remover",
    "Thief",
    "TriggerSet",
    "TriggerVerifier",
    "Verifier",
    "WatermarkNN",
    "match_p_value",
]
