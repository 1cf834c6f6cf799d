"""Defences against discriminatory behavior."""

from amulet.discriminatory_behavior.defenses.adversarial_debiasing import AdversarialDebiasing

__all__ = ["AdversarialDebiasing"]
