"""P1 membership inference: was this record in the model's training data?"""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.membership_inference.attacks import (
        CanaryAudit,
        CandidateAttack,
        LabelOnly,
        LiRA,
        MembershipAttack,
        Observed,
        PopulationAttack,
        QuantileRegression,
    )
    from amulet.membership_inference.defenses import DPSGD

__getattr__, __dir__ = attach(
    __name__,
    {
        "DPSGD": "defenses",
        "CanaryAudit": "attacks",
        "CandidateAttack": "attacks",
        "LabelOnly": "attacks",
        "LiRA": "attacks",
        "MembershipAttack": "attacks",
        "Observed": "attacks",
        "PopulationAttack": "attacks",
        "QuantileRegression": "attacks",
    },
)

__all__ = [
    "DPSGD",
    "CanaryAudit",
    "CandidateAttack",
    "LabelOnly",
    "LiRA",
    "MembershipAttack",
    "Observed",
    "PopulationAttack",
    "QuantileRegression",
]
