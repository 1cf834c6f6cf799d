"""Attacks on a trained model's inputs."""

from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.pgd import EvasionPGD

__all__ = ["EvasionAttack", "EvasionPGD"]
