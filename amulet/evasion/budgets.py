"""Which records withstand an attack, at one budget and at several; the smallest that turns half of them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from amulet.core.reporting import Stage
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.evasion.attacks import EvasionAttack
from amulet.evasion.attacks.balls import BALLS
from amulet.models.inspect import batch_size_for, device_of, evaluating, frozen, predict

_PRECISION = 0.02  # of a median distance, as a share of it


class Attacked:
    """One model and the records that it is attacked on.

    Args:
        model: who is attacked.
        records: on which.
        mask: 1 where inputs may change, (*shape); None: everywhere.
        stream: the attack's random stream.
        clean: (n,) bool: which records are answered correctly without an attack.
        bind: what makes an attack with another budget ready for the model.
    """

    def __init__(
        self,
        model: nn.Module,
        records: Records,
        mask: Tensor | None,
        stream: Stream,
        clean: Tensor,
        bind: Callable[[EvasionAttack], EvasionAttack] = lambda attack: attack,
    ) -> None:
        self.model, self.records, self.mask, self.stream, self.clean = model, records, mask, stream, clean
        self.bind = bind

    def by(
        self, attack: EvasionAttack, chosen: Tensor | None = None, stage: Stage | None = None
    ) -> tuple[Tensor, Tensor]:
        """Attack the records, or those that are `chosen` (n,): which answers are right then, and how far inputs moved.

        Raises:
            RuntimeError: the attack left its budget, changed what it may not, or made what cannot exist.
        """
        records = self.records if chosen is None else self.records.take(chosen)
        asked = attack.asked(self.model)
        correct, distance = torch.empty(len(records), dtype=torch.bool), torch.zeros(len(records))
        for batch, x in attack.batches(self.model, records, self.stream, mask=self.mask, stage=stage):
            origin = records.inputs(batch).to(x.device)
            distance[batch] = attack.distance(x, origin).cpu()
            # Asked so that a NaN is outside too.
            most = attack.budget * (1 + 1e-5) + 1e-6
            if not (x.min() >= 0 and x.max() <= 1 and distance[batch].max() <= most):
                raise RuntimeError(
                    f"{attack!r} left its budget: inputs in [{x.min()}, {x.max()}], largest {attack.norm} change "
                    f"{distance[batch].max()}"
                )
            if self.mask is not None and bool(((x != origin) & (self.mask.to(x.device) == 0)).any()):
                raise RuntimeError(f"{attack!r} changed columns that are immutable")
            if not attack.possible(x, origin).all():
                raise RuntimeError(f"{attack!r} made inputs that are not possible records")
            correct[batch] = predict(asked, x).argmax(dim=1) == records.y[batch]
        if attack.labels is True:  # the input itself is within the budget: a wrong answer stays wrong
            correct &= self.clean if chosen is None else self.clean[chosen]
        return correct, distance

    def distances(self, attack: EvasionAttack) -> Tensor | None:
        """(n,) how far the nearest wrong answers are that an attack finds which looks for these; None: it does not.

        0 where the answer is wrong as it is, infinite where none was found.
        """
        device, size = device_of(self.model), attack.batch_size or batch_size_for(self.records.shape)
        found = torch.empty(len(self.records))
        for start in range(0, len(self.records), size):
            batch = slice(start, start + size)
            x, y = self.records.inputs(batch).to(device), self.records.y[batch].to(device)
            mask = None if self.mask is None else self.mask.to(device)
            generator = (self.stream / start).generator(device)
            with evaluating(self.model), frozen(self.model):
                near = attack.nearest(self.model, x, y, mask=mask, generator=generator)
            if near is None:
                return None
            wrong = predict(self.model, near).argmax(dim=1) != self.records.y[batch]
            found[batch] = attack.distance(near, x).cpu().masked_fill(~wrong, math.inf)
        return found

    def curve(self, attack: EvasionAttack, robust: Tensor, distances: Tensor | None) -> dict[str, Tensor]:
        """By budget of `epsilon_curve`, which records are answered correctly after the attack, (n,) bool.

        What falls at a budget falls at every larger one, so each budget is tried on the records that are not decided.

        Args:
            attack: with its budget.
            robust: (n,) who withstood that.
            distances: what `distances` gave.
        """
        found: dict[float, Tensor] = {}
        budgets = sorted(set(attack.epsilon_curve or ()))
        above = robust
        for epsilon in [one for one in budgets[::-1] if one < attack.budget]:
            above = found[epsilon] = self._at(attack, epsilon, above, above | ~self.clean, distances, keep=True)
        below = robust
        for epsilon in [one for one in budgets if one >= attack.budget]:
            if epsilon > attack.budget:
                below = self._at(attack, epsilon, below, ~below, distances, keep=False)
            found[epsilon] = below
        return {f"{epsilon:g}": found[epsilon] for epsilon in budgets}

    def _at(
        self,
        attack: EvasionAttack,
        epsilon: float,
        known: Tensor,
        decided: Tensor,
        distances: Tensor | None,
        *,
        keep: bool,
    ) -> Tensor:
        """Who withstands a budget, where `known` holds for those who are decided."""
        if distances is not None:
            within = distances <= epsilon
            return (self.clean & ~within) | known if keep else known & ~within
        if attack.labels is not True:  # a wrong answer may be turned into a right one: nothing is decided
            decided = torch.zeros_like(decided)
        open_ = (~decided).nonzero().squeeze(1)
        result = known.clone()
        if len(open_):
            result[open_] = self.by(self.bind(attack.changed(epsilon=epsilon)), open_)[0]
        return result

    def median_distance(self, attack: EvasionAttack, robust: Tensor, distances: Tensor | None) -> float:
        """The smallest budget at which half of the records that are answered correctly fall, to 2 %; NaN: none does.

        For an attack that searches within a budget by bisection, each time on the records that are not decided.

        Args:
            attack: with its budget.
            robust: (n,) who withstood that.
            distances: what `distances` gave.
        """
        right, half = int(self.clean.sum()), (int(self.clean.sum()) + 1) // 2
        if not right:
            return math.nan
        if distances is not None:
            middle = distances[self.clean].sort().values[half - 1].item()
            return middle if math.isfinite(middle) else math.nan
        largest = BALLS[attack.norm].whole(attack.budget)
        low, high, fell = 0.0, attack.budget or 0.03, self.clean & ~robust
        if not attack.budget:
            fell = torch.zeros_like(robust)
        below = torch.zeros_like(fell)  # who falls at `low`
        while int(fell.sum()) < half:
            if high >= largest:
                return math.nan
            low, below, high = high, fell, min(2 * high, largest)
            fell = fell | self._fallen(attack, high, self.clean & ~fell)
        finest = _PRECISION * (attack.budget or 0.03) / 2  # other categories alone may turn half at any budget
        while high - low > max(_PRECISION * high, finest):
            middle = (low + high) / 2
            found = below | self._fallen(attack, middle, fell & ~below)
            if int(found.sum()) >= half:
                high, fell = middle, found
            else:
                low, below = middle, found
        return high

    def _fallen(self, attack: EvasionAttack, epsilon: float, among: Tensor) -> Tensor:
        """(n,) bool: who of some records falls at a budget."""
        fallen, chosen = torch.zeros_like(among), among.nonzero().squeeze(1)
        if len(chosen):
            fallen[chosen] = ~self.by(self.bind(attack.changed(epsilon=epsilon)), chosen)[0]
        return fallen
