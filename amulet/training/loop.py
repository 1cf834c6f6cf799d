"""The one training loop: in-memory batches, explicit random streams, hooks for defences."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from amulet.core.component import Factory
from amulet.core.errors import Diverged, SettingError, in_range
from amulet.core.reporting import Reporter
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.models.inspect import evaluating
from amulet.training.hook import Hook, Loss, LossFunction
from amulet.training.objective import OBJECTIVES, right

Precision = Literal["float32", "amp"]


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when the loss on a held-out part of the training records has not fallen for `patience` epochs.

    The weights of the best epoch are kept.
    """

    fraction: float = 0.1
    """Share of the training records held out, stratified by label; never trained on."""
    patience: int = 5

    def __post_init__(self) -> None:
        in_range("early_stopping.fraction", self.fraction, above=0, below=1)
        in_range("early_stopping.patience", self.patience, 1)


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
        precision: Precision,
        side_channels: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.optimizer = optimizer
        self.records = records
        """What is trained on, on the device."""
        self.epochs = epochs
        self.batch_size = batch_size
        self.stream = stream
        """The model's stream; a hook draws from a stream of its own name below it."""
        self.device = records.x.device
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
        self.loss: LossFunction = self._plain_loss
        """The losses of a batch with every hook's part in them."""
        for hook in reversed(hooks):
            self.loss = partial(hook.loss, self, inner=self.loss)

    def forward(self, x: Tensor) -> Tensor:
        """Logits in float32 for inputs in [0, 1], in the training's precision."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self._amp):
            logits = self.model(x)
        return logits.float()

    def _plain_loss(self, batch: Records) -> Loss:
        logits = self.forward(batch.inputs())
        return Loss(self._criterion(logits, batch), logits)

    def batches(self, generator: torch.Generator) -> Iterator[Records]:
        """One epoch: a hook's sampling, or every record once, shuffled, in batches of `batch_size`."""
        for hook in self.hooks:
            sampled = hook.batches(self, generator)
            if sampled is not None:
                for index in sampled:
                    yield self.records.batch(index.to(self.device))
                return
        n = len(self.records)
        shuffled = self.records.batch(torch.randperm(n, generator=generator).to(self.device))
        for part in parts_of(n, self.batch_size):
            yield shuffled.batch(part)

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


def parts_of(n: int, batch_size: int) -> Iterator[slice]:
    """One epoch of `n` shuffled records in batches; a last batch of one joins the one before.

    >>> [(part.start, part.stop) for part in parts_of(7, 3)]
    [(0, 3), (3, 7)]
    """
    start = 0
    while start < n:
        end = start + batch_size
        end = n if end + 1 >= n else end  # batch norm cannot train on a single record
        yield slice(start, end)
        start = end


def check_loss(loss: float, label: str, epoch: int, epochs: int, optimizer: Optimizer, batch_size: int) -> None:
    """Raise `Diverged` if the mean loss of an epoch (0-based) is not finite."""
    if not math.isfinite(loss):
        raise Diverged(
            f"{label}: the loss became {loss} in epoch {epoch + 1} of {epochs}; lower `optimizer.lr` "
            f"({optimizer.param_groups[0]['lr']:g} now) or raise `batch_size` ({batch_size} now)"
        )


def build_optimizer(factory: Factory, model: nn.Module, device: torch.device) -> Optimizer:
    """The optimizer, fused where torch has that for it and the user did not choose."""
    weights = [p for p in model.parameters() if p.requires_grad]
    if not weights:
        raise SettingError(f"`{type(model).__name__}` has no weights to train")
    fusable = factory.path.startswith("torch.optim.") and factory.path.rpartition(".")[2] in (
        "Adam",
        "AdamW",
        "SGD",
    )
    if fusable and device.type in ("cpu", "cuda") and not {"fused", "foreach"} & factory.settings.keys():
        factory = factory.with_settings(fused=True)
    try:
        return factory.build(weights)
    except (TypeError, ValueError) as error:
        raise SettingError(f"`optimizer`: {factory.path} cannot be built: {error}") from error


def train(
    model: nn.Module,
    records: Records,
    *,
    optimizer: Factory | Optimizer,
    epochs: int,
    batch_size: int,
    stream: Stream,
    objective: str = "cross_entropy",
    schedule: Factory | None = None,
    hooks: Sequence[Hook] = (),
    device: torch.device | str = "cpu",
    precision: Precision = "float32",
    early_stopping: EarlyStopping | None = None,
    side_channels: Sequence[str] = (),
    reporter: Reporter | None = None,
    label: str = "training",
) -> dict[str, Any]:
    """Train `model` in place and return the training report (JSON).

    Args:
        model: any module of inputs (b, *shape) in [0, 1] to logits (b, classes).
        records: the training records; moved to `device` whole.
        optimizer: how to build it, or one that exists.
        stream: the model's stream; batches, dropout and hooks draw from streams below it.
        objective: `cross_entropy`, or for records with `targets`: `logit_mse`, `kl`, `hard_labels`.
        schedule: a scheduler of `torch.optim.lr_scheduler`, stepped after each epoch.
        hooks: what defences change, outermost first.
        precision: `amp` computes the model in bfloat16 where autocast allows it; losses are float32.
        side_channels: names of what makes the model depend on records other than by their losses, beside
            `early_stopping`; hooks may want to know.

    Raises:
        Diverged: an epoch's mean loss is not finite.
    """
    in_range("epochs", epochs, 1)
    in_range("batch_size", batch_size, 1)
    device = torch.device(device)
    reporter = reporter or Reporter()
    held_out = None
    if early_stopping:
        size = max(1, round(early_stopping.fraction * len(records)))
        generator = (stream / "validation").generator()
        held, kept = stratified_split(records.y, [size, len(records) - size], generator)
        held_out, records = records.take(held).to(device), records.take(kept)
        side_channels = [*side_channels, "early stopping"]
    records = records.to(device)
    model.to(device)
    if isinstance(optimizer, Factory):
        optimizer = build_optimizer(optimizer, model, device)
    scheduler = schedule.build(optimizer) if schedule else None
    training = Training(
        model,
        optimizer,
        records,
        objective=objective,
        epochs=epochs,
        batch_size=batch_size,
        hooks=hooks,
        stream=stream,
        precision=precision,
        side_channels=side_channels,
    )
    order = (stream / "batches").generator()
    losses: list[float] = []
    accuracy = math.nan
    best = _Best(early_stopping.patience if early_stopping else 0)
    with (stream / "noise").governing(device), reporter.stage(label, epochs, "epoch") as stage:
        for hook in hooks:
            hook.start(training)
        updates = max((hook.updates for hook in hooks), default=1)
        for training.epoch in range(epochs):
            model.train()
            total = torch.zeros(3, dtype=torch.float64, device=device)  # losses, right answers, records
            for batch in training.batches(order):
                for training.update in range(updates):
                    loss = training.step(batch)
                    _account(total, loss, batch)
            loss_sum, hits, seen = total.tolist()
            losses.append(loss_sum / max(seen, 1))
            accuracy = hits / max(seen, 1)
            check_loss(losses[-1], label, training.epoch, epochs, optimizer, batch_size)
            if scheduler:
                scheduler.step()
            for hook in hooks:
                hook.epoch_end(training)
            stage.advance(1, loss=losses[-1])
            if held_out is not None and best.settled(model, _mean_loss(training, held_out, objective)):
                break
    best.restore(model)
    report: dict[str, Any] = {
        "records": len(records),
        "epochs": len(losses),
        "loss": losses[-1],
        "accuracy": accuracy,
        "losses": losses,
        "warnings": training.warnings,
    }
    if early_stopping:
        report["best_validation_loss"] = best.loss
    for hook in hooks:
        report |= hook.finish(training)
    return report


def _account(total: Tensor, loss: Loss, batch: Records) -> None:
    with torch.no_grad():
        hits = right(loss.logits, batch)
        total += torch.stack([loss.values.sum().double(), hits, torch.full_like(hits, float(len(batch)))])


def _mean_loss(training: Training, records: Records, objective: str) -> float:
    model, sums = training.model, 0.0
    with torch.inference_mode(), evaluating(model):
        for start in range(0, len(records), 4096):
            batch = records.batch(slice(start, start + 4096))
            sums += OBJECTIVES[objective](training.forward(batch.inputs()), batch).sum().item()
    return sums / len(records)


class _Best:
    """The best epoch so far by validation loss."""

    def __init__(self, patience: int) -> None:
        self.patience, self.waited, self.loss = patience, 0, math.inf
        self.weights: dict[str, Tensor] | None = None

    def settled(self, model: nn.Module, loss: float) -> bool:
        if loss < self.loss:
            self.loss, self.waited, self.weights = loss, 0, copy.deepcopy(model.state_dict())
            return False
        self.waited += 1
        return self.waited >= self.patience

    def restore(self, model: nn.Module) -> None:
        if self.weights is not None:
            model.load_state_dict(self.weights)
