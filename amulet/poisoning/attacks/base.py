"""The base class of poisoning attacks."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from amulet.core.access import Access
from amulet.core.component import Attack
from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.promise import Aim, Poisoned, Promise
from amulet.training.store import MemoryStore, Store

BY_HAND = Stream(0) / "attack" / "poisoning"
"""The random choices of a direct attack."""


@dataclass(frozen=True, kw_only=True)
class Adversary:
    """What the adversary has, beside the records that it contributes."""

    records: Records
    """Its own records: it chooses triggers with them, and trains a surrogate on them."""
    stream: Stream
    """Where its random choices come from."""
    num_classes: int
    names: Sequence[str] = ()
    """The columns' names, of a table."""
    train: Callable[[Records, Stream], nn.Module] | None = None
    """How it trains a surrogate; None: it has none."""
    key: str = ""
    """A hash of what determines the surrogate."""
    store: Store | None = None
    """Where it keeps what took long to make; None: nowhere."""

    def surrogate(self) -> nn.Module:
        """A model that it trained on its own records without any defence, in eval mode."""
        if self.train is None:
            raise SettingError("`model` must be the adversary's surrogate: a model trained on records of this kind")
        return self.train(self.records, self.stream / "surrogate")

    def kept(self) -> Store:
        """The store, or one for this call alone."""
        return self.store or MemoryStore()


class PoisoningAttack(Attack):
    """Some training records are changed, so that the model that learns on them does what the adversary wants.

    A subclass writes `promise`, `aim` and `poison`. The protocol verifies the promise, and measures how often what the
    aim says comes true. A backdoor derives from `Backdoor`.

    Args:
        dataset: the training records, for `attack()`; the runner gives victims' records to `poison` instead.
        model: the adversary's surrogate, for `attack()`, where the attack needs one.
        test: the records among which its targets are, for `attack()`, where it chooses targets; None: `dataset`.
    """

    risk = "poisoning"
    needs: ClassVar[Access] = Access.LABELS | Access.TRAINING
    rate: float
    """Share of the training records that it changes."""
    rate_curve: list[float] | None = None
    """Other rates at which the success is reported too."""

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        model: nn.Module | None = None,
        test: Dataset[Any] | DataLoader[Any] | None = None,
    ) -> None:
        self.dataset = dataset
        self.model = model
        self.test = test
        self.poisoned: Poisoned | None = None
        """The changes of the last direct attack."""

    @abstractmethod
    def promise(self, labels: Tensor) -> Promise:
        """What it will change of training records with these labels, (n,).

        Raises:
            IncompatibleError: there are too few records that it could change for `rate`, or the number is 0.
        """

    @abstractmethod
    def aim(self, adversary: Adversary, test: Records) -> Aim:
        """What it is after on test records; the same at every rate.

        Raises:
            SettingError: its settings do not fit the data.
        """

    @abstractmethod
    def poison(self, records: Records, aim: Aim, adversary: Adversary) -> Poisoned:
        """A copy of the training records, changed as promised. Records at one rate are among those at a higher one.

        Raises:
            IncompatibleError: as `promise`.
        """

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def doubts(self, data: AmuletDataset) -> list[str]:
        """What is doubtful about its results on this data, each with what to do about it: warnings for every result."""
        return []

    def attack(self) -> Records:
        """Poison a copy of the dataset passed to the constructor; `poisoned` says which records were changed."""
        if self.dataset is None:
            raise SettingError(f"`{type(self).__name__}` must be built with a dataset to run `attack()`")
        records = Records.from_loader(self.dataset)
        adversary = self.by_hand(records)
        test = records if self.test is None else Records.from_loader(self.test)
        self.poisoned = self.poison(records, self.aim(adversary, test), adversary)
        return self.poisoned.records

    def by_hand(self, records: Records) -> Adversary:
        """The adversary of a direct attack, which knows these records."""
        model = self.model
        return Adversary(
            records=records,
            stream=BY_HAND,
            num_classes=int(records.y.max()) + 1,
            train=None if model is None else lambda _records, _stream: model,
        )


def check_rates(rate: float, rate_curve: list[float] | None) -> None:
    """Raise `SettingError` unless all are shares in (0, 1)."""
    in_range("rate", rate, above=0, below=1)
    for one in rate_curve or ():
        in_range("rate_curve", one, above=0, below=1)


def is_class(name: str, value: int | None, data: AmuletDataset) -> None:
    """Raise `SettingError` unless a setting is a class of the data."""
    if value is not None and not 0 <= value < data.num_classes:
        raise SettingError(f"`attack.{name}` must be a class, 0 to {data.num_classes - 1}, got {value}")
