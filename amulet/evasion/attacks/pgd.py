"""Projected gradient descent (Madry et al., ICLR 2018)."""

import copy
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.base import EvasionAttack
from amulet.models.arithmetic import fast_dtype, lay_out
from amulet.models.chain import Chain

Norm = Literal["linf", "l2"]
Goal = Callable[[Tensor, Tensor], Tensor]
"""From logits (b, classes) and labels (b,) to the objective to maximise, (b,)."""


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The best wrong logit minus the true one, (b,): positive when the model is wrong."""
    true = logits.gather(1, y.unsqueeze(1)).squeeze(1)
    others = logits.scatter(1, y.unsqueeze(1), float("-inf"))
    return others.max(dim=1).values - true


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="none")


GOALS: dict[str, Goal] = {"cross_entropy": _cross_entropy, "margin": margin}


def _lengths(delta: Tensor) -> Tensor:
    return delta.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, *[1] * (delta.dim() - 1))


class Ball:
    """All inputs within `epsilon` of `x` that are in [0, 1]."""

    def __init__(self, x: Tensor, epsilon: float, norm: Norm, mask: Tensor | None = None) -> None:
        self.x, self.epsilon, self.mask = x, epsilon, mask
        self.norm: Norm = norm
        if norm == "linf":
            self.low, self.high = (x - epsilon).clamp_(0, 1), (x + epsilon).clamp_(0, 1)

    def take(self, index: Tensor) -> "Ball":
        """The balls around some of the inputs."""
        return Ball(self.x[index], self.epsilon, self.norm, self.mask)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Random points: uniform in the cube, or uniform in the L2 ball."""
        x = self.x
        if self.norm == "linf":
            delta = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32)
            delta = (2 * delta - 1) * self.epsilon
        else:
            delta = torch.randn(x.shape, generator=generator, device=x.device, dtype=torch.float32)
            radius = torch.rand(len(x), generator=generator, device=x.device) ** (1 / x[0].numel())
            delta = delta / _lengths(delta) * self.epsilon * radius.view(-1, *[1] * (x.dim() - 1))
        if self.mask is not None:
            delta = delta * self.mask
        return (x + delta).clamp_(0, 1)

    def step(self, point: Tensor, gradient: Tensor, size: float) -> Tensor:
        """One step of steepest ascent and the projection back."""
        direction = gradient.sign_() if self.norm == "linf" else gradient / _lengths(gradient)
        if self.mask is not None:
            direction = direction * self.mask
        moved = torch.add(point, direction, alpha=size)
        if self.norm == "linf":
            return torch.clamp(moved, self.low, self.high, out=moved)
        delta = moved - self.x
        delta = delta * (self.epsilon / _lengths(delta)).clamp_max(1)
        return (self.x + delta).clamp_(0, 1)


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
    """The last iterate of `steps` steps from `start`: the training example of adversarial training.

    The caller freezes the model, so that only the gradient of the input is computed. The model computes in `dtype`,
    the iterates are float32. If `goal` is the divergence from some probabilities, `answers` (b, classes) are these.
    """
    chain = Chain.of(model, start, dtype)
    if goal is _cross_entropy and chain is not None:
        answers = F.one_hot(y, chain.classes).float()
    point = start
    for _ in range(steps):
        if chain is not None and answers is not None:
            gradient = chain.gradient(point, answers)
        else:
            point.requires_grad_()
            with torch.autocast(point.device.type, dtype, enabled=dtype != torch.float32):
                logits = model(point)
            (gradient,) = torch.autograd.grad(goal(logits.float(), y).sum(), point)
        point = ball.step(point.detach(), gradient, step_size)
    return point.detach()


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
    wanted: Tensor | None = None,
) -> Tensor:
    """The best iterate of `steps` steps: one that the model misclassifies, else that with the highest goal.

    A record that the model misclassifies is done; the others continue without it. `model` computes in `dtype`, the
    iterates are float32. `wanted` (b,) says for which records to search; for the others the input itself is returned.
    """
    found = ball.x.clone()
    slack = 0.0 if dtype == torch.float32 else 2.0**-6  # of the largest logit: in low precision an error must be clear
    place = torch.arange(len(y), device=y.device)  # positions in `found` of the records that are still searched for
    point, best, highest = start, ball.x, torch.full((len(y),), float("-inf"), device=y.device)
    if wanted is not None:
        highest = highest.masked_fill(~wanted, float("inf"))
    patience = 1 if y.device.type == "cpu" else 8  # checking costs a synchronisation there
    for step in range(steps + 1):
        going = _still(highest) if step % patience == 0 else None
        if going is not None:
            found[place] = best
            if not len(going):
                return found
            place, y, point, best, highest = (part[going] for part in (place, y, point, best, highest))
            ball = ball.take(going)
        point.requires_grad_(step < steps)
        logits = model(point.to(dtype)).float()
        values = goal(logits, y)
        gradient = None
        if step < steps:
            (gradient,) = torch.autograd.grad(values.sum(), point)
        point = point.detach()
        with torch.no_grad():
            wrong = margin(logits, y) > slack * logits.abs().amax(dim=1)
            score = values.detach().masked_fill(wrong, float("inf"))
            better = (score > highest).view(-1, *[1] * (point.dim() - 1))
            highest = torch.maximum(score, highest)
            best = torch.where(better, point, best)
            if gradient is not None:
                point = ball.step(point, gradient, step_size)
    found[place] = best
    return found


def _still(highest: Tensor) -> Tensor | None:
    """The positions of the records that are not done, if leaving out the others is worthwhile; None if it is not yet.

    A different batch size in every step would need new matrix kernels in every step, and leaving out a few records
    costs more than keeping them: an eighth must be done, and the rest is filled up to a multiple of 128.
    """
    done = highest == float("inf")
    count = len(done)
    left = count - int(done.sum())
    kept = min(count, -(-left // 128) * 128)
    if not left:
        return done.nonzero()[:0, 0]
    return done.argsort(stable=True)[:kept] if kept <= count * 7 // 8 else None


class EvasionPGD(EvasionAttack):
    """Projected gradient descent within a ball around each input (Madry et al., ICLR 2018; paper: S1).

    Untargeted, best iterate kept, always clipped to [0, 1]. The search may compute in bfloat16; what it finds is
    checked in float32, and what does not hold there is searched for again in float32.

    Args:
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        steps: gradient steps.
        rel_step_size: the length of a step as a share of epsilon; the paper's is 0.25.
        norm: `linf` or `l2`.
        random_start: start at random in the ball instead of at the input.
        restarts: the number of searches; a record that withstood one is attacked again.
        labels: true: the true ones; `predicted`: the model's own answers, as CleverHans does when it gets no labels.
            Wrong answers are then turned into right ones, and robust accuracy on two classes cannot fall below
            1 - accuracy.
        loss: `cross_entropy`, or `margin` for models with tiny gradients such as those of DP-SGD.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        search_dtype: `auto` takes bfloat16 where the processor is faster with it; or `float32`, `bfloat16`.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        steps: int = 40,
        rel_step_size: float = 0.1,
        norm: Norm = "linf",
        random_start: bool = True,
        restarts: int = 1,
        labels: Literal[True, "predicted"] = True,
        loss: Literal["cross_entropy", "margin"] = "cross_entropy",
        immutable: list[str] | None = None,
        search_dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    ) -> None:
        super().__init__(model, test_loader, device)
        in_range("batch_size", batch_size, 1, optional=True)
        in_range("epsilon", epsilon, 0, 1 if norm == "linf" else None, optional=True)
        in_range("steps", steps, 1)
        in_range("rel_step_size", rel_step_size, above=0)
        one_of("norm", norm, ("linf", "l2"))
        in_range("restarts", restarts, 1)
        one_of("labels", labels, (True, "predicted"))
        one_of("loss", loss, GOALS)
        one_of("search_dtype", search_dtype, ("auto", "float32", "bfloat16"))
        self.batch_size = batch_size
        self.epsilon = epsilon
        self.steps = steps
        self.rel_step_size = rel_step_size
        self.norm: Norm = norm
        self.random_start = random_start
        self.restarts = restarts
        self.labels = labels
        self.loss = loss
        self.immutable = immutable
        self.search_dtype = search_dtype

    @property
    def budget(self) -> float:
        """`epsilon`, or 0.03 (8/255) where none was given."""
        return 0.03 if self.epsilon is None else self.epsilon

    def dtype(self, device: torch.device) -> torch.dtype:
        """The number format of the search on that device."""
        return fast_dtype(device) if self.search_dtype == "auto" else getattr(torch, self.search_dtype)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch; a record that is already misclassified is left unchanged."""
        epsilon = self.budget
        found = x.clone()
        with torch.no_grad():
            answers = model(x).argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        if epsilon == 0:
            return found
        held = answers == y
        for _ in range(self.restarts):
            ball = Ball(x, epsilon, self.norm, mask)
            start = ball.draw(generator) if self.random_start else x.clone()
            best = self._strongest(model, ball, y, start, held)
            found[held] = best[held]
            with torch.no_grad():
                held = held & (model(found).argmax(dim=1) == y)
            if not held.any():
                break
        return found

    def _strongest(self, model: nn.Module, ball: Ball, y: Tensor, start: Tensor, wanted: Tensor) -> Tensor:
        goal, dtype = GOALS[self.loss], self.dtype(y.device)
        length = ball.epsilon * self.rel_step_size
        low = _lowered(model, dtype, ball.x)
        if low is None:
            return search(model, ball, y, goal, start=start, steps=self.steps, step_size=length, wanted=wanted)
        best = search(low, ball, y, goal, start=start, steps=self.steps, step_size=length, dtype=dtype, wanted=wanted)
        with torch.no_grad():
            seemed = low(best.to(dtype)).argmax(dim=1) != y
            again = (wanted & seemed & (model(best).argmax(dim=1) == y)).nonzero().squeeze(1)
        if len(again):  # an error in low precision but not in float32: a step or two more are needed
            near = best[again].clone()
            best[again] = search(
                model, ball.take(again), y[again], goal, start=near, steps=self.steps, step_size=length
            )
        return best


def _lowered(model: nn.Module, dtype: torch.dtype, x: Tensor) -> nn.Module | None:
    """A copy of the model that computes in `dtype`; None if that is float32 or the model cannot."""
    if dtype == torch.float32:
        return None
    try:
        low = copy.deepcopy(model).to(dtype)
        lay_out(low, x[:1].to(dtype), low_precision=True)
        with torch.no_grad():
            low(x[:1].to(dtype))
    except (RuntimeError, TypeError, ValueError):  # layers without such arithmetic
        return None
    return low
