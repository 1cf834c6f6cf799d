"""The one training loop: batches from memory, explicit random streams, hooks for defences."""

import copy
import math
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from amulet.core.component import Factory
from amulet.core.errors import DataError, Diverged, SettingError, in_range
from amulet.core.reporting import Reporter
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.models.arithmetic import fast_dtype, laid_out, worth_bfloat16
from amulet.models.inspect import batch_size_for, device_of, evaluating
from amulet.training.device_data import Supply
from amulet.training.hook import Hook, Training

Precision = Literal["auto", "float32", "amp"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
LOOP_STREAMS = ("weights", "batches", "noise", "validation", "augmentation")
"""The streams below a model's own that its training draws from itself: no defence may have one of these names."""


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """Stop when the loss on a held-out part of the training records has not fallen for `patience` epochs.

    The weights of the best epoch are kept. The loss is the defence's own where it has one (`Hook.validation`): beside
    adversarial training that of the worst cases.
    """

    fraction: float = 0.1
    """Share of the training records held out, stratified by label; never trained on."""
    patience: int = 5

    def __post_init__(self) -> None:
        in_range("early_stopping.fraction", self.fraction, above=0, below=1)
        in_range("early_stopping.patience", self.patience, 1)


def check_loss(
    loss: float, label: str, epoch: int, epochs: int, optimizer: Optimizer, batch_size: int, x: Tensor
) -> None:
    """Raise if the mean loss of an epoch (0-based) is not finite.

    Raises:
        DataError: the training inputs `x` are not finite either.
        Diverged: they are.
    """
    if not math.isfinite(loss):
        bad = 0 if not x.is_floating_point() else int((~x.isfinite()).flatten(1).any(dim=1).sum())
        if bad:
            raise DataError(
                f"{label}: the loss became {loss} because {bad} of {len(x)} training records have values that are not "
                "finite; fill or drop them in the data set"
            )
        raise Diverged(
            f"{label}: the loss became {loss} in epoch {epoch + 1} of {epochs}; lower `optimizer.lr` "
            f"({optimizer.param_groups[0]['lr']:g} now) or raise `batch_size` ({batch_size} now)"
        )


def build_optimizer(factory: Factory, model: nn.Module, device: torch.device) -> Optimizer:
    """The optimizer, fused if torch supports that for it and the user did not choose."""
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


def resolved(precision: Precision, model: nn.Module, x: Tensor, batch_size: int) -> Literal["float32", "amp"]:
    """The precision that `auto` means for this model on its device.

    Args:
        precision: the requested precision.
        model: on the device that it will be trained on.
        x: an input or two, (n, *shape), to count its arithmetic.
        batch_size: of a training step.
    """
    if precision != "auto":
        return precision
    low = fast_dtype(device_of(model)) == torch.bfloat16 and worth_bfloat16(model, x, batch_size)
    return "amp" if low else "float32"


def check_weights(optimizer: Optimizer, model: nn.Module) -> None:
    """Raise `SettingError` unless an existing optimizer changes weights of the model, and of no other."""
    own = {id(parameter) for parameter in model.parameters()}
    given = [id(parameter) for group in optimizer.param_groups for parameter in group["params"]]
    others = sum(parameter not in own for parameter in given)
    if others or not given:
        raise SettingError(
            f"`optimizer` must be over parameters of the model that is trained; {others} of its {len(given)} are not. "
            f"Build it from that model: {type(optimizer).__name__}(model.parameters(), ...)"
        )


def _arithmetic(
    model: nn.Module,
    records: Records,
    precision: Precision,
    optimizer: Factory | Optimizer,
    hooks: Sequence[Hook],
    batch_size: int,
) -> tuple[Tensor, Literal["float32", "amp"], bool]:
    """An input or two; the precision; and whether the weights must keep torch's memory layout.

    Gradients that a hook computes record by record are float32 and in that layout, and so may be the state of an
    existing optimizer.
    """
    few = records.inputs(slice(0, 2))
    by_hook = any(type(hook).backward is not Hook.backward for hook in hooks)
    precision = "float32" if precision == "auto" and by_hook else resolved(precision, model, few, batch_size)
    return few, precision, by_hook or not isinstance(optimizer, Factory)


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
    augmentation: Sequence[Factory] = (),
    hooks: Sequence[Hook] = (),
    device: torch.device | str = "cpu",
    precision: Precision = "auto",
    early_stopping: EarlyStopping | None = None,
    side_channels: Sequence[str] = (),
    min_updates: int = 0,
    reporter: Reporter | None = None,
    label: str = "training",
) -> dict[str, Any]:
    """Train `model` in place and return the training report (JSON).

    Args:
        model: any module of inputs (b, *shape) in [0, 1] to logits (b, classes).
        records: the training records; copied to `device` at once if they fit, else batch by batch.
        optimizer: how to build it, or an existing one over weights of `model`.
        stream: the model's stream; batches, dropout and hooks draw from streams below it.
        objective: `cross_entropy`, or for records with `targets`: `logit_mse`, `kl`, `hard_labels`.
        schedule: a scheduler of `torch.optim.lr_scheduler`, stepped after each epoch.
        augmentation: random changes of the images of each batch, one after the other, before any hook sees them; for
            training records only.
        hooks: the defences' changes, outermost first.
        precision: `amp` computes the model in bfloat16 where autocast allows it; losses and weights are float32.
            `auto` does so for models that are mostly convolutions where the processor is faster with it.
        side_channels: names of what else makes the model depend on records other than through their losses, besides
            `early_stopping`; for hooks.
        min_updates: an epoch has at least so many batches: of few records, each comes several times in an epoch.

    Raises:
        DataError: records with values that are not finite.
        Diverged: an epoch's mean loss is not finite.
        SettingError: `optimizer` is over weights of another model.
    """
    if isinstance(optimizer, Optimizer):
        check_weights(optimizer, model)
    in_range("epochs", epochs, 1)
    in_range("batch_size", batch_size, 1)
    in_range("min_updates", min_updates, 0)
    device = torch.device(device)
    reporter = reporter or Reporter()
    held_out = None
    if early_stopping:
        size = max(1, round(early_stopping.fraction * len(records)))
        generator = (stream / "validation").generator()
        held, kept = stratified_split(records.y, [size, len(records) - size], generator)
        held_out, records = Supply(records.take(held), device), records.take(kept)
        side_channels = [*side_channels, "early stopping"]
    model.to(device)
    few, precision, plain = _arithmetic(model, records, precision, optimizer, hooks, batch_size)
    losses: list[float] = []
    accuracy = math.nan
    best = _Best(early_stopping.patience if early_stopping else 0)
    with ExitStack() as during:
        if not plain:
            during.enter_context(laid_out(model, few, low_precision=precision == "amp"))
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
            augmentation=augmentation,
            device=device,
            min_updates=min_updates,
        )
        order = (stream / "batches").generator()
        during.enter_context((stream / "noise").seed_global(device))
        stage = during.enter_context(reporter.stage(label, epochs, "epoch"))
        training.start()
        for training.epoch in range(epochs):
            mean_loss, accuracy = training.one_epoch(order)
            losses.append(mean_loss)
            check_loss(mean_loss, label, training.epoch, epochs, optimizer, batch_size, records.x)
            if scheduler:
                scheduler.step()
            for hook in hooks:
                hook.epoch_end(training)
            stage.advance(1, **({"loss": mean_loss} if all(hook.shows_losses for hook in hooks) else {}))
            if held_out is not None and best.settled(model, _mean_loss(training, held_out)):
                break
        best.restore(model)
    report: dict[str, Any] = {
        "records": len(records),
        "epochs": len(losses),
        "loss": losses[-1],
        "accuracy": accuracy,
        "losses": losses,
        "precision": precision,
        "warnings": training.warnings,
    }
    if early_stopping:
        report["best_validation_loss"] = best.loss
    for hook in hooks:
        report |= hook.finish(training)
    del (
        training.loss,
        training.validation,
    )  # they refer back to `training`: the records would stay in memory until the garbage collector runs
    return report


def _mean_loss(training: Training, supply: Supply) -> float:
    model, sums, size = training.model, 0.0, batch_size_for(supply.records.shape)
    with torch.no_grad(), evaluating(model):
        for start in range(0, len(supply), size):
            sums += training.validation(supply.at(slice(start, start + size))).values.sum().item()
    return sums / len(supply)


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
