"""Trains many models as one: their weights stacked, their forward passes mapped over the stack (`torch.func`).

One small model would leave a GPU idle. Each model has the same initial weights and batches as when trained alone, and
for optimizers that work element by element there is no difference: the models are those of training one after the
other, up to rounding. Models for which this does not hold, mainly those with dropout, are not stacked.
"""

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.base_recipe import BaseRecipe
from amulet.training.device_data import epoch_of, size_of
from amulet.training.loop import build_optimizer, check_loss, resolved
from amulet.training.objective import OBJECTIVES
from amulet.training.runtime import free_memory
from amulet.training.store import Stored

MOST = 64
"""The largest number of models in a stack."""

_ELEMENTWISE = ("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Adagrad", "Adadelta")
_Job = tuple[Records, Stream, str]


def why_not(recipe: BaseRecipe, records: Records) -> str | None:
    """Why models of this recipe cannot be trained as a stack; None if they can."""
    if recipe.is_defended:
        return "a defence changes the training"
    if recipe.augmentation:
        return "each model's augmentation draws from its own stream"
    if recipe.early_stopping:
        return "early stopping ends each model's training at its own time"
    module, _, name = recipe.optimizer.path.rpartition(".")
    if module != "torch.optim" or name not in _ELEMENTWISE:
        return f"{recipe.optimizer.path} may not work element by element"
    models = [recipe.build(records.shape, Stream(k)).train() for k in range(2)]
    x = torch.stack([records.batch(slice(0, 4)).to("cpu").inputs()] * 2)
    try:
        params, buffers = stack_module_state(models)
        if missing := models[0].state_dict().keys() - params.keys() - buffers.keys():
            return f"{min(missing)} is shared within the model"
        with torch.no_grad(), warnings.catch_warnings():
            warnings.filterwarnings("error", message="There is a performance drop")  # mapped one by one: no speed-up
            together = _mapped(models[0])(params, buffers, x)
            alone = torch.stack([model(rows) for model, rows in zip(models, x, strict=True)])
    except Exception as error:  # noqa: BLE001 -- what cannot be mapped over says so in many ways
        return (
            f"{type(models[0]).__name__} cannot be mapped over: {str(error).splitlines()[0] if str(error) else error!r}"
        )
    if not torch.allclose(together, alone, rtol=1e-2, atol=1e-4):
        return f"{type(models[0]).__name__} answers otherwise when it is mapped over"
    return None


def stack_size(recipe: BaseRecipe, records: Records) -> int:
    """How many models to train at once, from what one of them takes of the device's memory; at least 1."""
    device = recipe.runtime.device
    free = free_memory(device)
    room = 4 * 2**30 if free is None else free
    model, kept = recipe.build(records.shape, Stream(0)).train(), [0]

    def count(tensor: Tensor) -> Tensor:
        kept[0] += tensor.numel() * tensor.element_size()
        return tensor

    probe = records.batch(slice(0, 4)).to("cpu").inputs()
    with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
        model(probe)
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    each = size_of(records) + 8 * weights + 2 * kept[0] * recipe.batch_size // len(probe)
    return max(1, min(MOST, room // 4 // each))


def train_stack(recipe: BaseRecipe, records: Sequence[Records], streams: Sequence[Stream], label: str) -> list[Stored]:
    """Train one model for each pair of records and stream, all at once.

    Args:
        recipe: one that `why_not` accepts.
        records: tables of the same length and shape.
        streams: one for each.
        label: for error messages.

    Raises:
        DataError: records with values that are not finite.
        Diverged: an epoch's mean loss of any of the models is not finite.
    """
    began, device, count, n = time.perf_counter(), recipe.runtime.device, len(records), len(records[0])
    models = [recipe.build(r.shape, s).to(device).train() for r, s in zip(records, streams, strict=True)]
    stacked, buffers = stack_module_state(models)
    params = {name: nn.Parameter(value, requires_grad=value.requires_grad) for name, value in stacked.items()}
    base, names = models[0], list(models[0].state_dict())
    del models, stacked
    forward = _mapped(base)
    optimizer = build_optimizer(recipe.optimizer, nn.ParameterList(params.values()), device)
    scheduler = recipe.schedule.build(optimizer) if recipe.schedule else None
    tables = _Tables(records, device)
    orders = [(stream / "batches").generator() for stream in streams]
    precision = resolved(recipe.precision, base, records[0].inputs(slice(0, 2)), recipe.batch_size)
    losses: list[list[float]] = []
    accuracies: list[float] = []
    for epoch in range(recipe.epochs):
        parts = [list(epoch_of(n, recipe.batch_size, generator, recipe.min_updates)) for generator in orders]
        sizes = [len(part) for part in parts[0]]
        order = torch.stack([torch.cat(own) for own in parts]).to(device)
        sums: list[Tensor] = []  # losses and correct answers of each batch
        for index in order.split(sizes, dim=1):
            batch = tables.batch(index)
            optimizer.zero_grad(set_to_none=True)
            x = batch.inputs()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "amp"):
                logits = forward(params, buffers, x.view(count, -1, *x.shape[1:])).float()
            values = OBJECTIVES[recipe.objective](logits.flatten(0, 1), batch).view(count, -1)
            values.mean(dim=1).sum().backward()
            optimizer.step()
            with torch.no_grad():
                wanted = batch.y if batch.targets is None else batch.targets.argmax(dim=1)
                hits = logits.argmax(dim=2) == wanted.view(count, -1)
                sums.append(torch.stack([values.sum(dim=1), hits.sum(dim=1).float()]))
        means, accuracies = (torch.stack(sums).cpu().double().sum(dim=0) / sum(sizes)).tolist()
        for loss, table in zip(means, records, strict=True):
            check_loss(loss, label, epoch, recipe.epochs, optimizer, recipe.batch_size, table.x)
        losses.append(means)
        if scheduler:
            scheduler.step()
    seconds = (time.perf_counter() - began) / count
    found: list[Stored] = []
    for k in range(count):
        tensors = {f"model.{name}": (params | buffers)[name][k].detach().cpu().clone() for name in names}
        history = [means[k] for means in losses]
        report = {
            "records": n,
            "epochs": recipe.epochs,
            "loss": history[-1],
            "accuracy": accuracies[k],
            "losses": history,
            "precision": precision,
            "warnings": [],
            "seconds": seconds,
        }
        found.append(Stored(tensors, report))
    return found


def make_stack(recipe: BaseRecipe, jobs: Sequence[_Job], label: str) -> list[tuple[str, Stored]]:
    """As `train_stack`, for jobs (records, stream, key) that the store may have been given meanwhile; saved there."""
    store = recipe.runtime.store
    made: list[tuple[str, Stored]] = []
    with ExitStack() as locks:
        for key in sorted(key for _, _, key in jobs):  # all processes take several locks in this order: no deadlock
            locks.enter_context(store.lock(key))
        left: list[_Job] = []
        for job in jobs:
            stored = store.load(job[2])
            if stored is None:
                left.append(job)
            else:
                made.append((job[2], stored))
        if left:
            trained = train_stack(recipe, [job[0] for job in left], [job[1] for job in left], label)
            for (_, _, key), stored in zip(left, trained, strict=True):
                store.save(key, stored)
                made.append((key, stored))
    return made


class _Tables:
    """Records of equal length, stacked on the device."""

    def __init__(self, records: Sequence[Records], device: torch.device) -> None:
        self.x = _together([r.x for r in records], device)
        self.y = _together([r.y for r in records], device)
        targets = [r.targets for r in records if r.targets is not None]
        self.targets = _together(targets, device) if targets else None
        self.rows = torch.arange(len(records), device=device).unsqueeze(1)

    def batch(self, index: Tensor) -> Records:
        """The records at `index` (k, b), those of the first table first."""
        targets = None if self.targets is None else self.targets[self.rows, index].flatten(0, 1)
        x, y = self.x[self.rows, index].flatten(0, 1), self.y[self.rows, index].flatten()
        return Records(x, y, y.new_zeros(len(y), 0), index.flatten(), targets=targets)


def _together(tables: Sequence[Tensor], device: torch.device) -> Tensor:
    """(k, n, ...) on the device, which never holds a table twice."""
    whole = torch.empty(len(tables), *tables[0].shape, dtype=tables[0].dtype, device=device)
    for place, table in zip(whole, tables, strict=True):
        place.copy_(table)
    return whole


def _mapped(base: nn.Module) -> Callable[[Mapping[str, Tensor], dict[str, Tensor], Tensor], Tensor]:
    """Logits (k, b, classes) of k stacked models on their own inputs (k, b, *shape)."""

    def one(params: Mapping[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(base, (dict(params), buffers), (x,))

    # The random numbers of a stack would depend on its other models.
    return vmap(one, randomness="error")
