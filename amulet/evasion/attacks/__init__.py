"""Attacks on a trained model's inputs."""

from amulet.evasion.attacks.apgd import APGD
from amulet.evasion.attacks.balls import BALLS, Ball, L2Ball, LinfBall
from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.constrained import ConstrainedAttack
from amulet.evasion.attacks.constrained_pgd import ConstrainedPGD
from amulet.evasion.attacks.fab import FAB
from amulet.evasion.attacks.gradient import GradientAttack
from amulet.evasion.attacks.hopskipjump import HopSkipJump
from amulet.evasion.attacks.pgd import EvasionPGD
from amulet.evasion.attacks.square import SquareAttack
from amulet.evasion.attacks.tabular_search import TabularSearch
from amulet.evasion.attacks.transfer import TransferAttack

__all__ = [
    "APGD",
    "BALLS",
    "FAB",
    "Ball",
    "ConstrainedAttack",
    "ConstrainedPGD",
    "EvasionAttack",
    "EvasionPGD",
    "GradientAttack",
    "HopSkipJump",
    "L2Ball",
    "LinfBall",
    "SquareAttack",
    "TabularSearch",
    "TransferAttack",
]
