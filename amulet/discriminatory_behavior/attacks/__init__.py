"""There is no adversary here: the assessment compares the model's answers for groups."""

from amulet.discriminatory_behavior.attacks.behavior import DiscriminatoryBehavior

__all__ = ["DiscriminatoryBehavior"]
