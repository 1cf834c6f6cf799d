"""S1 evasion: small changes of inputs that make a model answer wrongly."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.evasion.attacks import APGD, FAB, EvasionAttack, EvasionPGD, SquareAttack, TransferAttack
    from amulet.evasion.defenses import AdversarialTrainingPGD

__getattr__, __dir__ = attach(
    __name__,
    {
        "APGD": "attacks",
        "AdversarialTrainingPGD": "defenses",
        "EvasionAttack": "attacks",
        "EvasionPGD": "attacks",
        "FAB": "attacks",
        "SquareAttack": "attacks",
        "TransferAttack": "attacks",
    },
)

__all__ = [
    "APGD",
    "FAB",
    "AdversarialTrainingPGD",
    "EvasionAttack",
    "EvasionPGD",
    "SquareAttack",
    "TransferAttack",
]
