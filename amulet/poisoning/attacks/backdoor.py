"""Backdoors: some training records get a trigger, and the model learns to obey it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amulet.core.access import Access
from amulet.core.errors import IncompatibleError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.base import BY_HAND, Adversary, PoisoningAttack, is_class
from amulet.poisoning.attacks.promise import Aim, Poisoned, Promise, count_of
from amulet.poisoning.attacks.trigger import Trigger


class Backdoor(PoisoningAttack):
    """Some training records get a trigger; the model is to give every input with it the target label.

    A subclass writes `triggers_for`, and `plant` where training records get something else than test inputs.
    """

    needs: ClassVar[Access] = Access.LABELS | Access.QUERIES | Access.TRAINING
    target: int
    clean_label: ClassVar[bool] = False
    """Whether it changes records of the target class and leaves all labels alone. Else it changes records of the other
    classes, which get the target label."""
    cover: float = 0.0
    """The share of the changed records that keep their own label: they get the trigger, or something like it."""
    pictures_only: ClassVar[str] = ""
    """Why it makes no sense on a table; empty where it does."""

    @property
    def reach(self) -> float:
        """The most by which it changes a value of a training input, [0, 1]."""
        return 1.0

    @abstractmethod
    def triggers_for(
        self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND
    ) -> tuple[Trigger, ...]:
        """The triggers.

        Args:
            records: what the adversary knows about the data: it chooses triggers with them, and learns their shape.
            names: the columns' names, of a table.
            stream: what it draws a pattern from.

        Raises:
            SettingError: the trigger does not fit the data.
        """

    def plant(self, x: Tensor, trigger: Trigger, adversary: Adversary, *, cover: bool) -> Tensor:
        """What training inputs (k, *shape) become: those that are to teach the trigger, or those that cover it up."""
        return trigger.on(x)

    def promise(self, labels: Tensor) -> Promise:
        """`rate` of the records, of the target class where labels stay, else of the others.

        Raises:
            IncompatibleError: there are too few of these for `rate`, or the number is 0.
        """
        of_target = labels.cpu() == self.target
        candidates = of_target if self.clean_label else ~of_target
        kind = f"are {'' if self.clean_label else 'not '}of the target class {self.target}"
        count = count_of(self.rate, candidates, kind)
        relabelled = 0 if self.clean_label else count - int(covers(count, self.cover).sum())
        return Promise(candidates=candidates, count=count, relabelled=relabelled, label=self.target, reach=self.reach)

    def aim(self, adversary: Adversary, test: Records) -> Aim:
        """The target label for every record of another class."""
        labels = test.y.cpu()
        triggers = self.triggers_for(adversary.records, adversary.names, adversary.stream / "trigger")
        return Aim(wanted=torch.full_like(labels, self.target), counts=labels != self.target, triggers=triggers)

    def poison(self, records: Records, aim: Aim, adversary: Adversary) -> Poisoned:
        """A copy of `records` of which `rate` have a trigger. Several triggers are distributed evenly.

        Raises:
            IncompatibleError: as `promise`.
        """
        promise = self.promise(records.y)
        possible = promise.candidates.nonzero().squeeze(1)
        order = torch.randperm(len(possible), generator=adversary.stream.generator())
        chosen = possible[order[: promise.count]]
        which = torch.arange(promise.count) % len(aim.triggers)
        covering = covers(promise.count, self.cover)
        x, y = records.x.clone(), records.y.clone()
        for number, trigger in enumerate(aim.triggers):
            for cover in (False, True):
                place = chosen[(which == number) & (covering == cover)].to(x.device)
                if len(place):
                    x[place] = self.plant(x[place], trigger, adversary, cover=cover)
        if not self.clean_label:
            y[chosen[~covering].to(y.device)] = self.target
        return Poisoned(records.replace(x=x, y=y), records.ids.cpu()[chosen], which)

    def check(self, data: AmuletDataset) -> None:
        """Refuse a target that is no class, a table where it needs pictures, a trigger that does not fit."""
        is_class("target", self.target, data)
        if self.pictures_only and data.modality != "image":
            kind = type(self).__name__
            raise IncompatibleError(f"{kind} needs pictures: {self.pictures_only}. Take one that poisons tables")
        self.triggers_for(data.train, data.feature_names)

    def triggered(self, dataset: Dataset[Any] | DataLoader[Any]) -> Records:
        """Records of other classes than the target with the first trigger and the target label.

        A model's accuracy on them is the attack success rate.
        """
        records = Records.from_loader(dataset)
        records = records.take(records.y != self.target)
        adversary = self.by_hand(records if self.dataset is None else Records.from_loader(self.dataset))
        trigger = self.aim(adversary, records).triggers[0]
        return records.replace(x=trigger.on(records.x), y=torch.full_like(records.y, self.target))


def covers(count: int, share: float) -> Tensor:
    """Which of `count` changed records keep their label, (count,) bool: spread evenly, whatever the count.

    >>> covers(6, 0.5).tolist()
    [False, True, False, True, False, True]
    """
    ends = (torch.arange(count + 1) * share + 1e-9).floor()
    return ends[1:] > ends[:-1]
