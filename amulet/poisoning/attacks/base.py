"""The base class of poisoning attacks."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amulet.core.component import Attack
from amulet.core.errors import IncompatibleError, SettingError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.trigger import Trigger


@dataclass(frozen=True)
class Poisoned:
    """Training records after an attack, and which of them it changed."""

    records: Records
    ids: Tensor
    """(p,) ids of the records that were changed."""
    which: Tensor
    """(p,) the trigger of each of them."""


class PoisoningAttack(Attack):
    """A backdoor: some training records get a trigger and the target label. A subclass writes `triggers_for`.

    Args:
        dataset: the training records, for `attack()`; the runner gives victims' records to `poison` instead.
    """

    risk = "poisoning"
    rate: float
    target: int
    rate_curve: list[float] | None = None
    """Other rates at which the success is reported too."""

    def __init__(self, dataset: Dataset[Any] | DataLoader[Any] | None = None) -> None:
        self.dataset = dataset
        self.poisoned: Poisoned | None = None
        """The changes of the last direct attack."""

    @abstractmethod
    def triggers_for(self, records: Records, names: Sequence[str] = ()) -> tuple[Trigger, ...]:
        """The triggers.

        Args:
            records: what the adversary knows about the data: it chooses triggers with them, and learns their shape.
            names: the columns' names, of a table.

        Raises:
            SettingError: the trigger does not fit the data.
        """

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def count(self, labels: Tensor) -> int:
        """The number of records to poison among those with these labels (n,): exactly `rate` of them.

        Raises:
            IncompatibleError: there are too few records of other classes, or the number is 0.
        """
        n, others = len(labels), int((labels != self.target).sum())
        count = round(self.rate * n)
        if not 0 < count <= others:
            raise IncompatibleError(
                f"rate={self.rate:g} of {n} records asks for {count} to poison, but {others} are not of the target "
                f"class {self.target}: at least 1 and at most those can be. Choose another rate or target"
            )
        return count

    def poison(self, records: Records, triggers: Sequence[Trigger], stream: Stream) -> Poisoned:
        """A copy of `records` of which `rate` have a trigger and the target label.

        Records of the target class are left unchanged: without a change of the label the model learns no backdoor.
        Several triggers are distributed evenly. A stream's records at one rate are among those at a higher one.

        Raises:
            IncompatibleError: there are too few records of other classes for `rate`, or the number is 0.
        """
        others = (records.y.cpu() != self.target).nonzero().squeeze(1)
        count = self.count(records.y)
        chosen = others[torch.randperm(len(others), generator=stream.generator())[:count]]
        which = torch.arange(count) % len(triggers)
        x, y = records.x.clone(), records.y.clone()
        for number, trigger in enumerate(triggers):
            place = chosen[which == number].to(x.device)
            x[place] = trigger.on(x[place])
        y[chosen.to(y.device)] = self.target
        return Poisoned(records.replace(x=x, y=y), records.ids.cpu()[chosen], which)

    def attack(self) -> Records:
        """Poison a copy of the dataset passed to the constructor; `poisoned` says which records were changed."""
        if self.dataset is None:
            raise SettingError(f"`{type(self).__name__}` must be built with a dataset to run `attack()`")
        records = Records.from_loader(self.dataset)
        self.poisoned = self.poison(records, self.triggers_for(records), Stream(0) / "attack" / "poisoning")
        return self.poisoned.records

    def triggered(self, dataset: Dataset[Any] | DataLoader[Any]) -> Records:
        """Records of other classes than the target with the first trigger and the target label.

        A model's accuracy on them is the attack success rate.
        """
        records = Records.from_loader(dataset)
        records = records.take(records.y != self.target)
        known = records if self.dataset is None else Records.from_loader(self.dataset)
        trigger = self.triggers_for(known)[0]
        return records.replace(x=trigger.on(records.x), y=torch.full_like(records.y, self.target))
