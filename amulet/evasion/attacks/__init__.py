"""Attacks on a trained model's inputs."""

from amulet.evasion.attacks.apgd import APGD
from amulet.evasion.attacks.balls import Ball, L2Ball, LinfBall
from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.fab import FAB
from amulet.evasion.attacks.gradient import GradientAttack
from amulet.evasion.attacks.pgd import EvasionPGD
from amulet.evasion.attacks.square import SquareAttack
from amulet.evasion.attacks.transfer import TransferAttack

__all__ = [
    "APGD",
    "FAB",
    "Ball",
    "EvasionAttack",
    "EvasionPGD",
    "GradientAttack",
    "L2Ball",
    "LinfBall",
    "SquareAttack",
    "TransferAttack",
]
