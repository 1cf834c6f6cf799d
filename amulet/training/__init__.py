"""How models are made: recipes, the one training loop, and the store of trained models."""

from amulet.training.base_recipe import Trained
from amulet.training.defense import Defense
from amulet.training.hook import Hook, Loss, LossFunction, Training
from amulet.training.loop import EarlyStopping, train
from amulet.training.pretrained import Pretrained
from amulet.training.recipe import Prepared, Recipe
from amulet.training.runtime import Runtime, resolve_device
from amulet.training.store import MemoryStore, Store, Stored
from amulet.training.victim import DataSplits, Victim

__all__ = [
    "DataSplits",
    "Defense",
    "EarlyStopping",
    "Hook",
    "Loss",
    "LossFunction",
    "MemoryStore",
    "Prepared",
    "Pretrained",
    "Recipe",
    "Runtime",
    "Store",
    "Stored",
    "Trained",
    "Training",
    "Victim",
    "resolve_device",
    "train",
]
