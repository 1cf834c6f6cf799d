"""The base class of evasion attacks."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from amulet.core.component import Attack
from amulet.core.errors import SettingError
from amulet.core.reporting import Reporter, Stage
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for, device_of, evaluating, frozen


class EvasionAttack(Attack):
    """An attack that changes inputs within a budget. A subclass has one method to write: `perturb`.

    Args:
        model: the model to attack, for `attack()`; the runner gives victims to `adversarial` instead.
        test_loader: the records to attack.
        device: the device to use; the model is moved there.
        batch_size: how many records are attacked at once; also that of the loader that `attack` returns. None: as many
            as `amulet.models.inspect.batch_size_for` says.
    """

    risk = "evasion"
    epsilon: float | None
    batch_size: int | None

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model, self.test_loader, self.device = model, test_loader, device

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch.

        Args:
            model: in eval mode, its weights frozen.
            x: inputs (b, *shape) in [0, 1] on the model's device.
            y: true labels (b,).
            mask: 1 where an input may change, 0 elsewhere, of shape (*shape); None: everywhere.
            generator: the attack's random stream, on the model's device.

        Returns:
            Inputs (b, *shape) in [0, 1] within the budget around `x`.
        """

    def batches(
        self,
        model: nn.Module,
        records: Records,
        stream: Stream,
        *,
        mask: Tensor | None = None,
        stage: Stage | None = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Adversarial inputs (b, *shape) batch by batch, in float32 on the model's device, each with its positions.

        A test split of images would not fit into memory as floats; for a table `adversarial` returns all at once.
        """
        device = device_of(model)
        mask = None if mask is None else mask.to(device)
        size = self.batch_size or batch_size_for(records.shape)
        for start in range(0, len(records), size):
            batch = slice(start, min(start + size, len(records)))
            x, y = records.inputs(batch).to(device), records.y[batch].to(device)
            generator = (stream / start).generator(device)
            with evaluating(model), frozen(model):
                found = self.perturb(model, x, y, mask=mask, generator=generator)
            yield batch, found
            if stage is not None:
                stage.advance(len(y))

    def adversarial(
        self,
        model: nn.Module,
        records: Records,
        stream: Stream,
        *,
        mask: Tensor | None = None,
        stage: Stage | None = None,
    ) -> Tensor:
        """Adversarial inputs (n, *shape) in float32, on the CPU, for all records."""
        return torch.cat([x.cpu() for _, x in self.batches(model, records, stream, mask=mask, stage=stage)])

    def attack(self) -> DataLoader[Any]:
        """Attack `model` on all records of `test_loader`; a loader of adversarial inputs and true labels."""
        if self.model is None or self.test_loader is None:
            raise SettingError(f"`{type(self).__name__}` must be built with a model and a loader to run `attack()`")
        records = Records.from_loader(self.test_loader)
        self.model.to(self.device)
        with Reporter().stage(type(self).__name__, len(records), "record") as stage:
            x = self.adversarial(self.model, records, Stream(0) / "attack" / "evasion", stage=stage)
        return DataLoader(TensorDataset(x, records.y), batch_size=self.batch_size or batch_size_for(x.shape[1:]))
