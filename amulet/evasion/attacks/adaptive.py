"""Ascent whose steps shorten by themselves (APGD: Croce and Hein, ICML 2020, Algorithm 1), and what it raises."""

from collections.abc import Callable
from itertools import accumulate, chain, repeat, takewhile
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.evasion.attacks.ascent import cross_entropy, margin, unfinished
from amulet.evasion.attacks.balls import Ball

_RISES, _MOMENTUM = 0.75, 0.25  # the paper's rho and 1 - alpha


def dlr(logits: Tensor, y: Tensor) -> Tensor:
    """The difference of logits ratio, (b,): the margin in units of the first logit less the third (equation 6)."""
    top = logits.topk(3, dim=1).values
    return margin(logits, y) / (top[:, 0] - top[:, 2] + 1e-12)


def margin_toward(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The target's logit minus the true one, (b,)."""
    chosen = logits.gather(1, torch.stack([target, y], dim=1))
    return chosen[:, 0] - chosen[:, 1]


def dlr_toward(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The same in units of the first logit less the mean of the third and the fourth, (b,) (equation 7)."""
    top = logits.topk(4, dim=1).values
    return margin_toward(logits, y, target) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)


def cross_entropy_toward(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The logarithm of the target's probability, (b,)."""
    return -F.cross_entropy(logits, target, reduction="none")


GOALS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"cross_entropy": cross_entropy, "dlr": dlr, "margin": margin}
TOWARD: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "cross_entropy": cross_entropy_toward,
    "dlr": dlr_toward,
    "margin": margin_toward,
}
"""The same towards a class."""
CLASSES = {"cross_entropy": (2, 2), "dlr": (3, 4), "margin": (2, 2)}
"""How many classes they need at least, without and with a target."""


def checkpoints(steps: int) -> list[int]:
    """After which steps the length of a step is reconsidered (Section 3.2).

    >>> checkpoints(100)
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    lengths = accumulate(chain([22], repeat(-3)), lambda length, less: max(length + less, 6))
    shares = takewhile(lambda share: share <= 100, accumulate(lengths))
    return sorted({ceil(share * steps / 100) for share in shares})


def adapt(
    model: nn.Module,
    ball: Ball,
    aims: tuple[Tensor, ...],
    goal: Callable[..., Tensor],
    *,
    start: Tensor,
    steps: int,
    dtype: torch.dtype = torch.float32,
    slack: float = 0.0,
    wanted: Tensor | None = None,
) -> Tensor:
    """The best iterate of `steps` steps: one that the model gets wrong, else that of the highest goal.

    A step is at first twice the budget long. At each checkpoint it is halved for the records whose goal rose in less
    than three quarters of the steps since the last one, or whose best did not change; they go on from their best.
    A record that the model gets wrong is done; the others go on without it.

    Args:
        model: frozen, in eval mode.
        ball: the inputs to choose from.
        aims: what the goal takes beside the logits: the labels (b,), and a target (b,) where it needs one.
        goal: what is raised.
        start: where to begin, (b, *shape) in the ball.
        steps: gradient steps.
        dtype: what `model` computes in; the iterates are float32.
        slack: the margin from which on an answer counts as wrong.
        wanted: (b,) for which records to search; for the others the input itself is returned. None: all.
    """
    found, count = ball.x.clone(), len(ball.x)
    along = (-1, *[1] * (start.dim() - 1))
    place = torch.arange(count, device=start.device)  # of what is still searched, in `found`
    point, former, best, slope = start, start, ball.x, torch.zeros_like(start)
    highest = torch.full((count,), float("-inf"), device=start.device)
    last, since, rises = highest, highest, torch.zeros_like(highest)
    length, halved = torch.full_like(highest, 2 * ball.epsilon), torch.zeros_like(highest, dtype=torch.bool)
    if wanted is not None:
        highest = highest.masked_fill(~wanted, float("inf"))
    patience = 1 if start.device.type == "cpu" else 8  # looking costs a synchronisation there
    looked, marks = 0, set(checkpoints(steps))
    for step in range(steps + 1):
        going = unfinished(highest) if step % patience == 0 else None
        if going is not None:
            found[place] = best
            if not len(going):
                return found
            state = (place, point, former, best, slope, highest, last, since, rises, length, halved)
            place, point, former, best, slope, highest, last, since, rises, length, halved = (
                part[going] for part in state
            )
            aims, ball = tuple(aim[going] for aim in aims), ball.take(going)
        point.requires_grad_(step < steps)
        logits = model(point.to(dtype)).float()
        values, gradient = goal(logits, *aims), torch.zeros_like(point)
        if step < steps and values.requires_grad:  # else the model has no gradient: the start is all there is
            (gradient,) = torch.autograd.grad(values.sum(), point)
        point = point.detach()
        with torch.no_grad():
            values = values.detach()
            score = values.masked_fill(margin(logits, aims[0]) > slack, float("inf"))
            better = score > highest
            best = torch.where(better.view(along), point, best)
            slope = torch.where(better.view(along), gradient, slope)
            highest = torch.maximum(score, highest)
            rises += (values > last) & (step > 0)
            last = values
            if step == steps:
                break
            if step in marks:
                halve = (rises < _RISES * (step - looked)) | (~halved & (highest == since))
                length = torch.where(halve, length / 2, length)
                point = torch.where(halve.view(along), best, point)
                gradient = torch.where(halve.view(along), slope, gradient)
                looked, halved, since, rises = step, halve, highest, torch.zeros_like(rises)
            moved = ball.project(point + length.view(along) * ball.allowed(gradient.clone()))
            if step:
                moved = ball.project(moved + _MOMENTUM * (point - former - (moved - point)))
            point, former = moved, point
    found[place] = best
    return found
