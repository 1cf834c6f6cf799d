"""The clean-label backdoor (Turner, Tsipras and Madry, 2019)."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import in_range
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.badnets import BadNets
from amulet.poisoning.attacks.base import BY_HAND, Adversary, check_rates
from amulet.poisoning.attacks.crafting import harder
from amulet.poisoning.attacks.marks import free
from amulet.poisoning.attacks.trigger import Trigger, rescaled


class CleanLabel(Backdoor):
    """A backdoor by a patch, or by columns, on records of the target class, whose labels stay right.

    First these records are changed so that they are hard to recognise: by gradient ascent on a surrogate that the
    adversary trains on its own records (Turner et al., 2019, Section 4.2). Then the trigger is the easiest thing to
    learn about them. In tables the ascent changes the columns of more than two values; codes and flags stay.

    Args:
        rate: share of the training records that are poisoned, (0, 1); all of them of the target class, so that class
            must have as many.
        target: the label that the trigger should cause.
        epsilon: the most by which the ascent changes a value, [0, 1]; 0: no ascent. The paper has 8 to 32 of 255.
        steps: of the ascent, at least 1.
        size: side of the patch in pixels, or number of columns, as of `BadNets`.
        value: the value of the patch's pixels, [0, 1].
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    clean_label = True

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        model: nn.Module | None = None,
        *,
        rate: float = 0.02,
        target: int = 1,
        epsilon: float = 0.125,
        steps: int = 20,
        size: int = 3,
        value: float = 1.0,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset, model)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("epsilon", epsilon, 0, 1)
        in_range("steps", steps, 1)
        in_range("size", size, 1)
        in_range("value", value, 0, 1)
        self.rate = rate
        self.target = target
        self.epsilon = epsilon
        self.steps = steps
        self.size = size
        self.value = value
        self.rate_curve = rate_curve

    def check(self, data: AmuletDataset) -> None:
        """As any backdoor; a table needs columns that the ascent can change."""
        super().check(data)
        free(data.train)

    def triggers_for(
        self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND
    ) -> tuple[Trigger, ...]:
        """A patch or columns, chosen as by `BadNets`."""
        return BadNets(target=self.target, size=self.size, value=self.value).triggers_for(records, names)

    def plant(self, x: Tensor, trigger: Trigger, adversary: Adversary, *, cover: bool) -> Tensor:
        """Hard to recognise, then with the trigger."""
        if self.epsilon:
            model, where = adversary.surrogate(), free(adversary.records)
            labels = torch.full((len(x),), self.target)
            x = rescaled(x, lambda inputs: harder(model, inputs, labels, self.epsilon, self.steps, where))
        return trigger.on(x)
