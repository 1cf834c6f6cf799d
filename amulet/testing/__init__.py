"""A test kit for components: whoever writes an attack, a defence, a metric or a data set runs it through these checks.

Each check raises `AssertionError` with everything that is wrong, in words; none needs pytest. Amulet's own components
pass through the same checks.
"""

from amulet.testing.attacks import check_attack
from amulet.testing.datasets import check_dataset
from amulet.testing.defenses import check_defense
from amulet.testing.laboratory import tiny
from amulet.testing.metrics import check_metric

__all__ = ["check_attack", "check_dataset", "check_defense", "check_metric", "tiny"]
