"""Amulet: assess what a machine-learning defence does to the risks that it was not made for.

Sub-packages are imported where they are used: ``from amulet.evasion.attacks import EvasionPGD``.
"""

__version__ = "0.1.0"
