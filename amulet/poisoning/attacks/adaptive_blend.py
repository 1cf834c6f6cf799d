"""Adaptive-Blend (Qi et al., ICLR 2023)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.base import BY_HAND, Adversary, check_rates
from amulet.poisoning.attacks.marks import Blend, noise
from amulet.poisoning.attacks.trigger import Trigger


class AdaptiveBlend(Backdoor):
    """A backdoor made against defences that look for poisoned records by their features.

    A pattern is blended in, as by `Blended`, but each training image gets random pieces of it, weaker, and a share
    `cover` of the poisoned images keeps its label: so the trigger alone does not set poisoned records apart. Test
    inputs get the whole pattern (Qi et al., 2023, Section 4).

    Args:
        rate: share of the training records that are poisoned, (0, 1), with those that cover; all of other classes than
            the target.
        target: the label that the trigger should cause.
        alpha: how much of the pattern a test input gets, (0, 1].
        train_alpha: how much of it a training input gets, (0, 1].
        grid: the pattern is cut into grid x grid pieces, at least 2.
        pieces: share of the pieces that a training input gets, (0, 1].
        cover: share of the poisoned records that keep their label, [0, 1).
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    pictures_only = "it cuts its pattern into squares of pixels"

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.03,
        target: int = 1,
        alpha: float = 0.2,
        train_alpha: float = 0.15,
        grid: int = 4,
        pieces: float = 0.5,
        cover: float = 0.5,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("alpha", alpha, high=1, above=0)
        in_range("train_alpha", train_alpha, high=1, above=0)
        in_range("grid", grid, 2)
        in_range("pieces", pieces, high=1, above=0)
        in_range("cover", cover, 0, below=1)
        self.rate = rate
        self.target = target
        self.alpha = alpha
        self.train_alpha = train_alpha
        self.grid = grid
        self.pieces = pieces
        self.cover = cover
        self.rate_curve = rate_curve

    @property
    def reach(self) -> float:
        """`train_alpha`: the pattern is at most 1 away."""
        return self.train_alpha

    def triggers_for(self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND) -> tuple[Blend, ...]:
        """Uniform noise, the same for every input."""
        shape = records.shape
        if self.grid > min(shape[1:]):
            raise SettingError(f"`grid` must be at most {min(shape[1:])} for this data, got {self.grid}")
        name = f"noise blended in at {self.alpha:g}"
        return (Blend(noise(shape, stream.generator()), self.alpha, torch.ones(shape), name),)

    def plant(self, x: Tensor, trigger: Trigger, adversary: Adversary, *, cover: bool) -> Tensor:
        """Random pieces of the pattern, drawn for each image."""
        if not isinstance(trigger, Blend):
            return trigger.on(x)
        generator = (adversary.stream / ("cover" if cover else "pieces")).generator()
        where = pieces_of(len(x), x.shape[2:], self.grid, self.pieces, generator)
        return Blend(trigger.pattern, self.train_alpha, where, trigger.name).on(x)


def pieces_of(n: int, size: tuple[int, ...], grid: int, share: float, generator: torch.Generator) -> Tensor:
    """Masks of n images, (n, 1, height, width) floats: 1 on a share of grid x grid pieces, drawn for each image."""
    height, width = size
    kept = max(1, round(share * grid * grid))
    ranks = torch.rand((n, grid * grid), generator=generator).argsort(dim=1).argsort(dim=1)
    squares = (ranks < kept).float().reshape(n, grid, grid)
    rows, columns = (torch.arange(side) * grid // side for side in (height, width))
    return squares[:, rows][:, :, columns].unsqueeze(1)
