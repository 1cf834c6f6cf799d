"""F discriminatory behavior: a model that treats groups of people differently."""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach

if TYPE_CHECKING:
    from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
    from amulet.discriminatory_behavior.defenses import AdversarialDebiasing

__getattr__, __dir__ = attach(
    __name__,
    {
        "AdversarialDebiasing": "defenses",
        "DiscriminatoryBehavior": "attacks",
    },
)

__all__ = ["AdversarialDebiasing", "DiscriminatoryBehavior"]
