"""S1 evasion: small changes of inputs that make a model answer wrongly."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.evasion.attacks import EvasionAttack, EvasionPGD, SquareAttack
    from amulet.evasion.defenses import AdversarialTrainingPGD

__getattr__, __dir__ = attach(
    __name__,
    {
        "AdversarialTrainingPGD": "defenses",
        "EvasionAttack": "attacks",
        "EvasionPGD": "attacks",
        "SquareAttack": "attacks",
    },
)

__all__ = ["AdversarialTrainingPGD", "EvasionAttack", "EvasionPGD", "SquareAttack"]
