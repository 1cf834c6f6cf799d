"""Defences against evasion."""

from amulet.evasion.defenses.adversarial_training import AdversarialTrainingPGD

__all__ = ["AdversarialTrainingPGD"]
