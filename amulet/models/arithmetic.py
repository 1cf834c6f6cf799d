"""The number format and memory layout of a model's computation: chosen by device and model, never by a timing."""

import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd  # pyright: ignore[reportPrivateUsage]

from amulet.models.inspect import device_of, evaluating

_USES = 500
"""Multiplications with each weight in a step, from which on bfloat16 pays for its conversion."""
_NARROW = 128
"""Input channels up to which oneDNN's float32 convolutions are faster with the channels last."""


def fast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the processor multiplies it faster than float32: with AMX, AMD's AVX512-BF16, CUDA from Ampere on.

    Intel's AVX512-BF16 without AMX multiplies it at half the rate of float32. Instructions that oneDNN is told to leave
    out (`ONEDNN_MAX_CPU_ISA`) do not count.
    """
    if device.type == "cuda":
        fast = torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)
    elif device.type == "cpu":
        most = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "ALL")).upper()
        free = most in ("", "ALL", "DEFAULT")
        fast = (_has("_is_amx_tile_supported") and (free or "AMX" in most)) or (
            _has("_is_avx512_bf16_supported")
            and (free or "AMX" in most or "BF16" in most)
            and cpu_vendor() == "AuthenticAMD"
        )
    else:
        fast = False
    return torch.bfloat16 if fast else torch.float32


def _has(question: str) -> bool:
    """What torch says of the processor; False where this torch does not know."""
    return bool(getattr(torch.cpu, question, lambda: False)())


@cache
def cpu_vendor() -> str:
    """Who made the processor, as it says itself: `GenuineIntel`, `AuthenticAMD`; empty where nobody tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        return platform.processor().rpartition(" ")[2]  # Windows: "AMD64 Family 25 Model 33 Stepping 0, AuthenticAMD"
    return next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("vendor_id")), "")


def precise_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 on MPS, which has no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


def multiplications(model: nn.Module, x: Tensor) -> tuple[int, int]:
    """The multiplications of a forward pass of inputs (b, *shape): in convolutions, in other layers with a `weight`.

    >>> multiplications(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 5)), torch.zeros(1, 1, 4, 4))
    (72, 40)
    """
    counts = [0, 0]

    def count(layer: nn.Module, _: Any, output: Any) -> None:
        weight = layer.weight
        if isinstance(weight, Tensor) and isinstance(output, Tensor):
            positions = output.numel() // weight.shape[0]  # one for a dense layer, height x width for a convolution
            counts[not isinstance(layer, _ConvNd)] += weight.numel() * positions

    layers = [layer for layer in model.modules() if isinstance(getattr(layer, "weight", None), Tensor)]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        _probe(model, x)
    finally:
        for handle in handles:
            handle.remove()
    return counts[0], counts[1]


def step_cost(model: nn.Module, x: Tensor) -> int:
    """Floating-point operations of training on inputs (b, *shape), in layers with a `weight`.

    About one forward pass, and two more for the gradients.
    """
    return 3 * 2 * sum(multiplications(model, x))


def convolutional(model: nn.Module, x: Tensor) -> bool:
    """Is most of the arithmetic in convolutions? Then bfloat16 is worthwhile; for small matrix products it is not."""
    if not any(isinstance(module, _ConvNd) for module in model.modules()):
        return False
    inside, outside = multiplications(model, x)
    return inside > outside


def worth_bfloat16(model: nn.Module, x: Tensor, batch_size: int) -> bool:
    """Is bfloat16 worthwhile on a CPU that multiplies it faster? Only if each weight is used often enough in a batch.

    Autocast converts every weight in every step. For VGG11 on 32 x 32 pixels that costs what the products save at
    batches of 16 (270 uses a weight), and a fifth of it at batches of 64.

    Args:
        model: on its device.
        x: an input or two, (n, *shape), to count its arithmetic.
        batch_size: of a step.
    """
    if not convolutional(model, x):
        return False
    weights = sum(weight.numel() for weight in model.parameters())
    uses = sum(multiplications(model, x)) / len(x) * batch_size / weights
    return uses >= _USES or device_of(model).type != "cpu"


def channels_last(device: torch.device, *, low_precision: bool) -> bool:
    """Are convolutions faster with the channels last in memory?

    On the CPU if oneDNN computes them, in either precision, and especially in bfloat16. On CUDA in bfloat16: tensor
    cores need this layout, float32 kernels do not.
    """
    if device.type == "cpu":
        return torch.backends.mkldnn.is_available()
    return device.type == "cuda" and low_precision


def lay_out(model: nn.Module, x: Tensor, *, low_precision: bool) -> bool:
    """Convert the weights of an image model to channels last if that is faster; returns whether it did.

    Activations follow the weights, so inputs may stay as they are. A model that takes a feature map apart by `view`
    cannot work so, and is left alone; so is one that oneDNN could not train so on every processor, and in float32 one
    of wide convolutions: on an Intel processor VGG11 was 1.3 times slower so, and a narrow network 1.3 times faster.

    Args:
        model: in any mode, on its device.
        x: an input or two, (n, *shape), to try it out with.
        low_precision: will it compute in bfloat16?
    """
    if x.dim() != 4 or not channels_last(device_of(model), low_precision=low_precision):
        return False
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    if not convolutions or any(_writes_past_its_buffer(layer) for layer in convolutions):
        return False
    if not low_precision and _wide(convolutions):
        return False
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    try:
        _probe(model, x)
    except RuntimeError:
        _put_back(model)
        return False
    return True


@contextmanager
def laid_out(model: nn.Module, x: Tensor, *, low_precision: bool) -> Iterator[None]:
    """Like `lay_out` inside the block; afterwards the weights are in torch's order again."""
    changed = lay_out(model, x, low_precision=low_precision)
    try:
        yield
    finally:
        if changed:
            _put_back(model)


def _writes_past_its_buffer(layer: nn.Conv2d) -> bool:
    """Does oneDNN with AVX2 do so for the gradient of these weights, channels last? (Its issue 6035, open in 2026.)

    The process aborts then, or has wrong gradients. Judged by the layer alone: the order of the sums in a model must
    not depend on the processor.
    """
    return layer.kernel_size == (1, 1) and layer.stride != (1, 1) and layer.in_channels // layer.groups < 8


def _wide(convolutions: Sequence[nn.Conv2d]) -> bool:
    """Are most of the weights of the convolutions in layers of more than `_NARROW` input channels?"""
    inside = sum(layer.weight.numel() for layer in convolutions if layer.in_channels // layer.groups > _NARROW)
    return 2 * inside > sum(layer.weight.numel() for layer in convolutions)


def _put_back(model: nn.Module) -> None:
    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]


def _probe(model: nn.Module, x: Tensor) -> None:
    # A model may draw random numbers even in eval mode; this trial must not change the training.
    with torch.no_grad(), evaluating(model), torch.random.fork_rng(devices=[]):
        model(x.to(device_of(model)))
