"""S3 unauthorized model ownership: models stolen through their answers, and how an owner proves it."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.unauth_model_ownership.attacks import ExtractionAttack, ModelExtraction, Oracle
    from amulet.unauth_model_ownership.defenses import (
        DatasetInference,
        Judgement,
        OwnershipDefense,
        TriggerSet,
        TriggerVerifier,
        Verifier,
        WatermarkNN,
    )

__getattr__, __dir__ = attach(
    __name__,
    {
        "DatasetInference": "defenses",
        "ExtractionAttack": "attacks",
        "Judgement": "defenses",
        "ModelExtraction": "attacks",
        "Oracle": "attacks",
        "OwnershipDefense": "defenses",
        "TriggerSet": "defenses",
        "TriggerVerifier": "defenses",
        "Verifier": "defenses",
        "WatermarkNN": "defenses",
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
]
