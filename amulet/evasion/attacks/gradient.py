"""What every evasion attack is that climbs along the victim's gradients."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from amulet.evasion.attacks.ascent import cross_entropy, lowered, margin, search
from amulet.evasion.attacks.balls import Ball
from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.expectation import Averaged, spread
from amulet.models.arithmetic import fast_dtype

SearchDtype = Literal["auto", "float32", "bfloat16"]


class Searcher(NamedTuple):
    """What computes during a search."""

    model: nn.Module
    dtype: torch.dtype
    """Of its arithmetic; the points are float32."""
    slack: float
    """The margin from which on an answer is wrong for certain: what low precision or chance may be off by."""


class GradientAttack(EvasionAttack):
    """Steps of steepest ascent in a ball around each input, from one or more starts; the best iterate is kept.

    The search may compute in bfloat16. What it finds is judged in float32, and what does not hold there is searched
    for again in float32; so is a sample of what withstood it. If float32 finds more, it goes on from what is nearest to
    another answer until a sixteenth of the batch yields nothing. A record that is wrong as it stands is left alone.

    A model whose answers are random is attacked through the mean of `eot` answers (expectation over transformation,
    Athalye et al., ICML 2018): its gradient is followed, and it decides whether a record fell.

    A subclass overrides what it does otherwise: `goal`, what is raised; `ball`, the inputs to choose from, with their
    steps and projection (`amulet.evasion.attacks.balls`); `start`; `step_size`; `searches`, how many and toward what.
    The settings below are hyper-parameters of a subclass that takes them as keyword-only arguments.
    """

    steps: int = 40
    rel_step_size: float = 0.1
    """The length of a step as a share of epsilon."""
    random_start: bool = True
    """Start at random in the ball instead of at the input."""
    restarts: int = 1
    """How many searches; a record that withstood one is attacked again."""
    search_dtype: SearchDtype = "auto"
    """`auto` takes bfloat16 where the processor is faster with it."""

    eot: int = 1
    """How many answers of a random model are averaged."""

    missed: int = 0
    """How many records that withstood a search in low precision did not withstand one in float32, so far."""

    def goal(self, logits: Tensor, y: Tensor) -> Tensor:
        """What is to be raised: logits (b, classes) and labels (b,) to (b,)."""
        return cross_entropy(logits, y)

    def searches(self, logits: Tensor, y: Tensor) -> Sequence[tuple[Tensor, ...]]:
        """For each search what `goal` takes beside the logits: the labels (b,), and more (b,) where it needs more.

        Args:
            logits: the model's answers to the unchanged inputs, (b, classes).
            y: the labels (b,).
        """
        return [(y,)] * self.restarts

    def asked(self, model: nn.Module) -> nn.Module:
        """The model, or the mean of `eot` answers of it."""
        return Averaged(model, self.eot) if self.eot > 1 and not isinstance(model, Averaged) else model

    def start(self, ball: Ball, generator: torch.Generator) -> Tensor:
        """Where a search begins, (b, *shape)."""
        return ball.draw(generator) if self.random_start else ball.x.clone()

    def step_size(self, ball: Ball) -> float:
        """The length of a step."""
        return ball.epsilon * self.rel_step_size

    def dtype(self, device: torch.device) -> torch.dtype:
        """What the search computes in on that device."""
        return fast_dtype(device) if self.search_dtype == "auto" else getattr(torch, self.search_dtype)

    def manifest(self, device: torch.device) -> dict[str, Any]:
        """What the search computed in, and how many records only fell to a second one in float32."""
        missed = {"found_in_float32_only": self.missed} if self.missed else {}
        dtype = torch.float32 if self.eot > 1 else self.dtype(device)
        averaged = {"eot": self.eot} if self.eot > 1 else {}
        return {"search_dtype": str(dtype).removeprefix("torch.")} | missed | averaged

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch; a record that is wrong as it stands is left alone."""
        found, model = x.clone(), self.asked(model)
        with torch.no_grad():
            logits = model(x).float()
        answers = logits.argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        held = answers == y
        if self.budget == 0 or not held.any():
            return found
        searcher = self._searcher(model, x, y)
        for number, aims in enumerate(self.searches(logits, y)):
            if number:
                with torch.no_grad():
                    held = held & (model(found).argmax(dim=1) == y)
                if not held.any():
                    break
            ball = self.ball(x, mask)
            best = self._strongest(model, searcher, ball, aims, self.start(ball, generator), held)
            found[held] = best[held]
        return found

    def _searcher(self, model: nn.Module, x: Tensor, y: Tensor) -> Searcher:
        """What computes during a search: the model, or a copy in low precision."""
        if self.eot > 1:
            return Searcher(model, torch.float32, spread(model, x, y))
        dtype = self.dtype(y.device)
        low = lowered(model, dtype, x, y)
        return Searcher(model, torch.float32, 0.0) if low is None else Searcher(low[0], dtype, low[1])

    def _strongest(
        self,
        model: nn.Module,
        searcher: Searcher,
        ball: Ball,
        aims: tuple[Tensor, ...],
        start: Tensor,
        wanted: Tensor,
    ) -> Tensor:
        best = self.climb(searcher, ball, aims, start, wanted=wanted)
        if searcher.dtype == torch.float32:
            return best
        y = aims[0]
        with torch.no_grad():
            logits = model(best).float()
            held = wanted & (logits.argmax(dim=1) == y)
            seemed = searcher.model(best.to(searcher.dtype)).argmax(dim=1) != y
        # Low precision saw an error that float32 does not: it is a step or two away.
        self._again(model, ball, aims, best.clone(), best, (held & seemed).nonzero().squeeze(1))
        left = (held & ~seemed).nonzero().squeeze(1)
        part = max(64, len(y) // 16)
        sample = torch.zeros_like(left, dtype=torch.bool)
        sample[:: max(1, len(left) // part)] = True
        found = self._again(model, ball, aims, start, best, left[sample])
        self.missed += found
        if found:  # float32 finds what low precision did not: it goes on, first where an answer is nearest to changing
            rest = left[~sample]
            nearest = rest[margin(logits[rest], y[rest]).argsort(descending=True)]
            for index in nearest.split(part):
                found = self._again(model, ball, aims, start, best, index)
                self.missed += found
                if not found:
                    break
        return best

    def _again(
        self, model: nn.Module, ball: Ball, aims: tuple[Tensor, ...], start: Tensor, best: Tensor, index: Tensor
    ) -> int:
        """Search in float32 for some records, into `best`; for how many of them the model is wrong then."""
        if not len(index):
            return 0
        exact, part = Searcher(model, torch.float32, 0.0), tuple(aim[index] for aim in aims)
        best[index] = self.climb(exact, ball.take(index), part, start[index])
        with torch.no_grad():
            return int((model(best[index]).argmax(dim=1) != part[0]).sum())

    def climb(
        self,
        searcher: Searcher,
        ball: Ball,
        aims: tuple[Tensor, ...],
        start: Tensor,
        *,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """The best inputs of one search from `start`, (b, *shape).

        Args:
            searcher: the model that is asked, in what precision, and from which margin on it is wrong for certain.
            ball: the inputs to choose from.
            aims: the labels (b,), and what else `goal` takes.
            start: where to begin, (b, *shape) in the ball.
            wanted: (b,) for which records to search; None: for all.
        """
        return search(
            searcher.model,
            ball,
            aims[0],
            self.goal,
            start=start.clone(),
            steps=self.steps,
            step_size=self.step_size(ball),
            dtype=searcher.dtype,
            slack=searcher.slack,
            wanted=wanted,
        )
