"""Attacks that hand in possible records only, and where they search."""

from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from amulet.core.errors import IncompatibleError, in_range
from amulet.datasets.base import AmuletDataset
from amulet.evasion.attacks.balls import Ball
from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.constraints import Constraints
from amulet.training.victim import DataSplits, Victim


class PossibleBall(Ball):
    """Possible records: numbers within `epsilon` in L-inf, at most `categories` one-hot groups with another category.

    A search moves through points between them; `at` is the possible record that a point stands for. The columns of a
    one-hot group may have any values from 0 to 1 there, and the largest one is the category.

    Args:
        x: records (b, f).
        epsilon: how far a number may move, in units of the input.
        mask: 1 where an input may change, 0 elsewhere, (f,); None: everywhere.
        limits: what a possible record is, on the device of `x`.
        categories: how many groups may have another category; None: all.
    """

    largest = 1.0

    def __init__(
        self, x: Tensor, epsilon: float, mask: Tensor | None, limits: Constraints, categories: int | None
    ) -> None:
        super().__init__(x, epsilon, mask)
        self.limits, self.categories = limits, categories
        self.low, self.high = limits.range(x, epsilon, mask)

    @staticmethod
    def length(change: Tensor) -> Tensor:
        """The largest change of a value."""
        return change.flatten(1).abs().amax(dim=1)

    @staticmethod
    def whole(epsilon: float) -> float:
        """1: any number may become any other."""
        return 1.0

    def noise(self, generator: torch.Generator) -> Tensor:
        """To any point between the limits; of one-hot groups half of the way, so that they may keep their category."""
        x = self.x
        drawn = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32)
        change = self.low + drawn * (self.high - self.low) - x
        return torch.where(self.limits.numeric, change, change / 2)

    def direction(self, gradient: Tensor) -> Tensor:
        """The signs for numbers; one-hot columns in proportion to the largest, and in units of their whole range."""
        numeric = self.limits.numeric
        codes = gradient.masked_fill(numeric, 0)
        codes = codes / codes.abs().amax(dim=1, keepdim=True).clamp_min(1e-30) / max(self.epsilon, 1e-6)
        return torch.where(numeric, gradient.sign(), codes)

    def project(self, point: Tensor) -> Tensor:
        """Each value clipped by itself."""
        return torch.clamp(point, self.low, self.high)

    def at(self, point: Tensor) -> Tensor:
        """The possible records that points (b, f) stand for."""
        return self.limits.nearest(point, self.x, self.low, self.high, self.categories)

    def take(self, index: Tensor) -> Self:
        """The balls around some of the inputs."""
        return type(self)(self.x[index], self.epsilon, self.mask, self.limits, self.categories)


class ConstrainedAttack(EvasionAttack):
    """An attack on a table that keeps to what a possible record is. What that is, it is told by `on`."""

    norm = "linf"
    keeps_possible: ClassVar[bool] = True
    constraints: list[str] | None = None
    """What holds for every possible record, beside what the data set states."""
    categories: int | None = 1
    """How many one-hot groups may have another category; None: all."""
    limits: Constraints | None = None
    """What `on` was told."""

    def check(self, data: AmuletDataset) -> None:
        """Refuse what is no table, and constraints that cannot be read."""
        if data.modality != "tabular" or len(data.shape) != 1:
            raise IncompatibleError(
                "possible records are those of a table: on pictures use attack=evasion_pgd, or attack=square, which "
                "needs answers alone"
            )
        in_range("categories", self.categories, 0, optional=True)
        Constraints.of(data, self.constraints or ())

    def bound(self, victim: Victim, splits: DataSplits) -> Self:
        """The attack on records of the assessment's data set."""
        return super().bound(victim, splits).on(splits.data)

    def on(self, data: AmuletDataset) -> Self:
        """The attack on records of this data set; by hand that is how it learns of the columns."""
        attack = self.changed()
        attack.model, attack.test_loader, attack.device = self.model, self.test_loader, self.device
        attack.limits = Constraints.of(data, self.constraints or ())
        return attack

    def changed(self, **changes: Any) -> Self:
        """An unbound copy with some hyper-parameters changed, on the same data set."""
        attack = super().changed(**changes)
        attack.limits = self.limits
        return attack

    def changeable(self, data: AmuletDataset) -> Tensor | None:
        """What may change by `immutable` and by the constraints; a one-hot group as a whole."""
        fixed = Constraints.of(data, self.constraints or ()).fixed(super().changeable(data))
        return (~fixed).float() if fixed.any() else None

    def ball(self, x: Tensor, mask: Tensor | None) -> PossibleBall:
        """Possible records within the budget."""
        return PossibleBall(x, self.budget, mask, self._limits(x), self.categories)

    def distance(self, x: Tensor, origin: Tensor) -> Tensor:
        """The largest change of a number; another category has no distance."""
        change = (x - origin).abs().masked_fill(~self._limits(x).numeric, 0)
        return change.amax(dim=1)

    def possible(self, x: Tensor, origin: Tensor) -> Tensor:
        """(b,) whether inputs are possible records with no more other categories than are allowed."""
        limits = self._limits(x)
        fine = limits.possible(x, origin)
        return fine if self.categories is None else fine & (limits.changed_categories(x, origin) <= self.categories)

    def unbounded(self) -> Self | None:
        """None: there may be records that nothing possible turns."""
        return None

    def threat(self) -> dict[str, Any]:
        """With what a possible record is, and how many categories may change."""
        return {**super().threat(), "categories": self.categories, "constraints": self.constraints}

    def conditions(self) -> dict[str, Any]:
        """With how many categories may change, and what distinguishes the records that it makes."""
        count = "any categories" if self.categories is None else f"{self.categories} categories"
        words = ["possible records", "1 category" if self.categories == 1 else count, *(self.constraints or ())]
        return {**super().conditions(), "categories": self.categories, "possible": words}

    def _limits(self, x: Tensor) -> Constraints:
        """By hand and without `on`, a table of numbers of any values."""
        limits = self.limits
        if limits is None:
            free = torch.ones(x.shape[1], dtype=torch.bool)
            limits = Constraints((), torch.zeros(x.shape[1]), free, free, torch.zeros(0, x.shape[1]), torch.zeros(0))
        return limits.to(x.device)
