"""Ascent along a model's gradients within a ball: to the last iterate, or to the best one."""

import copy
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.evasion.attacks.balls import Ball
from amulet.models.arithmetic import lay_out
from amulet.models.chain import Chain

Goal = Callable[[Tensor, Tensor], Tensor]
"""Logits (b, classes) and labels (b,) to what is to be raised, (b,)."""


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The best wrong logit minus the true one, (b,): positive when the model is wrong."""
    true = logits.gather(1, y.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, y.unsqueeze(1), float("-inf"))
    return others.max(dim=1).values - true


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The cross-entropy with the labels, (b,)."""
    return F.cross_entropy(logits, y, reduction="none")


GOALS: dict[str, Goal] = {"cross_entropy": cross_entropy, "margin": margin}


def ascend(
    model: nn.Module,
    ball: Ball,
    y: Tensor,
    goal: Goal,
    *,
    start: Tensor,
    steps: int,
    step_size: float,
    dtype: torch.dtype = torch.float32,
    answers: Tensor | None = None,
) -> Tensor:
    """The last iterate of `steps` steps from `start`: what adversarial training learns on.

    The caller freezes the model, so that only the gradient of the input is computed. The model computes in `dtype`,
    the iterates are float32. Where `goal` is the divergence from some probabilities, `answers` (b, classes) are those.
    """
    chain = Chain.of(model, start, dtype)
    if goal is cross_entropy and chain is not None:
        answers = F.one_hot(y, chain.classes).float()
    point = start
    for _ in range(steps):
        tried = ball.at(point)
        if chain is not None and answers is not None:
            gradient = chain.gradient(tried, answers)
        else:
            tried.requires_grad_()
            with torch.autocast(point.device.type, dtype, enabled=dtype != torch.float32):
                logits = model(tried)
            (gradient,) = torch.autograd.grad(goal(logits.float(), y).sum(), tried)
        point = ball.step(point.detach(), gradient, step_size)
    return ball.at(point.detach())


def search(
    model: nn.Module,
    ball: Ball,
    y: Tensor,
    goal: Goal,
    *,
    start: Tensor,
    steps: int,
    step_size: float,
    dtype: torch.dtype = torch.float32,
    slack: float = 0.0,
    wanted: Tensor | None = None,
) -> Tensor:
    """The best iterate of `steps` steps: one that the model gets wrong, else that of the highest goal.

    A record that the model gets wrong is done; the others go on without it. `model` computes in `dtype`, the
    iterates are float32. `slack` is the margin from which on an answer counts as wrong: what low precision may be off
    by. `wanted` (b,) says for which records to search; for the others the input itself is returned.
    """
    found = ball.x.clone()
    place = torch.arange(len(y), device=y.device)  # of what is still searched, in `found`
    point, best, highest = start, ball.x, torch.full((len(y),), float("-inf"), device=y.device)
    if wanted is not None:
        highest = highest.masked_fill(~wanted, float("inf"))
    patience = 1 if y.device.type == "cpu" else 8  # looking costs a synchronisation there
    for step in range(steps + 1):
        going = unfinished(highest) if step % patience == 0 else None
        if going is not None:
            found[place] = best
            if not len(going):
                return found
            place, y, point, best, highest = (part[going] for part in (place, y, point, best, highest))
            ball = ball.take(going)
        tried = ball.at(point).requires_grad_(step < steps)
        logits = model(tried.to(dtype)).float()
        values = goal(logits, y)
        gradient = None
        if step < steps and values.requires_grad:  # else the model has no gradient: the start is all there is
            (gradient,) = torch.autograd.grad(values.sum(), tried)
        point, tried = point.detach(), tried.detach()
        with torch.no_grad():
            wrong = margin(logits, y) > slack
            score = values.detach().masked_fill(wrong, float("inf"))
            better = (score > highest).view(-1, *[1] * (point.dim() - 1))
            highest = torch.maximum(score, highest)
            best = torch.where(better, tried, best)
            if gradient is not None:
                point = ball.step(point, gradient, step_size)
    found[place] = best
    return found


def unfinished(highest: Tensor) -> Tensor | None:
    """The positions of the records that are not done, if leaving out the others pays; None if it does not yet.

    A batch size of its own for every step would have matrix kernels made again for every step, and leaving out a few
    costs more than to carry them along: an eighth must be done, and what is left is filled up to a multiple of 128.
    """
    done = highest == float("inf")
    count = len(done)
    left = count - int(done.sum())
    kept = min(count, -(-left // 128) * 128)
    if not left:
        return done.nonzero()[:0, 0]
    return done.argsort(stable=True)[:kept] if kept <= count * 7 // 8 else None


class _Filled(nn.Module):
    """A model that is asked for multiples of 128 records: what is missing is filled with zeros.

    In low precision each size of a batch has kernels of its own, about 2 MB for each layer, which stay in memory. What
    withstood an attack has another size each time.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """The logits (b, classes) for inputs (b, *shape)."""
        missing = -len(x) % 128
        filled = torch.cat([x, x.new_zeros(missing, *x.shape[1:])]) if missing and x.device.type == "cpu" else x
        return self.model(filled)[: len(x)]


def lowered(model: nn.Module, dtype: torch.dtype, x: Tensor, y: Tensor) -> tuple[nn.Module, float] | None:
    """A copy of the model that computes in `dtype`, and by how much its margins are off; None if there is no use in it.

    So it is where `dtype` is float32, where the model cannot, and where the margins are off by more than a sixteenth of
    what they are: a large constant that all logits share leaves no digits for their differences.

    Args:
        x: inputs (b, *shape), of which the first hundred or so are tried.
        y: their labels (b,).
    """
    if dtype == torch.float32:
        return None
    x, y = x[:128], y[:128]
    try:
        copied = copy.deepcopy(model).to(dtype)
        lay_out(copied, x[:1].to(dtype), low_precision=True)
        low = _Filled(copied)
        with torch.no_grad():
            seen = margin(low(x.to(dtype)).float(), y)
    except (RuntimeError, TypeError, ValueError):  # layers that have no such arithmetic
        return None
    with torch.no_grad():
        true = margin(model(x).float(), y)
    off = 2 * (seen - true).abs().mean().item()
    return (low, off) if 16 * off <= true.abs().median().item() else None
