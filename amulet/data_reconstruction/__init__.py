"""P3 data reconstruction: what the records of a class look like on average, extracted from the model."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.data_reconstruction.attacks import ModelInversion, PriorInversion, Reconstruction, ReconstructionAttack

__getattr__, __dir__ = attach(
    __name__,
    {
        "ModelInversion": "attacks",
        "PriorInversion": "attacks",
        "Reconstruction": "attacks",
        "ReconstructionAttack": "attacks",
    },
)

__all__ = ["ModelInversion", "PriorInversion", "Reconstruction", "ReconstructionAttack"]
