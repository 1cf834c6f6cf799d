"""Differences between groups."""

from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence
from amulet.discriminatory_behavior.metrics.gaps import Counts, gaps
from amulet.discriminatory_behavior.metrics.groupings import intersections
from amulet.discriminatory_behavior.metrics.measuring import favourable, measure

__all__ = ["BehaviorEvidence", "Counts", "favourable", "gaps", "intersections", "measure"]
