"""How models are made: recipes, the one training loop, and where trained models are kept."""

from amulet.training.defense import Defense, Prepared
from amulet.training.given import Given
from amulet.training.hook import Hook, Loss, LossFunction
from amulet.training.loop import EarlyStopping, Training, train
from amulet.training.recipe import Recipe, Trained
from amulet.training.runtime import Runtime, resolve_device
from amulet.training.store import MemoryStore, Store, Stored
from amulet.training.victim import Scene, Victim

__all__ = [
    "Defense",
    "EarlyStopping",
    "Given",
    "Hook",
    "Loss",
    "LossFunction",
    "MemoryStore",
    "Prepared",
    "Recipe",
    "Runtime",
    "Scene",
    "Store",
    "Stored",
    "Trained",
    "Training",
    "Victim",
    "resolve_device",
    "train",
]
