"""P4 distribution inference: what share of the training records has a sensitive attribute, inferred from a model."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.distribution_inference.attacks import DistributionAttack, DistributionInference

__getattr__, __dir__ = attach(
    __name__,
    {
        "DistributionAttack": "attacks",
        "DistributionInference": "attacks",
    },
)

__all__ = ["DistributionAttack", "DistributionInference"]
