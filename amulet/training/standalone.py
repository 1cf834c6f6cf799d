"""The paper's interface of a defence in training: called with a model, a loader and an optimizer."""

from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.defense import Defense
from amulet.training.loop import train


class TrainingDefense(Defense):
    """A defence in training that can also be run directly on a model (paper, Figure 1).

    Args:
        model: the model to train; its weights are changed in place, starting from their current values.
        loss_function: must be cross-entropy, which the loop minimises.
        optimizer: an optimizer over the model's parameters.
        train_loader: the training records; their batch size is the loader's.
        device: where to work.
        epochs: the number of epochs.
    """

    stage = "in"

    def __init__(
        self,
        model: nn.Module | None = None,
        loss_function: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        train_loader: DataLoader[Any] | None = None,
        device: str | torch.device = "cpu",
        epochs: int = 1,
    ) -> None:
        if loss_function is not None and not isinstance(loss_function, nn.CrossEntropyLoss):
            raise SettingError(f"`loss_function` must be torch.nn.CrossEntropyLoss, got {type(loss_function).__name__}")
        self.model = model
        self.optimizer = optimizer
        self.train_loader = train_loader
        self.device = torch.device(device)
        self.epochs = epochs
        self.report: dict[str, Any] = {}
        """The report of the last direct training."""

    def _train(self, records: Records | None = None) -> nn.Module:
        if self.model is None or self.optimizer is None or self.train_loader is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a model, a loss, an optimizer and a loader to be run"
            )
        hook = self.hook()
        self.report = train(
            self.model,
            Records.from_loader(self.train_loader) if records is None else records,
            optimizer=self.optimizer,
            epochs=self.epochs,
            batch_size=self.train_loader.batch_size or 256,
            stream=Stream(0) / "by hand",
            hooks=[] if hook is None else [hook],
            device=self.device,
            label=type(self).__name__,
        )
        return self.model.eval()
