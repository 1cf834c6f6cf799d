"""Differences between groups."""

from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence
from amulet.discriminatory_behavior.metrics.gaps import Counts, favourable, gaps, measure

__all__ = ["BehaviorEvidence", "Counts", "favourable", "gaps", "measure"]
