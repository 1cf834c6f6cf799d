"""Metrics of model extraction and of ownership verification."""

from amulet.unauth_model_ownership.metrics.evidence import OwnershipEvidence, Verification
from amulet.unauth_model_ownership.metrics.extraction import (
    agreement_and_correct,
    confusion,
    correct_fidelity,
    evaluate_extraction,
    fidelity,
    fidelity_kappa,
    kappa_interval,
)
from amulet.unauth_model_ownership.metrics.fingerprints import Fingerprints, measure_fingerprints
from amulet.unauth_model_ownership.metrics.measurement import measure

__all__ = [
    "Fingerprints",
    "OwnershipEvidence",
    "Verification",
    "agreement_and_correct",
    "confusion",
    "correct_fidelity",
    "evaluate_extraction",
    "fidelity",
    "fidelity_kappa",
    "kappa_interval",
    "measure",
    "measure_fingerprints",
]
