"""Witches' Brew (Geiping et al., ICLR 2021)."""

import hashlib
import json
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from amulet.core.access import Access
from amulet.core.errors import SettingError, in_range
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.poisoning.attacks.base import Adversary, PoisoningAttack, check_rates, is_class
from amulet.poisoning.attacks.crafting import matching
from amulet.poisoning.attacks.marks import free
from amulet.poisoning.attacks.promise import Aim, Poisoned, Promise, count_of
from amulet.poisoning.attacks.trigger import rescaled
from amulet.training.store import Stored


class WitchesBrew(PoisoningAttack):
    """Chosen test records are to get the target label, unchanged as they are; no training label is wrong.

    Training records of the target class are changed a little, so that learning them moves the weights as learning the
    chosen records under the target label would: their gradients are matched on a surrogate that the adversary trains on
    its own records (equation 3). Each chosen record gets an equal share of the poison. In tables only columns of more
    than two values change.

    Args:
        rate: share of the training records that are poisoned, (0, 1); all of them of the target class, so that class
            must have as many.
        target: the label that the chosen records are to get.
        targets: how many records are chosen, at random among test records of other classes. The paper has one at a
            time; of few, the success rate is coarse.
        epsilon: the most by which a value changes, (0, 1]; the paper has 16 of 255.
        steps: of the search, at least 1.
        restarts: how many searches from random starts; the best counts.
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    needs: ClassVar[Access] = Access.LABELS | Access.TRAINING

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        model: nn.Module | None = None,
        test: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.02,
        target: int = 1,
        targets: int = 5,
        epsilon: float = 16 / 255,
        steps: int = 250,
        restarts: int = 1,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset, model, test)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("targets", targets, 1)
        in_range("epsilon", epsilon, high=1, above=0)
        in_range("steps", steps, 1)
        in_range("restarts", restarts, 1)
        self.rate = rate
        self.target = target
        self.targets = targets
        self.epsilon = epsilon
        self.steps = steps
        self.restarts = restarts
        self.rate_curve = rate_curve

    def promise(self, labels: Tensor) -> Promise:
        """`rate` of the records, of the target class; labels stay."""
        candidates = labels.cpu() == self.target
        count = count_of(self.rate, candidates, f"are of the target class {self.target}")
        return Promise(candidates=candidates, count=count, relabelled=0, reach=self.epsilon)

    def aim(self, adversary: Adversary, test: Records) -> Aim:
        """The target label for some records of other classes."""
        labels = test.y.cpu()
        others = (labels != self.target).nonzero().squeeze(1)
        if self.targets > len(others):
            raise SettingError(f"`targets` must be at most the {len(others)} of other classes, got {self.targets}")
        order = torch.randperm(len(others), generator=(adversary.stream / "targets").generator())
        chosen = others[order[: self.targets]].sort().values
        counts = torch.zeros_like(labels, dtype=torch.bool)
        counts[chosen] = True
        return Aim(wanted=torch.full_like(labels, self.target), counts=counts, targets=test.take(chosen))

    def poison(self, records: Records, aim: Aim, adversary: Adversary) -> Poisoned:
        """A copy of `records` with small changes of `rate` of them; made once, then taken from the store."""
        promise = self.promise(records.y)
        possible = promise.candidates.nonzero().squeeze(1)
        order = torch.randperm(len(possible), generator=adversary.stream.generator())
        chosen = possible[order[: promise.count]]
        which = torch.arange(promise.count) % self.targets
        store, key = adversary.kept(), self._key(records, aim, adversary)
        with store.lock(key):
            stored = store.load(key)
            if stored is None:
                stored = Stored({"inputs": self._brewed(records.x[chosen.to(records.x.device)], which, aim, adversary)})
                store.save(key, stored)
        x = records.x.clone()
        x[chosen.to(x.device)] = stored.tensors["inputs"].to(x)
        return Poisoned(records.replace(x=x), records.ids.cpu()[chosen], which)

    def _brewed(self, x: Tensor, which: Tensor, aim: Aim, adversary: Adversary) -> Tensor:
        """Changed inputs (p, *shape), of the type of `x`."""
        if aim.targets is None:
            raise SettingError("`aim` must have targets")
        model, where = adversary.surrogate(), free(adversary.records)
        wanted = torch.tensor([self.target])
        targets = aim.targets.inputs().cpu()
        made = x.cpu().clone()
        for number in which.unique().tolist():
            mine = which == number

            def brew(inputs: Tensor, number: int = number) -> Tensor:
                found: list[tuple[Tensor, float]] = []
                for restart in range(self.restarts):
                    generator = (adversary.stream / "start" / number / restart).generator()
                    found.append(
                        matching(
                            model,
                            inputs,
                            wanted.expand(len(inputs)),
                            targets[number : number + 1],
                            wanted,
                            epsilon=self.epsilon,
                            steps=self.steps,
                            where=where,
                            start=torch.rand(inputs.shape, generator=generator) * 2 - 1,
                        )
                    )
                return min(found, key=lambda one: one[1])[0]

            made[mine] = rescaled(made[mine], brew)
        return made

    def _key(self, records: Records, aim: Aim, adversary: Adversary) -> str:
        parts = [
            self.describe(),
            records.digest,
            adversary.key,
            adversary.records.digest,
            None if aim.targets is None else aim.targets.digest,
            [adversary.stream.root, *adversary.stream.path],
        ]
        return f"poison-{hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()}"

    def check(self, data: AmuletDataset) -> None:
        """Refuse a target that is no class, more targets than there are, a table without columns that can change."""
        is_class("target", self.target, data)
        others = int((data.test.y != self.target).sum())
        if self.targets > others:
            raise SettingError(f"`attack.targets` must be at most the {others} of other classes, got {self.targets}")
        free(data.train)
