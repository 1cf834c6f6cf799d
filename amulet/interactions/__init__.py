"""The same risk assessed on the undefended and on the defended victim, and what follows from it."""

from amulet.interactions.assessment import Outcome, Plan, assess, check
from amulet.interactions.risks import RISKS, Risk, risk_of

__all__ = ["RISKS", "Outcome", "Plan", "Risk", "assess", "check", "risk_of"]
