"""A recipe as training many models at once sees it: its settings, and how one model is made and kept."""

import dataclasses
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from amulet.core.component import Factory
from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.loop import PRECISIONS, EarlyStopping, Precision
from amulet.training.objective import OBJECTIVES
from amulet.training.runtime import Runtime
from amulet.training.store import Stored


@dataclass(frozen=True)
class Trained:
    """A model in eval mode, and how its training went."""

    model: nn.Module
    report: dict[str, Any]
    """Losses, epochs, what each defence reported: JSON."""
    arrays: dict[str, np.ndarray]
    """What defences decided record by record, as `<defence>.<name>`."""
    key: str
    loaded: bool
    """Was it in the store?"""


@dataclass(frozen=True, kw_only=True)
class BaseRecipe(ABC):
    """All that `Recipe` consists of but for its defences, which know recipes themselves."""

    differentiable: ClassVar[bool] = True
    """Are the models networks, with weights and gradients?"""

    architecture: Factory
    """Called with `input_shape` and `num_classes`, as far as it takes them."""
    num_classes: int
    optimizer: Factory
    schedule: Factory | None = None
    epochs: int = 30
    batch_size: int = 256
    min_updates: int = 0
    """The least number of batches of an epoch: of few records, each comes several times in an epoch. So a model of few
    records is trained as long as one of many, and schedules and early stopping still count the same epochs."""
    objective: str = "cross_entropy"
    augmentation: tuple[Factory, ...] = ()
    """Random changes of training images, one after the other; see `amulet.training.augmentation`."""
    early_stopping: EarlyStopping | None = None
    precision: Precision = "auto"
    runtime: Runtime = field(default_factory=Runtime, compare=False, repr=False)

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 1)
        in_range("batch_size", self.batch_size, 1)
        in_range("min_updates", self.min_updates, 0)
        one_of("objective", self.objective, OBJECTIVES)
        one_of("precision", self.precision, PRECISIONS)

    @property
    @abstractmethod
    def is_defended(self) -> bool:
        """Does a defence change the training?"""

    @abstractmethod
    def key(self, records: Records, stream: Stream) -> str:
        """A hash of all that determines the trained model."""

    @abstractmethod
    def make(self, records: Records, stream: Stream, key: str, label: str = "model") -> tuple[Stored, bool]:
        """What the store has under `key`, or what training makes; and whether it was in the store."""

    def changed(self, **changes: Any) -> Self:
        """A copy with some parts changed."""
        return dataclasses.replace(self, **changes)

    def build(self, shape: tuple[int, ...], stream: Stream) -> nn.Module:
        """The model with its initial weights, on the CPU."""
        with (stream / "weights").seed_global():
            model = self.architecture.build(input_shape=shape, num_classes=self.num_classes)
        if not isinstance(model, nn.Module):
            raise SettingError(f"`model`: {self.architecture.path} must make a torch.nn.Module, got {type(model)}")
        if any(isinstance(part, torch.jit.ScriptModule) for part in model.modules()):
            raise SettingError(
                f"`model`: {self.architecture.path} makes a scripted module (torch.jit), whose layers cannot be "
                "watched; give the module itself, before torch.jit.script or torch.jit.trace"
            )
        return model

    def restore(self, stored: Stored, shape: tuple[int, ...], key: str, *, loaded: bool) -> Trained:
        """The model of what is kept, in eval mode on the runtime's device."""
        model = self.build(shape, Stream(0))
        weights = {name[6:]: value for name, value in stored.tensors.items() if name.startswith("model.")}
        model.load_state_dict(weights)
        arrays = {name[7:]: value.numpy() for name, value in stored.tensors.items() if name.startswith("report.")}
        return Trained(model.to(self.runtime.device).eval(), dict(stored.meta), arrays, key, loaded)
