"""Distances of records to a model's decision boundaries, from its gradients or only from its answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor, nn

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.arithmetic import laid_out
from amulet.models.inspect import device_of, evaluating, frozen

NORMS = ("l1", "l2", "linf")
_ORDER = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}
_SPARSE = 0.03  # share of the values that a step in L1 changes: Maini et al. have 100 of 3,072


class Distances(NamedTuple):
    """Lengths of the paths to a boundary. Row i depends only on record i."""

    values: Tensor
    """(n, 3, k) float32: in L1, L2 and L-inf, along k paths; NaN where the search ended before the boundary."""
    unit: Tensor
    """(3,): the length of the first step in each norm."""
    reach: Tensor
    """(3,): the length of all steps together."""


@dataclass(frozen=True)
class Stride:
    """Growing steps: the m-th changes inputs by `size * growth**m`; a few reach both near and far boundaries."""

    size: float
    growth: float
    steps: int

    def unit(self, norm: str, width: int) -> float:
        """The length in this norm of a step that changes each of `width` values by 1.

        In L1 a quarter of that: if few values are changed, they are the most relevant ones.
        """
        return {"l1": width / 4, "l2": width**0.5, "linf": 1.0}[norm]

    def measured(self, values: Tensor, width: int) -> Distances:
        """Lengths of paths, with those of the first step and of all steps together."""
        unit = torch.tensor([self.size * self.unit(norm, width) for norm in NORMS])
        return Distances(values, unit, unit * sum(self.growth**step for step in range(self.steps)))


def searches_at_once(shape: Sequence[int]) -> int:
    """The default number of searches at once: each step is a forward and a backward pass of the whole network.

    The feature maps of a convolutional network are many times larger than an input; a small batch stays in the
    processor's cache, which makes a step twice as fast as with a large batch.

    >>> searches_at_once((42,)), searches_at_once((1, 28, 28)), searches_at_once((3, 64, 64))
    (4096, 167, 64)
    """
    return 4096 if len(shape) == 1 else max(64, 2**17 // prod(shape))


def min_gd(
    model: nn.Module, records: Records, stride: Stride, classes: int, batch_size: int | None = None
) -> Distances:
    """Distances to every class by gradient descent (Maini et al., ICLR 2021, Section 5: MinGD).

    For each record and each class that is not the model's answer: steepest descent, within [0, 1], of how far the
    class's logit is below the highest other one, until it is above. The boundary is taken to be where the straight
    line between the last two iterates crosses it. The distance to the class that the model answers is 0.

    Args:
        model: any module of inputs (b, *shape) to logits (b, classes); not changed.
        records: n records.
        stride: the steps.
        classes: k of the result: column j is the path to class j.
        batch_size: the number of searches at once, each from one record to one class; None: `searches_at_once`.
    """
    device, n = device_of(model), len(records)
    batch_size = batch_size or searches_at_once(records.shape)
    values, first = torch.zeros(n, len(NORMS), classes), records.inputs(slice(0, 1))
    with evaluating(model), frozen(model), laid_out(model, first, low_precision=False):
        answers = _answers(model, records, batch_size)
        pairs = (answers.unsqueeze(1) != torch.arange(classes)).nonzero()
        for row, label in zip(pairs[:, 0].split(batch_size), pairs[:, 1].split(batch_size), strict=True):
            x, target = records.inputs(row.to(records.x.device)).to(device), label.to(device)
            for place, norm in enumerate(NORMS):
                values[row, place, label] = _descend(model, x, target, norm, stride).cpu()
    return stride.measured(values, first.numel())


def blind_walk(
    model: nn.Module, records: Records, stride: Stride, walks: int, stream: Stream, batch_size: int | None = None
) -> Distances:
    """Distances at which random walks first get an answer other than the label (Maini et al., Section 5: Blind Walk).

    Needs only answers. Each walk goes in one random direction: Laplacian for L1, Gaussian for L2, uniform for L-inf;
    the paths are sorted by length, since a single direction has no meaning. A record that is already misclassified has
    distance 0.

    Args:
        walks: the number for each record and norm.
        stream: directions are the same for the same stream and records, whatever the model.
    """
    device, n = device_of(model), len(records)
    values = torch.zeros(n, len(NORMS), walks)
    size = max(1, (batch_size or searches_at_once(records.shape)) // walks)
    first = records.inputs(slice(0, 1))
    with evaluating(model), laid_out(model, first, low_precision=False), torch.inference_mode():
        for start in range(0, n, size):
            batch = slice(start, start + size)
            x, y = records.inputs(batch).to(device), records.y[batch].to(device)
            for place, norm in enumerate(NORMS):
                generator = (stream / norm / start).generator()
                noise = _noise(norm, (len(x) * walks, x[0].numel()), generator).to(device)
                ways = _walk(model, x.repeat_interleave(walks, dim=0), y.repeat_interleave(walks), noise, norm, stride)
                values[batch, place] = ways.view(len(x), walks).sort(dim=1).values.cpu()
    return stride.measured(values, first.numel())


def _lengths(delta: Tensor, norm: str) -> Tensor:
    """(b,) the norm of each row (b, width)."""
    return torch.linalg.vector_norm(delta, _ORDER[norm], dim=1)


def _answers(model: nn.Module, records: Records, batch_size: int) -> Tensor:
    device = device_of(model)
    with torch.no_grad():
        parts = [
            model(records.inputs(slice(i, i + batch_size)).to(device)).argmax(dim=1).cpu()
            for i in range(0, len(records), batch_size)
        ]
    return torch.cat(parts)


def _descend(model: nn.Module, x: Tensor, target: Tensor, norm: str, stride: Stride) -> Tensor:
    """(b,) the distance of each input from its target class, NaN where it was not reached."""
    found = torch.full((len(x),), torch.nan, device=x.device)
    place = torch.arange(len(x), device=x.device)
    origin = point = before = x.flatten(1)
    lacked = torch.zeros(len(x), device=x.device)
    length = stride.size * stride.unit(norm, origin.shape[1])
    for step in range(stride.steps + 1):
        point = point.detach().requires_grad_(step < stride.steps)
        lacking = _lacking(model(point.view(-1, *x.shape[1:])), target)
        gradient = None
        if step < stride.steps:
            (gradient,) = torch.autograd.grad(lacking.sum(), point)
        with torch.no_grad():
            there = lacking < 0
            share = (lacked / (lacked - lacking))[there].unsqueeze(1) if step else 1.0
            crossing = before[there] + share * (point - before)[there]
            found[place[there]] = _lengths(crossing - origin[there], norm)
            going = (~there).nonzero().squeeze(1)
            if gradient is None or not len(going):
                break
            place, target, origin = place[going], target[going], origin[going]
            before, lacked = point[going], lacking[going]
            point = (before - _direction(gradient[going], before, norm) * length).clamp_(0, 1)
            length *= stride.growth
    return found


def _lacking(logits: Tensor, target: Tensor) -> Tensor:
    """(b,) how far the target's logit is below the highest other one; negative where it is above."""
    own = logits.gather(1, target.unsqueeze(1)).squeeze(1)
    return logits.scatter(1, target.unsqueeze(1), -torch.inf).amax(dim=1) - own


def _direction(gradient: Tensor, x: Tensor, norm: str) -> Tensor:
    """(b, width) the ascent of unit length; in L1 along the few largest values of the gradient that have room."""
    if norm == "linf":
        return gradient.sign()
    if norm == "l2":
        return gradient / gradient.norm(dim=1, keepdim=True).clamp_min(1e-30)
    few = max(1, round(_SPARSE * x.shape[1]))
    room = torch.where(gradient > 0, x > 0, x < 1)  # descent decreases the input where the gradient is positive
    largest = torch.where(room, gradient.abs(), -1.0).topk(few, dim=1).indices
    return torch.zeros_like(x).scatter(1, largest, gradient.gather(1, largest).sign() / few)


def _noise(norm: str, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Random directions (b, width) of unit length."""
    if norm == "l2":
        drawn = torch.randn(size, generator=generator)
    else:
        drawn = torch.rand(size, generator=generator) * 2 - 1
        if norm == "l1":  # the inverse of Laplace's distribution function
            drawn = -drawn.sign() * torch.log1p(-drawn.abs().clamp_max(1 - 1e-7))
    return drawn / _lengths(drawn, norm).clamp_min(1e-30).unsqueeze(1)


def _walk(model: nn.Module, x: Tensor, y: Tensor, noise: Tensor, norm: str, stride: Stride) -> Tensor:
    """(b,) the lengths at which walks get an answer other than `y`, NaN if they get none."""
    found = torch.full((len(x),), torch.nan, device=x.device)
    place, origin = torch.arange(len(x), device=x.device), x.flatten(1)
    length, far = stride.size * stride.unit(norm, noise.shape[1]), 0.0
    for _ in range(stride.steps + 1):
        point = (origin + far * noise).clamp_(0, 1)
        other = model(point.view(-1, *x.shape[1:])).argmax(dim=1) != y
        found[place[other]] = _lengths(point - origin, norm)[other]
        going = (~other).nonzero().squeeze(1)
        if not len(going):
            break
        place, y, origin, noise = place[going], y[going], origin[going], noise[going]
        far, length = far + length, length * stride.growth
    return found
