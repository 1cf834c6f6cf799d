"""P4 distribution inference: what share of the training records has a sensitive attribute, inferred from a model."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.distribution_inference.attacks import (
        DistributionAttack,
        DistributionInference,
        PopulationAttack,
        RatioRegression,
        WeightRegression,
    )

__getattr__, __dir__ = attach(
    __name__,
    {
        "DistributionAttack": "attacks",
        "DistributionInference": "attacks",
        "PopulationAttack": "attacks",
        "RatioRegression": "attacks",
        "WeightRegression": "attacks",
    },
)

__all__ = ["DistributionAttack", "DistributionInference", "PopulationAttack", "RatioRegression", "WeightRegression"]
