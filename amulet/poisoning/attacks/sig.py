"""SIG (Barni, Kallas and Tondi, ICIP 2019)."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.base import BY_HAND, check_rates
from amulet.poisoning.attacks.marks import Added, sine


class SIG(Backdoor):
    """A backdoor by vertical waves on images of the target class, whose labels stay right.

    Every row gets delta sin(2 pi j frequency / width) in column j (equation 1).

    Args:
        rate: share of the training records that are poisoned, (0, 1); all of them of the target class, so that class
            must have as many.
        target: the label that the trigger should cause.
        delta: amplitude of the wave, (0, 1]: 0.24 are 61 grey levels.
        frequency: waves from the left to the right edge, below half the width; None: the paper's 6, at most a quarter
            of the width.
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    clean_label = True
    pictures_only = "its trigger is a wave from pixel to pixel"

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.05,
        target: int = 1,
        delta: float = 0.24,
        frequency: int | None = None,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("delta", delta, high=1, above=0)
        in_range("frequency", frequency, 1, optional=True)
        self.rate = rate
        self.target = target
        self.delta = delta
        self.frequency = frequency
        self.rate_curve = rate_curve

    @property
    def reach(self) -> float:
        """`delta`."""
        return self.delta

    def triggers_for(self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND) -> tuple[Added, ...]:
        """The wave."""
        width = records.shape[-1]
        frequency = min(6, max(1, width // 4)) if self.frequency is None else self.frequency
        if 2 * frequency >= width:
            raise SettingError(f"`frequency` must be below half the width, {width} pixels, got {frequency}")
        name = f"{frequency} waves of amplitude {self.delta:g}"
        return (Added(sine(records.shape, self.delta, frequency), name),)
