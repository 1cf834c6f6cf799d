"""Amulet: assess what a machine-learning defence does to the risks that it was not made for.

Sub-packages are imported when they are first used: ``amulet.evasion.EvasionPGD``, ``amulet.assessment.assess``.
"""

from typing import TYPE_CHECKING

from amulet.core.lazy import attach
from amulet.core.version import __version__

if TYPE_CHECKING:
    from amulet import (
        assessment,
        attribute_inference,
        core,
        data_reconstruction,
        datasets,
        discriminatory_behavior,
        distribution_inference,
        evasion,
        membership_inference,
        models,
        poisoning,
        testing,
        training,
        unauth_model_ownership,
        utils,
    )

__all__ = [
    "__version__",
    "assessment",
    "attribute_inference",
    "core",
    "data_reconstruction",
    "datasets",
    "discriminatory_behavior",
    "distribution_inference",
    "evasion",
    "membership_inference",
    "models",
    "poisoning",
    "testing",
    "training",
    "unauth_model_ownership",
    "utils",
]

__getattr__, __dir__ = attach(__name__, {name: name for name in __all__ if not name.startswith("_")})
