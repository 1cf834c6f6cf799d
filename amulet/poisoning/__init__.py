"""S2 poisoning: changes of training records that make the model learn what an adversary wants."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.poisoning.attacks import BadNets, Poisoned, PoisoningAttack, Trigger
    from amulet.poisoning.defenses import OutlierRemoval

__getattr__, __dir__ = attach(
    __name__,
    {
        "BadNets": "attacks",
        "OutlierRemoval": "defenses",
        "Poisoned": "attacks",
        "PoisoningAttack": "attacks",
        "Trigger": "attacks",
    },
)

__all__ = ["BadNets", "OutlierRemoval", "Poisoned", "PoisoningAttack", "Trigger"]
