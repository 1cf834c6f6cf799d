"""A user's own data: a table, arrays, or images listed in a table."""

from amulet.datasets.custom.loader import load_custom
from amulet.datasets.custom.predictions import load_predictions

__all__ = ["load_custom", "load_predictions"]
