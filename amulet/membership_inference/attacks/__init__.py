"""Attacks that distinguish training records from others."""

from amulet.membership_inference.attacks.base import MembershipAttack, Observed
from amulet.membership_inference.attacks.canaries import CanaryAudit
from amulet.membership_inference.attacks.candidates import Asked, CandidateAttack, Scored
from amulet.membership_inference.attacks.label_only import LabelOnly
from amulet.membership_inference.attacks.lira import LiRA
from amulet.membership_inference.attacks.population import PopulationAttack
from amulet.membership_inference.attacks.quantile import QuantileRegression
from amulet.membership_inference.attacks.signals import membership_signal

__all__ = [
    "Asked",
    "CanaryAudit",
    "CandidateAttack",
    "LabelOnly",
    "LiRA",
    "MembershipAttack",
    "Observed",
    "PopulationAttack",
    "QuantileRegression",
    "Scored",
    "membership_signal",
]
