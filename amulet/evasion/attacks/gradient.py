"""What every evasion attack is that climbs along the victim's gradients."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from amulet.evasion.attacks.ascent import cross_entropy, lowered, search
from amulet.evasion.attacks.balls import Ball
from amulet.evasion.attacks.base import EvasionAttack
from amulet.models.arithmetic import fast_dtype

SearchDtype = Literal["auto", "float32", "bfloat16"]


class GradientAttack(EvasionAttack):
    """Steps of steepest ascent in a ball around each input, from one or more starts; the best iterate is kept.

    The search may compute in bfloat16. What it finds is judged in float32, and what does not hold there is searched
    for again in float32; so is a sample of what withstood it, and all of that if float32 finds more. A record that is
    wrong as it stands is left alone.

    A subclass overrides what it does otherwise: `goal`, what is raised; `ball`, the inputs to choose from, with their
    steps and projection (`amulet.evasion.attacks.balls`); `start`; `step_size`. The settings below are hyper-parameters
    of a subclass that takes them as keyword-only arguments.
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

    missed: int = 0
    """How many records that withstood a search in low precision did not withstand one in float32, so far."""

    def goal(self, logits: Tensor, y: Tensor) -> Tensor:
        """What is to be raised: logits (b, classes) and labels (b,) to (b,)."""
        return cross_entropy(logits, y)

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
        return {"search_dtype": str(self.dtype(device)).removeprefix("torch.")} | missed

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch; a record that is wrong as it stands is left alone."""
        found = x.clone()
        with torch.no_grad():
            answers = model(x).argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        if self.budget == 0:
            return found
        held = answers == y
        for _ in range(self.restarts):
            ball = self.ball(x, mask)
            best = self._strongest(model, ball, y, self.start(ball, generator), held)
            found[held] = best[held]
            with torch.no_grad():
                held = held & (model(found).argmax(dim=1) == y)
            if not held.any():
                break
        return found

    def _strongest(self, model: nn.Module, ball: Ball, y: Tensor, start: Tensor, wanted: Tensor) -> Tensor:
        dtype, low = self.dtype(y.device), lowered(model, self.dtype(y.device), ball.x, y)
        if low is None:
            return self._search(model, ball, y, start, wanted=wanted)
        fast, off = low
        best = self._search(fast, ball, y, start, dtype=dtype, slack=off, wanted=wanted)
        with torch.no_grad():
            held = wanted & (model(best).argmax(dim=1) == y)
            seemed = fast(best.to(dtype)).argmax(dim=1) != y
        # Low precision saw an error that float32 does not: it is a step or two away.
        self._again(model, ball, y, best.clone(), best, (held & seemed).nonzero().squeeze(1))
        left = (held & ~seemed).nonzero().squeeze(1)
        every = max(1, len(left) // max(64, len(y) // 16))
        sample = torch.zeros_like(left, dtype=torch.bool)
        sample[::every] = True
        missed = self._again(model, ball, y, start, best, left[sample])
        if missed:  # float32 finds what low precision did not: it has the last word on all of them
            missed += self._again(model, ball, y, start, best, left[~sample])
        self.missed += missed
        return best

    def _again(self, model: nn.Module, ball: Ball, y: Tensor, start: Tensor, best: Tensor, index: Tensor) -> int:
        """Search in float32 for some records, into `best`; for how many of them the model is wrong then."""
        if not len(index):
            return 0
        best[index] = self._search(model, ball.take(index), y[index], start[index])
        with torch.no_grad():
            return int((model(best[index]).argmax(dim=1) != y[index]).sum())

    def _search(
        self,
        model: nn.Module,
        ball: Ball,
        y: Tensor,
        start: Tensor,
        *,
        dtype: torch.dtype = torch.float32,
        slack: float = 0.0,
        wanted: Tensor | None = None,
    ) -> Tensor:
        return search(
            model,
            ball,
            y,
            self.goal,
            start=start.clone(),
            steps=self.steps,
            step_size=self.step_size(ball),
            dtype=dtype,
            slack=slack,
            wanted=wanted,
        )
