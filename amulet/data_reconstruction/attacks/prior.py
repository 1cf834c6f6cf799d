"""Model inversion among inputs that look like records: a linear generator made of the adversary's own records."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range
from amulet.core.reporting import Stage
from amulet.data_reconstruction.attacks.base import ReconstructionAttack
from amulet.data_reconstruction.attacks.outcome import Reconstruction
from amulet.datasets.records import Records
from amulet.models.arithmetic import precise_dtype

_RECORDS = 2000  # enough for directions of variation, and few enough for their Gram matrix


@dataclass(frozen=True)
class Generator:
    """Principal components: inputs from codes that are standard normal for records of the kind that it was made of."""

    mean: Tensor
    """(d,) the mean record; of one-hot columns the marginals."""
    directions: Tensor
    """(components, d), each as long as the standard deviation along it."""
    shape: tuple[int, ...]
    groups: tuple[tuple[int, int], ...] = ()
    """Column ranges [start, end) that are one-hot codes."""

    @classmethod
    def of(cls, records: Records, components: int, groups: Sequence[tuple[int, int]], stream: torch.Generator) -> Self:
        """Of unlabelled records, drawn at random if there are many."""
        drawn = torch.randperm(len(records), generator=stream)[:_RECORDS]
        x = records.inputs(drawn).flatten(1).double().cpu()
        mean = x.mean(dim=0)
        apart, n = x - mean, len(x)
        if n > x.shape[1]:
            values, vectors = torch.linalg.eigh(apart.T @ apart / n)
            directions = vectors.T * values.clamp_min(0).sqrt().unsqueeze(1)
        else:
            _, vectors = torch.linalg.eigh(apart @ apart.T / n)
            directions = vectors.T @ apart / n**0.5
        directions = directions.flip(0)[:components]
        return cls(mean.float(), directions.float(), records.shape, tuple(groups))

    def decode(self, codes: Tensor) -> Tensor:
        """Inputs (b, *shape) in [0, 1] of codes (b, components); one-hot columns add up to 1."""
        x = (self.mean + codes @ self.directions).clamp(0, 1)
        for start, end in self.groups:
            part = x[:, start:end]
            total = part.sum(dim=1, keepdim=True)
            share = part / total.clamp_min(1e-6)
            x = torch.cat([x[:, :start], torch.where(total > 1e-6, share, self.mean[start:end]), x[:, end:]], dim=1)
        return x.view(-1, *self.shape)

    def to(self, device: torch.device) -> "Generator":
        """On a device."""
        return Generator(self.mean.to(device), self.directions.to(device), self.shape, self.groups)


class PriorInversion(ReconstructionAttack):
    """Search among inputs that look like records for one that the model is confident about, for each class (paper: P3).

    Zhang et al. (The Secret Revealer, CVPR 2020) search in the codes of a generator that was trained on other records,
    for an input that the model gives the class and that is likely. Here the generator is linear, the principal
    components of the adversary's own records without their labels, whose codes are standard normal: minimised is the
    cross-entropy times `confidence` plus half the squared length of the code. One-hot columns of a table stay on their
    simplex, and begin at their marginals. Gradients are averaged over shifted copies of an image, so that what counts
    is not one pixel's place. All classes and restarts are one batch.

    Args:
        steps: of Adam.
        step_size: in standard deviations of records along a component.
        restarts: searches for each class, of which the one with the lowest sum counts; the first begins at the mean of
            the adversary's records, the others at random codes.
        components: of the generator, at most.
        confidence: what the model's answer counts against the prior.
        shifts: shifted copies of an image in each step; 0: the image as it is.
        distance: by how many pixels at most.
    """

    title = "model inversion with a prior"

    def __init__(
        self,
        target_model: nn.Module | None = None,
        input_shape: Sequence[int] | None = None,
        num_classes: int | None = None,
        device: str | torch.device = "cpu",
        records: Records | None = None,
        *,
        steps: int = 150,
        step_size: float = 0.05,
        restarts: int = 4,
        components: int = 64,
        confidence: float = 100.0,
        shifts: int = 2,
        distance: int = 2,
    ) -> None:
        super().__init__(target_model, input_shape, num_classes, device)
        in_range("steps", steps, 1)
        in_range("step_size", step_size, above=0)
        in_range("restarts", restarts, 1)
        in_range("components", components, 1)
        in_range("confidence", confidence, above=0)
        in_range("shifts", shifts, 0)
        in_range("distance", distance, 1)
        self.records = records
        self.groups: tuple[tuple[int, int], ...] = ()
        self.steps = steps
        self.step_size = step_size
        self.restarts = restarts
        self.components = components
        self.confidence = confidence
        self.shifts = shifts
        self.distance = distance

    def knowing(self, records: Records, groups: Sequence[tuple[int, int]]) -> Self:
        """The attack of an adversary who has these records; it does not look at their labels."""
        made = copy.copy(self)
        made.records, made.groups = records, tuple(groups)
        return made

    @property
    def length(self) -> int:
        """`steps`."""
        return self.steps

    def search(
        self, model: nn.Module, shape: Sequence[int], num_classes: int, *, generator: torch.Generator, stage: Stage
    ) -> Reconstruction:
        """Descend in the codes of all classes and restarts at once."""
        if self.records is None:
            raise SettingError("`PriorInversion` must be built with `records` of the adversary's own")
        device = generator.device
        draws = torch.Generator().manual_seed(generator.initial_seed())
        prior = Generator.of(self.records, self.components, self.groups, draws).to(device)
        codes = torch.randn(self.restarts, num_classes, len(prior.directions), generator=generator, device=device) / 2
        codes[0] = 0
        first = codes.flatten(0, 1)
        wanted = torch.arange(num_classes, device=device).repeat(self.restarts)
        found = first.clone().requires_grad_()
        optimizer = torch.optim.Adam([found], lr=self.step_size)
        for _ in range(self.steps):
            x = prior.decode(found)
            views = [shifted(x, self.distance, draws) for _ in range(self.shifts)] if len(shape) == 3 else []
            losses = [self._loss(model, view, wanted) for view in views or [x]]
            goal = self.confidence * torch.stack(losses).mean(dim=0) + found.square().sum(dim=1) / 2
            (found.grad,) = torch.autograd.grad(goal.sum(), found)
            optimizer.step()
            stage.advance(1)
        with torch.no_grad():
            start, x = prior.decode(first), prior.decode(found)
            before, loss = self._loss(model, start, wanted), self._loss(model, x, wanted)
            goal = self.confidence * loss + found.square().sum(dim=1) / 2
        chosen = goal.view(self.restarts, num_classes).argmin(dim=0) * num_classes + wanted[:num_classes]
        return Reconstruction(
            x=x[chosen].float().cpu(),
            start=start[chosen].float().cpu(),
            first_loss=before[chosen].double().cpu(),
            loss=loss[chosen].double().cpu(),
            steps=self.steps,
        )

    @staticmethod
    def _loss(model: nn.Module, x: Tensor, wanted: Tensor) -> Tensor:
        return F.cross_entropy(model(x).to(precise_dtype(x.device)), wanted, reduction="none")


def shifted(x: Tensor, distance: int, draws: torch.Generator) -> Tensor:
    """Images (b, c, h, w), all shifted by the same random number of pixels, at most `distance`; edges are repeated."""
    height, width = x.shape[2:]
    down, right = torch.randint(0, 2 * distance + 1, (2,), generator=draws).tolist()
    return F.pad(x, (distance,) * 4, mode="replicate")[..., down : down + height, right : right + width]
