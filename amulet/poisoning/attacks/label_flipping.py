"""Label flipping (Biggio, Nelson and Laskov, ACML 2011)."""

from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amulet.core.access import Access
from amulet.core.errors import IncompatibleError, SettingError, in_range
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.base import Adversary, PoisoningAttack, check_rates, is_class
from amulet.poisoning.attacks.promise import ANY_OTHER, Aim, Poisoned, Promise, count_of


class LabelFlipping(PoisoningAttack):
    """Wrong labels on some training records; the inputs stay as they are.

    Untargeted, a record of any class gets any other label, and the attack is after wrong answers to all test records.
    Targeted, records of one class get the label of another, and it is after that answer to test records of that class.

    Args:
        rate: share of all training records that are poisoned, (0, 1); with `source`, all of them of that class.
        source: the class whose records are to get the label `target`; None: untargeted.
        target: the class that they are to be taken for; given if `source` is.
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    needs: ClassVar[Access] = Access.LABELS | Access.TRAINING

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.2,
        source: int | None = None,
        target: int | None = None,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset)
        check_rates(rate, rate_curve)
        if (source is None) != (target is None) or (source is not None and source == target):
            raise SettingError(f"`source` and `target` must be two classes, or both null, got {source} and {target}")
        in_range("source", source, 0, optional=True)
        in_range("target", target, 0, optional=True)
        self.rate = rate
        self.source = source
        self.target = target
        self.rate_curve = rate_curve

    def promise(self, labels: Tensor) -> Promise:
        """`rate` of the records get another label: of all classes, or of `source`."""
        aimed = self._aimed(labels.cpu())
        count = count_of(self.rate, aimed, "can be" if self.source is None else f"are of class {self.source}")
        return Promise(candidates=aimed, count=count, relabelled=count, label=self._label, reach=0.0)

    def aim(self, adversary: Adversary, test: Records) -> Aim:
        """Wrong answers to all records, or `target` for those of `source`."""
        labels = test.y.cpu()
        return Aim(wanted=torch.full_like(labels, self._label), counts=self._aimed(labels))

    def poison(self, records: Records, aim: Aim, adversary: Adversary) -> Poisoned:
        """A copy of `records` with `rate` wrong labels; untargeted, each other class is equally likely."""
        promise = self.promise(records.y)
        possible = promise.candidates.nonzero().squeeze(1)
        order = torch.randperm(len(possible), generator=adversary.stream.generator())
        chosen = possible[order[: promise.count]]
        y = records.y.cpu().clone()
        if self.target is None:
            generator = (adversary.stream / "labels").generator()
            steps = torch.randint(1, adversary.num_classes, (promise.count,), generator=generator)
            y[chosen] = (y[chosen] + steps) % adversary.num_classes
        else:
            y[chosen] = self.target
        return Poisoned(records.replace(y=y.to(records.y.device)), records.ids.cpu()[chosen], torch.zeros_like(chosen))

    def check(self, data: AmuletDataset) -> None:
        """Refuse classes that the data have not, and data of one class."""
        is_class("source", self.source, data)
        is_class("target", self.target, data)
        if data.num_classes < 2:
            raise IncompatibleError("LabelFlipping needs two classes: there is no other label to give")

    @property
    def _label(self) -> int:
        return ANY_OTHER if self.target is None else self.target

    def _aimed(self, labels: Tensor) -> Tensor:
        return torch.ones_like(labels, dtype=torch.bool) if self.source is None else labels == self.source
