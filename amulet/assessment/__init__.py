"""The same risks assessed on the undefended and the defended victim, and the verdict."""

from typing import TYPE_CHECKING

from amulet.assessment.risks import RISKS, risk_of
from amulet.core.lazy import attach
from amulet.core.risk import Risk

if TYPE_CHECKING:
    from amulet.assessment.engine import Outcome, assess, check, measurable, plan_facts
    from amulet.assessment.plan import Plan
    from amulet.assessment.suite import Suite

__getattr__, __dir__ = attach(  # these need torch
    __name__,
    {
        **dict.fromkeys(("Outcome", "assess", "check", "measurable", "plan_facts"), "engine"),
        "Plan": "plan",
        "Suite": "suite",
    },
)

__all__ = ["RISKS", "Outcome", "Plan", "Risk", "Suite", "assess", "check", "measurable", "plan_facts", "risk_of"]
