"""The same risk assessed on the undefended and on the defended victim, and what follows from it."""

from typing import TYPE_CHECKING

from amulet.assessment.risks import RISKS, Risk, risk_of
from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.assessment.engine import Outcome, Plan, assess, check

__getattr__ = attach(  # these need torch
    __name__, dict.fromkeys(("Outcome", "Plan", "assess", "check"), "engine")
)

__all__ = ["RISKS", "Outcome", "Plan", "Risk", "assess", "check", "risk_of"]
