"""Amulet: assess what a machine-learning defence does to the risks that it was not made for.

Sub-packages are imported when they are first used: ``amulet.evasion.EvasionPGD``, ``amulet.assessment.assess``. So are
the functions of the runner, ``amulet.assess(...)`` and ``amulet.load_results(...)``.
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
        victims,
    )
    from amulet_cli.python import Results, assess, audit, load_results

__all__ = [
    "Results",
    "__version__",
    "assess",
    "assessment",
    "attribute_inference",
    "audit",
    "core",
    "data_reconstruction",
    "datasets",
    "discriminatory_behavior",
    "distribution_inference",
    "evasion",
    "load_results",
    "membership_inference",
    "models",
    "poisoning",
    "testing",
    "training",
    "unauth_model_ownership",
    "utils",
    "victims",
]

_RUNNER = "amulet_cli.python"
_OF_THE_RUNNER: dict[str, str] = dict.fromkeys(("Results", "assess", "audit", "load_results"), _RUNNER)
__getattr__, __dir__ = attach(
    __name__,
    {name: name for name in __all__ if not (name.startswith("_") or name in _OF_THE_RUNNER)},
    _OF_THE_RUNNER,
)
