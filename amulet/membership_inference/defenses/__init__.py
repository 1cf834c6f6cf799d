"""Defences against membership inference."""

from amulet.membership_inference.defenses.dp_sgd import DPSGD

__all__ = ["DPSGD"]
