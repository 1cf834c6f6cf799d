"""Attacks that distinguish training records from others."""

from amulet.membership_inference.attacks.base import MembershipAttack, Observed
from amulet.membership_inference.attacks.lira import LiRA
from amulet.membership_inference.attacks.signals import membership_signal

__all__ = ["LiRA", "MembershipAttack", "Observed", "membership_signal"]
