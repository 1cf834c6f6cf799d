"""Models to attack and to defend, and how to look inside any model."""

from amulet.models.inspect import evaluating, features, frozen, predict
from amulet.models.linearnet import LinearNet

__all__ = ["LinearNet", "evaluating", "features", "frozen", "predict"]
