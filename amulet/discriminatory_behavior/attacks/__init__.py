"""Nobody attacks here: what is assessed is how the model treats groups as it stands."""

from amulet.discriminatory_behavior.attacks.behavior import DiscriminatoryBehavior

__all__ = ["DiscriminatoryBehavior"]
