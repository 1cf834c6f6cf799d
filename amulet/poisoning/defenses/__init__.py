"""Defences against poisoned training records."""

from amulet.poisoning.defenses.outlier_removal import OutlierRemoval
from amulet.poisoning.defenses.shapley import knn_shapley

__all__ = ["OutlierRemoval", "knn_shapley"]
