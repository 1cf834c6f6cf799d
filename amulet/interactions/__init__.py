"""The same risk assessed on the undefended and on the defended victim, and what follows from it."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach
from amulet.interactions.risks import RISKS, Risk, risk_of

if TYPE_CHECKING:
    from amulet.interactions.assessment import Outcome, Plan, assess, check

__getattr__ = attach(  # these need torch
    __name__, dict.fromkeys(("Outcome", "Plan", "assess", "check"), "assessment")
)

__all__ = ["RISKS", "Outcome", "Plan", "Risk", "assess", "check", "risk_of"]
