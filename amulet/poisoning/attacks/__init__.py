"""Attacks on a victim's training records."""

from amulet.poisoning.attacks.badnets import BadNets
from amulet.poisoning.attacks.base import Poisoned, PoisoningAttack
from amulet.poisoning.attacks.trigger import Trigger

__all__ = ["BadNets", "Poisoned", "PoisoningAttack", "Trigger"]
