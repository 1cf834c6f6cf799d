"""The base class of reconstruction attacks."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.component import Attack
from amulet.core.errors import SettingError
from amulet.core.reporting import Reporter, Stage
from amulet.core.stream import Stream
from amulet.data_reconstruction.attacks.outcome import Reconstruction
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import device_of, evaluating, frozen


class ReconstructionAttack(Attack):
    """An attack that searches for an input of each class with the model's weights. A subclass writes `search`.

    Args:
        target_model: the model to attack, for `attack()`; the runner gives victims to `reconstruct` instead.
        input_shape: the shape of one record's input.
        num_classes: the number of classes of the model.
        device: where to work; the model is moved there.
    """

    risk = "data_reconstruction"
    needs = Access.LOGITS | Access.QUERIES | Access.GRADIENTS

    def __init__(
        self,
        target_model: nn.Module | None = None,
        input_shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.target_model, self.device = target_model, device
        self.input_shape, self.num_classes = input_shape, num_classes
        self.reconstruction: Reconstruction | None = None
        """The result of the last `attack()`, and how the search went."""

    @abstractmethod
    def search(
        self, model: nn.Module, shape: Sequence[int], num_classes: int, *, generator: torch.Generator, stage: Stage
    ) -> Reconstruction:
        """Search for an input of each class.

        Args:
            model: in eval mode, its weights frozen; inputs (b, *shape) in [0, 1] to logits (b, classes).
            shape: the shape of one input.
            num_classes: the number of inputs to find.
            generator: the attack's random stream, on the model's device.
            stage: receives the progress of every step.
        """

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def knowing(self, records: Records, groups: Sequence[tuple[int, int]]) -> Self:
        """The attack of an adversary who has these records, and knows which column ranges are one-hot codes.

        Unless it is overridden, the attack has no use for them.
        """
        return self

    @property
    def length(self) -> int | None:
        """The largest number of steps of `search`, if known."""
        return None

    def reconstruct(
        self,
        model: nn.Module,
        shape: Sequence[int],
        num_classes: int,
        stream: Stream,
        reporter: Reporter | None = None,
        label: str = "reconstruct",
    ) -> Reconstruction:
        """One input for each class; the model is unchanged afterwards."""
        reporter, generator = reporter or Reporter(), stream.generator(device_of(model))
        with evaluating(model), frozen(model), reporter.stage(label, self.length, "step") as stage:
            return self.search(model, tuple(shape), num_classes, generator=generator, stage=stage)

    def attack(self) -> Tensor:
        """Reconstruct one input for each class of `target_model`: (num_classes, *input_shape) in [0, 1], on the CPU."""
        if self.target_model is None or self.input_shape is None or self.num_classes is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a model, an input shape and a number of classes to run "
                "`attack()`"
            )
        model, stream = self.target_model.to(self.device), Stream(0) / "attack" / self.risk
        self.reconstruction = self.reconstruct(model, self.input_shape, self.num_classes, stream)
        return self.reconstruction.x
