"""What a defence can change inside the one training loop, and the training as a hook sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from amulet.core.component import Factory
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.augmentation import Augmenter
from amulet.training.device_data import Supply
from amulet.training.objective import OBJECTIVES, right


class Loss(NamedTuple):
    """A batch's losses."""

    values: Tensor
    """(b,): one loss for each record, so that a hook can weight or clip records individually."""
    logits: Tensor
    """(b, classes): the model's answers on the batch as it came; where a hook mixes records, on the mix. Only the
    accuracy that is shown while training rests on them."""


LossFunction = Callable[[Records], Loss]


class Hook:
    """Override what the defence needs; the defaults change nothing. Hooks wrap each other in the recipe's order.

    `training` gives the model, the optimizer, the records, this hook's random stream and the epoch.
    """

    updates: int = 1
    """Optimizer updates per batch; `training.update` says which one it is."""
    shows_losses: bool = True
    """Whether the training may show its losses while it runs; what is reported afterwards, `finish` decides."""

    def start(self, training: Training) -> None:
        """Called before the first epoch: the model and the optimizer exist, nothing has been trained."""

    def batches(self, training: Training, generator: torch.Generator) -> Iterator[Tensor] | None:
        """One epoch's batches as positions of records, or None for shuffled batches of equal size."""
        return None

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        """The losses of a batch. `inner` computes them without this hook; call it on the batch to train on."""
        return inner(batch)

    def backward(self, training: Training, batch: Records, loss: LossFunction) -> Loss | None:
        """Compute the gradients and return the losses; return None to leave this to the loop (mean loss, `backward()`).

        At most one hook of a recipe may do this. `loss` includes all hooks.
        """
        return None

    def validation(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        """The losses that early stopping judges an epoch by, on records held out; the model is in eval mode.

        Without this method a hook has no part in them. A defence overrides it that is good where what it trains on is
        learned well, such as worst cases; nothing may change by the call, the hook's random stream included.
        """
        return inner(batch)

    def epoch_end(self, training: Training) -> None:
        """Called after each epoch."""

    def finish(self, training: Training) -> dict[str, Any]:
        """Called after the last epoch; returns entries for the training report, as JSON."""
        return {}


class Training:
    """One training as its hooks see it."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        records: Records,
        *,
        objective: str,
        epochs: int,
        batch_size: int,
        hooks: Sequence[Hook],
        stream: Stream,
        precision: Literal["float32", "amp"],
        side_channels: Sequence[str] = (),
        augmentation: Sequence[Factory] = (),
        device: torch.device | None = None,
        min_updates: int = 0,
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.device = device or records.x.device
        self.supply = Supply(records, self.device)
        self.records = self.supply.records
        """What is trained on; on the device if there is room for it."""
        self.epochs = epochs
        self.batch_size = batch_size
        self.min_updates = min_updates
        self.stream = stream
        """The model's stream; a hook draws from a stream of its own name below it."""
        self.epoch = 0
        """0-based."""
        self.update = 0
        """Which of the batch's `updates` this is, 0-based."""
        self.hooks = hooks
        self.side_channels = tuple(side_channels)
        """Who else lets a record shape the model, other than by its own loss: early stopping, defences that are not
        `per_record`. For hooks whose guarantee would break."""
        self.warnings: list[str] = []
        """Plain words for the user, which hooks add to; they go into the training report."""
        self._criterion = OBJECTIVES[objective]
        self._amp = precision == "amp"
        self.augmentation = tuple(augmentation)
        """How to build what changes the images of a batch before the hooks see it."""
        self._augmented = Augmenter(augmentation, (stream / "augmentation").generator())
        self.loss: LossFunction = self._plain_loss
        """The losses of a batch with every hook's part in them."""
        self.validation: LossFunction = self._plain_loss
        """The losses of a batch that was held out, by which early stopping judges."""
        for hook in reversed(hooks):
            self.loss = partial(hook.loss, self, inner=self.loss)
            self.validation = partial(hook.validation, self, inner=self.validation)

    def forward(self, x: Tensor) -> Tensor:
        """Logits in float32 for inputs in [0, 1], in the training's precision."""
        x = x.to(self.device)
        if not self._amp:
            return self.model(x).float()
        with torch.autocast(self.device.type, torch.bfloat16):
            logits = self.model(x)
        return logits.float()

    def _plain_loss(self, batch: Records) -> Loss:
        logits = self.forward(batch.inputs())
        return Loss(self._criterion(logits, batch), logits)

    def batches(self, generator: torch.Generator) -> Iterator[Records]:
        """One epoch: a hook's sampling, or every record, shuffled, in batches of `batch_size`; augmented.

        Each record comes once, or again until there are `min_updates` batches.
        """
        for hook in self.hooks:
            sampled = hook.batches(self, generator)
            if sampled is not None:
                yield from (self._augmented(self.supply.at(index)) for index in sampled)
                return
        shuffled = self.supply.shuffled(generator, self.batch_size, self.min_updates)
        yield from (self._augmented(batch) for batch in shuffled)

    def start(self) -> None:
        """Before the first epoch: does the augmentation fit the records? Then the hooks, in their order."""
        self._augmented.check(self.records)
        for hook in self.hooks:
            hook.start(self)

    def one_epoch(self, order: torch.Generator) -> tuple[float, float]:
        """Train on every batch of an epoch; the mean loss and the share of right answers."""
        self.model.train()
        updates, tally = max((hook.updates for hook in self.hooks), default=1), _Tally()
        for batch in self.batches(order):
            for self.update in range(updates):
                tally.add(self.step(batch), batch)
        return tally.means()

    def step(self, batch: Records) -> Loss:
        """One update of the weights."""
        for hook in self.hooks:
            loss = hook.backward(self, batch, self.loss)
            if loss is not None:
                break
        else:
            self.optimizer.zero_grad(set_to_none=True)
            loss = self.loss(batch)
            loss.values.mean().backward()
        self.optimizer.step()
        return loss


class _Tally:
    """Losses and right answers of an epoch, left on the device until it is over; not all devices know float64."""

    def __init__(self) -> None:
        self.losses: list[Tensor] = []
        self.hits: list[Tensor] = []
        self.seen = 0

    def add(self, loss: Loss, batch: Records) -> None:
        with torch.no_grad():
            self.losses.append(loss.values.detach().sum())
            self.hits.append(right(loss.logits, batch))
        self.seen += len(batch)

    def means(self) -> tuple[float, float]:
        """Mean loss and share of right answers; 0 and 0 where no batch had a record in it."""
        if not self.seen:
            return 0.0, 0.0
        losses, hits = torch.stack(self.losses).tolist(), torch.stack(self.hits).tolist()
        return math.fsum(losses) / self.seen, sum(hits) / self.seen
