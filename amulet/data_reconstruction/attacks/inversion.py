"""Model inversion by gradient descent on the input (Fredrikson et al., CCS 2015: MI-Face)."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.reporting import Stage
from amulet.data_reconstruction.attacks.base import ReconstructionAttack
from amulet.data_reconstruction.attacks.outcome import Reconstruction
from amulet.datasets.base import AmuletDataset
from amulet.models.arithmetic import precise_dtype
from amulet.models.inspect import batch_size_for

Update = Literal["adam", "plain"]
Start = Literal["zero", "gray", "random"]
_TV = 0.3  # the weight of total variation for images: on Fashion-MNIST between too much noise and too little detail
_PERIOD = 100  # steps after which a search with total variation is asked whether it still moves


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, along rows plus along columns, (b,) for images (b, c, h, w).

    >>> total_variation(torch.tensor([[[[0.0, 1.0], [0.0, 1.0]]]]))
    tensor([1.])
    """
    along = (x[..., 1:] - x[..., :-1]).abs().flatten(1).mean(dim=1)
    return along + (x[..., 1:, :] - x[..., :-1, :]).abs().flatten(1).mean(dim=1)


class _Adam:
    """Adam's steps for a batch of inputs (Kingma and Ba, 2015), with a floor that scales with each input's gradients.

    So the length of a step does not depend on how small they are, and a search moves in deep networks too; but values
    whose gradient is a rounding error compared with the others' do not move.
    """

    def __init__(self, like: Tensor) -> None:
        self.first, self.second, self.taken = torch.zeros_like(like), torch.zeros_like(like), 0

    def __call__(self, gradient: Tensor) -> Tensor:
        self.taken += 1
        self.first.lerp_(gradient, 0.1)
        self.second.mul_(0.999).addcmul_(gradient, gradient, value=0.001)
        scale = (1 - 0.999**self.taken) ** 0.5 / (1 - 0.9**self.taken)
        root = self.second.sqrt()
        floor = root.flatten(1).amax(dim=1).mul_(1e-6).clamp_min_(1e-30)
        return self.first / root.add_(floor.view(-1, *[1] * (root.dim() - 1))) * scale


class ModelInversion(ReconstructionAttack):
    """Descend from a neutral input to one that the model is confident about, for each class (paper: P3).

    Fredrikson et al., CCS 2015, Algorithm 1 (MI-Face), as in ML-Doctor: the loss is the cross-entropy with the class
    that is searched for, for images plus their total variation, which favours areas of one brightness over noise;
    every iterate is clipped to [0, 1]; the one with the lowest sum is returned. All classes (and restarts) are one
    batch, and a search that has converged waits for the others.

    Args:
        steps: of gradient descent, at most.
        step_size: with `adam`, about how far each input value moves in a step; with `plain`, the factor of the
            gradient, 0.003 in the paper's ML-Doctor.
        update: `adam` moves at the same pace in every model; `plain`, the paper's, does not move where gradients are
            small.
        start: `zero` is the paper's; `gray` is 0.5 everywhere; `random` is uniform in [0, 1].
        restarts: searches for each class, of which the one with the lowest loss counts; those after the first start
            at random.
        tolerance: a search stops when its loss is at most this and at most a tenth of what it was: 0.001 is a
            confidence of 0.999, Algorithm 1's. With total variation it stops when 100 steps lowered the sum by
            less than this. 0 takes all steps.
        tv: weight of the total variation of an image in the loss. None: 0.3 for images, 0 for everything else.
    """

    def __init__(
        self,
        target_model: nn.Module | None = None,
        input_shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        device: str | torch.device = "cpu",
        *,
        steps: int = 3000,
        step_size: float = 0.01,
        update: Update = "adam",
        start: Start = "zero",
        restarts: int = 1,
        tolerance: float = 0.001,
        tv: float | None = None,
    ) -> None:
        super().__init__(target_model, input_shape, num_classes, device)
        in_range("steps", steps, 1)
        in_range("step_size", step_size, above=0)
        one_of("update", update, ("adam", "plain"))
        one_of("start", start, ("zero", "gray", "random"))
        in_range("restarts", restarts, 1)
        in_range("tolerance", tolerance, 0)
        in_range("tv", tv, 0, optional=True)
        self.steps = steps
        self.step_size = step_size
        self.update: Update = update
        self.start: Start = start
        self.restarts = restarts
        self.tolerance = tolerance
        self.tv = tv

    def check(self, data: AmuletDataset) -> None:
        """A prior for images needs images."""
        if self.tv and len(data.shape) != 3:
            raise SettingError(
                f"`attack.tv` must be 0 for inputs that are no images, got {self.tv:g} with inputs of shape "
                f"{data.shape}"
            )

    def _smoothness(self, shape: Sequence[int]) -> float:
        """The weight of the total variation of inputs of that shape."""
        if self.tv is None:
            return _TV if len(shape) == 3 else 0.0
        return self.tv

    @property
    def length(self) -> int:
        """`steps`."""
        return self.steps

    def begin(self, shape: Sequence[int], num_classes: int, generator: torch.Generator) -> Tensor:
        """The starts of the searches: (restarts * classes, *shape), all classes of a restart together."""
        size = (self.restarts, num_classes, *shape)
        x = torch.rand(size, generator=generator, device=generator.device)
        if self.start != "random":
            x[0] = 0.0 if self.start == "zero" else 0.5
        return x.flatten(0, 1)

    def search(
        self, model: nn.Module, shape: Sequence[int], num_classes: int, *, generator: torch.Generator, stage: Stage
    ) -> Reconstruction:
        """Descend for all classes at once, as far as a batch holds them, and keep the best iterate of each search."""
        start = self.begin(shape, num_classes, generator)
        wanted = torch.arange(num_classes, device=start.device).repeat(self.restarts)
        size = batch_size_for(shape)
        parts = list(zip(start.split(size), wanted.split(size), strict=True))
        found = [
            self._descend(model, point, label, stage if number == len(parts) else Stage(""))
            for number, (point, label) in enumerate(parts, 1)
        ]
        lowest = torch.cat([part.lowest for part in found])
        chosen = lowest.view(self.restarts, num_classes).argmin(dim=0) * num_classes + wanted[:num_classes]
        return Reconstruction(
            x=torch.cat([part.best for part in found])[chosen].float().cpu(),
            start=start[chosen].cpu(),
            first_loss=torch.cat([part.first for part in found])[chosen].cpu().double(),
            loss=torch.cat([part.loss for part in found])[chosen].cpu().double(),
            steps=max(part.steps for part in found),
        )

    def _descend(self, model: nn.Module, start: Tensor, wanted: Tensor, stage: Stage) -> "_Descent":
        """From each of `start` (b, *shape) to its class of `wanted` (b,)."""
        broad = (-1, *[1] * (start.dim() - 1))
        x, best = start, start
        tv = self._smoothness(start.shape[1:])
        adam = _Adam(start) if self.update == "adam" else None
        wide = precise_dtype(start.device)
        lowest = torch.full((len(start),), torch.inf, dtype=wide, device=start.device)
        first = loss_there = lowest
        enough, before = torch.full_like(lowest, -1.0), lowest
        looking = 1 if start.device.type == "cpu" else 25  # checking costs a synchronisation elsewhere
        step = 0
        for step in range(self.steps + 1):
            point = x.detach().requires_grad_(step < self.steps)
            # In float64 a loss does not round to 0, so a confident search still has a gradient.
            loss = F.cross_entropy(model(point).to(wide), wanted, reduction="none")
            goal = loss + tv * total_variation(point) if tv else loss
            gradient = None
            if step < self.steps:
                (gradient,) = torch.autograd.grad(goal.sum(), point)
            with torch.no_grad():
                if step == 0:
                    first = loss.detach()
                    if self.tolerance and not tv:
                        enough = (first / 10).clamp_max(self.tolerance)
                better = goal < lowest
                lowest = torch.where(better, goal, lowest)
                loss_there = torch.where(better, loss, loss_there)
                best = torch.where(better.view(broad), point, best)
                if tv and step % _PERIOD == 0:
                    enough = torch.where(before - lowest < self.tolerance, torch.inf, enough)
                    before = lowest
                going = lowest > enough
                if gradient is None or (step % looking == 0 and not going.any()):
                    break
                move = adam(gradient) if adam else gradient
                x = torch.where(going.view(broad), (point - self.step_size * move).clamp_(0, 1), point)
            stage.advance(1)
        return _Descent(best.detach(), lowest.detach(), first, loss_there.detach(), step)


class _Descent(NamedTuple):
    best: Tensor
    """(b, *shape): the iterate with the lowest goal."""
    lowest: Tensor
    """(b,): that goal."""
    first: Tensor
    """(b,): the loss at the start of the search."""
    loss: Tensor
    """(b,): the loss at `best`."""
    steps: int
