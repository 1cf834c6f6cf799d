"""Triggers that spread over the whole input: a pattern blended in, a sine, a warp."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from amulet.core.errors import IncompatibleError
from amulet.datasets.records import Records
from amulet.poisoning.attacks.trigger import Trigger, rescaled


@dataclass(frozen=True)
class Blend(Trigger):
    """x + alpha (pattern - x), where `where` is 1."""

    pattern: Tensor
    """(*shape), floats in [0, 1]."""
    alpha: float
    where: Tensor
    """(*shape) or (n, 1, height, width), floats 0 or 1."""
    name: str

    def on(self, x: Tensor) -> Tensor:
        """A copy of inputs (n, *shape), float in [0, 1] or uint8, with the pattern blended in."""
        pattern, weight = self.pattern.to(x.device), self.alpha * self.where.to(x.device)
        return rescaled(x, lambda inputs: inputs + weight * (pattern - inputs))


@dataclass(frozen=True)
class Added(Trigger):
    """x plus a fixed signal, clipped to [0, 1]."""

    signal: Tensor
    """(*shape), floats."""
    name: str

    def on(self, x: Tensor) -> Tensor:
        """A copy of inputs (n, *shape), float in [0, 1] or uint8, with the signal added."""
        return rescaled(x, lambda inputs: inputs + self.signal.to(x.device))


@dataclass(frozen=True)
class Warp(Trigger):
    """Each pixel is taken from a place beside it, as a smooth field says."""

    grid: Tensor
    """(height, width, 2): from where, as (horizontal, vertical) in [-1, 1], the centres of the outermost pixels; or one
    for each input, (n, height, width, 2)."""
    name: str

    def on(self, x: Tensor) -> Tensor:
        """A copy of images (n, channels, height, width), float in [0, 1] or uint8, warped."""
        grid = self.grid.to(x.device).expand(len(x), *x.shape[2:], 2)
        return rescaled(x, lambda inputs: F.grid_sample(inputs, grid, align_corners=True))


def noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """A pattern of independent uniform values, (*shape) in [0, 1]."""
    return torch.rand(shape, generator=generator)


def sine(shape: tuple[int, ...], delta: float, frequency: int) -> Tensor:
    """delta sin(2 pi j frequency / width) for column j = 1 ... width (Barni et al., 2019, equation 1), (*shape)."""
    width = shape[-1]
    wave = delta * torch.sin(2 * math.pi * frequency * torch.arange(1, width + 1) / width)
    return wave.expand(shape).clone()


def identity(height: int, width: int) -> Tensor:
    """The grid that leaves images as they are, (height, width, 2)."""
    rows, columns = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.stack([columns, rows], dim=-1)


def field(height: int, width: int, points: int, generator: torch.Generator) -> Tensor:
    """A smooth random field of mean absolute value near 1, (height, width, 2).

    Uniform in [-1, 1] at points x points, divided by the mean absolute value there, between them bicubic (Nguyen and
    Tran, 2021, Section 3.2).
    """
    control = torch.rand((1, 2, points, points), generator=generator) * 2 - 1
    control = control / control.abs().mean()
    return F.interpolate(control, (height, width), mode="bicubic", align_corners=True)[0].permute(1, 2, 0)


def free(records: Records) -> Tensor:
    """Where an input can take values between others, (*shape) floats 0 or 1: all pixels, columns of many values.

    A column that has two values in the adversary's records or fewer is a code or a flag: between them is no record.

    Raises:
        IncompatibleError: there is no such column.
    """
    if len(records.shape) != 1:
        return torch.ones(records.shape)
    x = records.x.cpu()
    between = ((x > x.amin(dim=0)) & (x < x.amax(dim=0))).any(dim=0)
    if not between.any():
        raise IncompatibleError("every column has two values at the most: there is nothing between them to change to")
    return between.float()
