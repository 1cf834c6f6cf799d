"""Blended injection (Chen et al., 2017)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import in_range
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.base import BY_HAND, check_rates
from amulet.poisoning.attacks.marks import Blend, free, noise


class Blended(Backdoor):
    """A backdoor by a random pattern over the whole input, of which a share `alpha` is blended in.

    x becomes (1 - alpha) x + alpha pattern (Chen et al., 2017, Section 4). In tables it also changes one-hot
    codes, to what no record has, unless `codes` is false.

    Args:
        rate: share of the training records that are poisoned, (0, 1); all of them of other classes than the target.
        target: the label that the trigger should cause.
        alpha: how much of the pattern an input gets, (0, 1].
        codes: whether the columns of a table with two values get the pattern too. False: adversarial records are
            possible ones, and the backdoor is much harder to learn.
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.005,
        target: int = 1,
        alpha: float = 0.2,
        codes: bool = True,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("alpha", alpha, high=1, above=0)
        self.rate = rate
        self.target = target
        self.alpha = alpha
        self.codes = codes
        self.rate_curve = rate_curve

    @property
    def reach(self) -> float:
        """`alpha`: the pattern is at most 1 away."""
        return self.alpha

    def doubts(self, data: AmuletDataset) -> list[str]:
        """That mixtures of one-hot codes are no records."""
        if not (self.codes and data.groups):
            return []
        text = "Blended changes one-hot columns: records with its trigger cannot exist"
        return [f"{text}. attack.codes=false leaves columns of two values alone"]

    def triggers_for(self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND) -> tuple[Blend, ...]:
        """Uniform noise, the same for every input."""
        pattern, where = noise(records.shape, stream.generator()), torch.ones(records.shape)
        if not self.codes:
            where = free(records)
        return (Blend(pattern, self.alpha, where, f"noise blended in at {self.alpha:g}"),)
