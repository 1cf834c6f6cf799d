"""Attacks on a victim's training records."""

from amulet.poisoning.attacks.adaptive_blend import AdaptiveBlend
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.badnets import BadNets
from amulet.poisoning.attacks.base import Adversary, PoisoningAttack
from amulet.poisoning.attacks.blended import Blended
from amulet.poisoning.attacks.clean_label import CleanLabel
from amulet.poisoning.attacks.label_flipping import LabelFlipping
from amulet.poisoning.attacks.promise import ANY_OTHER, Aim, Poisoned, Promise
from amulet.poisoning.attacks.sig import SIG
from amulet.poisoning.attacks.trigger import Stamp, Trigger
from amulet.poisoning.attacks.wanet import WaNet
from amulet.poisoning.attacks.witches_brew import WitchesBrew

__all__ = [
    "ANY_OTHER",
    "SIG",
    "AdaptiveBlend",
    "Adversary",
    "Aim",
    "Backdoor",
    "BadNets",
    "Blended",
    "CleanLabel",
    "LabelFlipping",
    "Poisoned",
    "PoisoningAttack",
    "Promise",
    "Stamp",
    "Trigger",
    "WaNet",
    "WitchesBrew",
]
