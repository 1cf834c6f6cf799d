"""Attacks that extract records from a model."""

from amulet.data_reconstruction.attacks.base import ReconstructionAttack
from amulet.data_reconstruction.attacks.inversion import ModelInversion
from amulet.data_reconstruction.attacks.outcome import Reconstruction
from amulet.data_reconstruction.attacks.prior import PriorInversion

__all__ = ["ModelInversion", "PriorInversion", "Reconstruction", "ReconstructionAttack"]
