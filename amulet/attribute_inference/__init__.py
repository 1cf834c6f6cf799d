"""P2 attribute inference: sensitive attributes of a record, inferred from a model's answer to it."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.attribute_inference.attacks import (
        CSMIA,
        LOMIA,
        AidedImputation,
        AttributeAttack,
        AttributeInference,
        AttributeLabels,
    )

__all__ = ["CSMIA", "LOMIA", "AidedImputation", "AttributeAttack", "AttributeInference", "AttributeLabels"]

__getattr__, __dir__ = attach(__name__, dict.fromkeys(__all__, "attacks"))
