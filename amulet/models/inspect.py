"""Functions that inspect any `nn.Module` without changing it: modes, logits, hidden features."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from amulet.core.errors import SettingError
from amulet.datasets.records import Records


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in eval mode inside the block; afterwards each has its previous mode again."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient inside the block: none is computed, and none is left behind."""
    needing = [p for p in model.parameters() if p.requires_grad]
    for parameter in needing:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in needing:
            parameter.requires_grad_(True)


def device_of(model: nn.Module) -> torch.device:
    """Where the model's weights are; the CPU if it has none."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


VALUES_AT_ONCE = 2**21
"""About so many input values."""


def batch_size_for(shape: Sequence[int]) -> int:
    """The default number of records of that shape to compute on at once.

    About two million input values: enough for efficient matrix products, with room for an image model's feature maps.

    >>> batch_size_for((42,)), batch_size_for((3, 32, 32)), batch_size_for((3, 224, 224))
    (8192, 682, 64)
    """
    return min(8192, max(64, VALUES_AT_ONCE // prod(shape)))


def predict(model: nn.Module, records: Records | Tensor, batch_size: int | None = None) -> Tensor:
    """Logits (n, classes) in float32, on the CPU, in eval mode, without gradients."""
    device = device_of(model)
    x = records.x if isinstance(records, Records) else records
    batch_size = batch_size or batch_size_for(x.shape[1:])
    parts: list[Tensor] = []
    with torch.inference_mode(), evaluating(model):
        for start in range(0, len(records), batch_size):
            batch = slice(start, start + batch_size)
            x = records.inputs(batch) if isinstance(records, Records) else records[batch]
            parts.append(model(x.to(device)).float().cpu())
    return torch.cat(parts).clone()


def head_of(model: nn.Module, x: Tensor) -> nn.Module:
    """The last layer with weights that an input passes through: it turns features into logits.

    Args:
        x: an input or two, (n, *shape), to send through the model.
    """
    passed: list[nn.Module] = []

    def note(module: nn.Module, *_: Any) -> None:
        passed.append(module)

    leaves = [m for m in model.modules() if not list(m.children()) and list(m.parameters(recurse=False))]
    handles = [leaf.register_forward_hook(note) for leaf in leaves]
    try:
        with torch.inference_mode(), evaluating(model):
            model(x.to(device_of(model)))
    finally:
        for handle in handles:
            handle.remove()
    if not passed:
        raise SettingError(f"`{type(model).__name__}` has no layer with weights to take features from")
    return passed[-1]


def features(model: nn.Module, records: Records, batch_size: int | None = None) -> Tensor:
    """Penultimate features (n, d): the input of the model's last layer with weights, flattened; on the CPU."""
    caught: list[Tensor] = []

    def catch(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(inputs[0].detach().float().flatten(1).cpu())

    handle = head_of(model, records.inputs(slice(0, 1))).register_forward_pre_hook(catch)
    try:
        predict(model, records, batch_size)
    finally:
        handle.remove()
    return torch.cat(caught).clone()
