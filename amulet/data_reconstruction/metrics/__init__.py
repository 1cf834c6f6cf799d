"""Metrics of data reconstruction: recognition by another model, and the distance to the mean record of each class."""

from amulet.data_reconstruction.metrics.closeness import mse, ssim
from amulet.data_reconstruction.metrics.measurement import ReconstructionEvidence, measure
from amulet.data_reconstruction.metrics.recognition import recognition

__all__ = ["ReconstructionEvidence", "measure", "mse", "recognition", "ssim"]
