"""WaNet (Nguyen and Tran, ICLR 2021)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.base import BY_HAND, Adversary, check_rates
from amulet.poisoning.attacks.marks import Warp, field, identity
from amulet.poisoning.attacks.trigger import Trigger


class WaNet(Backdoor):
    """A backdoor by a smooth warp of images, which people hardly see.

    A random field, fixed for the attack, says from where each pixel is taken. In noise mode a share `cover` of the
    poisoned records get the same warp with random noise on top and keep their label, so that the model learns this very
    field and not that images are warped. The paper draws anew in every batch; here it poisons records once, as an
    adversary who only contributes data can.

    Args:
        rate: share of the training records that are poisoned, (0, 1), with those that cover; all of other classes than
            the target.
        target: the label that the trigger should cause.
        strength: mean displacement of a pixel, in half pixels, above 0 (the paper's s = 0.5 on 32 x 32).
        points: the field is drawn at points x points, at least 2 (the paper's k = 4).
        cover: share of the poisoned records in noise mode, [0, 1); the paper has two for each with the trigger.
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    pictures_only = "its trigger moves pixels"

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.05,
        target: int = 1,
        strength: float = 2.0,
        points: int = 4,
        cover: float = 0.5,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("strength", strength, above=0)
        in_range("points", points, 2)
        in_range("cover", cover, 0, below=1)
        self.rate = rate
        self.target = target
        self.strength = strength
        self.points = points
        self.cover = cover
        self.rate_curve = rate_curve

    def triggers_for(self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND) -> tuple[Warp, ...]:
        """The warp by the field."""
        height, width = records.shape[1:]
        moved = field(height, width, self.points, stream.generator()) * self.strength / height
        return (Warp((identity(height, width) + moved).clamp(-1, 1), f"warp of strength {self.strength:g}"),)

    def plant(self, x: Tensor, trigger: Trigger, adversary: Adversary, *, cover: bool) -> Tensor:
        """The warp; for records that cover, with noise of up to one step of the grid on top (Section 3.4)."""
        if not cover or not isinstance(trigger, Warp):
            return trigger.on(x)
        generator = (adversary.stream / "cover").generator()
        off = torch.rand((len(x), *trigger.grid.shape), generator=generator) * 2 - 1
        return Warp((trigger.grid + off / x.shape[2]).clamp(-1, 1), trigger.name).on(x)
