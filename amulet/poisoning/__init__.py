"""S2 poisoning: changes of training records that make the model learn what an adversary wants."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.poisoning.attacks import (
        SIG,
        AdaptiveBlend,
        Adversary,
        Aim,
        Backdoor,
        BadNets,
        Blended,
        CleanLabel,
        LabelFlipping,
        Poisoned,
        PoisoningAttack,
        Promise,
        Stamp,
        Trigger,
        WaNet,
        WitchesBrew,
    )
    from amulet.poisoning.defenses import OutlierRemoval

__getattr__, __dir__ = attach(
    __name__,
    {
        "SIG": "attacks",
        "AdaptiveBlend": "attacks",
        "Adversary": "attacks",
        "Aim": "attacks",
        "Backdoor": "attacks",
        "BadNets": "attacks",
        "Blended": "attacks",
        "CleanLabel": "attacks",
        "LabelFlipping": "attacks",
        "OutlierRemoval": "defenses",
        "Poisoned": "attacks",
        "PoisoningAttack": "attacks",
        "Promise": "attacks",
        "Stamp": "attacks",
        "Trigger": "attacks",
        "WaNet": "attacks",
        "WitchesBrew": "attacks",
    },
)

__all__ = [
    "SIG",
    "AdaptiveBlend",
    "Adversary",
    "Aim",
    "Backdoor",
    "BadNets",
    "Blended",
    "CleanLabel",
    "LabelFlipping",
    "OutlierRemoval",
    "Poisoned",
    "PoisoningAttack",
    "Promise",
    "Stamp",
    "Trigger",
    "WaNet",
    "WitchesBrew",
]
