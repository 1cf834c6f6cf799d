"""Metrics of data reconstruction: the distance to the average record of each class."""

from amulet.data_reconstruction.metrics.closeness import mse, ssim
from amulet.data_reconstruction.metrics.measurement import ReconstructionEvidence, measure

__all__ = ["ReconstructionEvidence", "measure", "mse", "ssim"]
