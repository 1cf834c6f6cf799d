"""What a possible record of a table is, as tensors: is an input one, and which one is near (Simonetto et al., 2022)."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from amulet.datasets.base import AmuletDataset
from amulet.datasets.possible import Change, Relation, parse

_TOLERANCE = 1e-5
"""Of a relation, as a share of what its columns can add up to: float32 and its sums."""


@dataclass(frozen=True)
class Constraints:
    """The possible records of a table of f columns, relative to the record that an adversary starts from.

    One-hot groups stay one-hot, whole numbers whole; columns keep to the ways in which they may change. A relation that
    a record breaks as it stands may not be broken further.
    """

    groups: tuple[tuple[int, int], ...]
    spans: Tensor
    """(f,) how many whole numbers lie between 0 and 1; 0 for a column of any values."""
    rises: Tensor
    """(f,) bool: it may rise."""
    falls: Tensor
    """(f,) bool: it may fall."""
    weights: Tensor
    """(r, f) of the inputs: each row's sum is at most its limit."""
    limits: Tensor
    """(r,)"""
    assigned: tuple[tuple[int, int], ...] = ()
    """(row, column): the equation of that row determines that column of numbers."""

    @classmethod
    def of(cls, data: AmuletDataset, statements: Sequence[str] = ()) -> Self:
        """What the data set states, and further statements (`amulet.datasets.possible`)."""
        names, width = data.feature_names, data.shape[0]
        spans, low, span = torch.zeros(width), torch.zeros(width).double(), torch.ones(width).double()
        for name, scale in data.scales.items():
            place = names.index(name)
            low[place], span[place] = scale.low, scale.high - scale.low
            spans[place] = span[place] if scale.whole else 0
        given, more = (
            parse(text, names, setting)
            for text, setting in ((data.constraints, "constraints"), (statements, "attack.constraints"))
        )
        changes: list[Change] = [*given[0], *more[0]]
        rises, falls = torch.ones(width, dtype=torch.bool), torch.ones(width, dtype=torch.bool)
        for change in changes:
            place = names.index(change.column)
            rises[place] &= change.way == "rises"
            falls[place] &= change.way == "falls"
        rows, limits, assigned = _rows([*given[1], *more[1]], names, low, span)
        one_hot = {column for group in data.groups for column in range(*group)}
        assigned = tuple(pair for pair in assigned if pair[1] not in one_hot)
        return cls(data.groups, spans, rises, falls, rows, limits, assigned)

    def to(self, device: torch.device) -> Self:
        """The same on another device."""
        tensors = ("spans", "rises", "falls", "weights", "limits")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in tensors})

    @property
    def numeric(self) -> Tensor:
        """(f,) bool: columns that are not one-hot."""
        inside = torch.ones_like(self.rises)
        for start, end in self.groups:
            inside[start:end] = False
        return inside

    def fixed(self, mask: Tensor | None) -> Tensor:
        """(f,) bool: what cannot change. A one-hot group of which one column is fixed is fixed as a whole."""
        fixed = ~(self.rises | self.falls)
        if mask is not None:
            fixed = fixed | (mask == 0)
        for start, end in self.groups:
            if fixed[start:end].any():
                fixed[start:end] = True
        return fixed

    def whole(self, x: Tensor) -> Tensor:
        """The nearest whole numbers, where a column holds such."""
        spans = self.spans.clamp_min(1)
        return torch.where(self.spans > 0, (x * spans).round() / spans, x)

    def range(self, origin: Tensor, epsilon: float, mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """The least and the greatest value of each column within the budget, each (b, f); of one-hot ones 0 and 1."""
        low, high = (origin - epsilon).clamp_min(0), (origin + epsilon).clamp_max(1)
        spans = self.spans.clamp_min(1)
        slack = torch.where(self.spans > 0, 1e-3, 0.0)
        low = torch.where(self.spans > 0, (low * spans - slack).ceil() / spans, low)
        high = torch.where(self.spans > 0, (high * spans + slack).floor() / spans, high)
        free, numeric = ~self.fixed(mask), self.numeric
        low = torch.where(numeric, low, 0.0)
        high = torch.where(numeric, high, 1.0)
        low = torch.where(free & (self.falls | ~numeric), low.minimum(origin), origin)
        high = torch.where(free & (self.rises | ~numeric), high.maximum(origin), origin)
        return low, high

    def broken(self, x: Tensor, origin: Tensor) -> Tensor:
        """(b, r) bool: relations that inputs (b, f) break, further than the records that they come from did."""
        limits = torch.maximum(self.limits, origin @ self.weights.T)
        return x @ self.weights.T > limits + _TOLERANCE * self.weights.abs().sum(dim=1)

    def changed_categories(self, x: Tensor, origin: Tensor) -> Tensor:
        """(b,) how many of the one-hot groups have another category."""
        count = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for start, end in self.groups:
            count += (x[:, start:end] != origin[:, start:end]).any(dim=1)
        return count

    def possible(self, x: Tensor, origin: Tensor) -> Tensor:
        """(b,) bool: whether inputs (b, f) are possible records that can come of the records `origin` (b, f)."""
        same = x == origin
        fine = (same | ((x >= 0) & (x <= 1) & (self.whole(x) == x))).all(dim=1)
        fine &= (same | ((x > origin) & self.rises) | ((x < origin) & self.falls)).all(dim=1)
        for start, end in self.groups:
            block = x[:, start:end]
            one_hot = ((block == 0) | (block == 1)).all(dim=1) & (block.sum(dim=1) == 1)
            fine &= one_hot | same[:, start:end].all(dim=1)
        return fine & ~self.broken(x, origin).any(dim=1)

    def settled(self, x: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Inputs (b, f) whose columns that an equation determines have the value that it gives them, if they can."""
        for row, column in self.assigned:
            weights = self.weights[row]
            rest = x @ weights - x[:, column] * weights[column]
            value = (self.limits[row] - rest) / weights[column]
            value = torch.where(self.spans[column] > 0, self.whole(value.unsqueeze(1).expand_as(x))[:, column], value)
            x = x.clone()
            x[:, column] = torch.minimum(torch.maximum(value, low[:, column]), high[:, column])
        return x

    def nearest(self, point: Tensor, origin: Tensor, low: Tensor, high: Tensor, categories: int | None) -> Tensor:
        """Possible records near points: whole, one-hot, without broken relations.

        A group takes the category of the largest value. With a limit on categories the groups change that gain most by
        it. Where a relation is broken, its columns go back to what they were; that may undo more than needed.

        Args:
            point: any inputs (b, f).
            origin: the records that they come from (b, f).
            low: the least values (b, f), possible ones.
            high: the greatest (b, f).
            categories: how many groups may change; None: all.
        """
        x = torch.minimum(torch.maximum(self.whole(point), low), high)
        gains, picks = list[Tensor](), list[Tensor]()
        for start, end in self.groups:
            block, before = point[:, start:end], origin[:, start:end]
            top = block.argmax(dim=1, keepdim=True)
            can = high[:, start:end].gather(1, top).squeeze(1) > 0
            gain = block.gather(1, top).squeeze(1) - (block * before).sum(dim=1)
            gains.append(gain.masked_fill(~can | (before.gather(1, top).squeeze(1) == 1), 0.0))
            picks.append(torch.zeros_like(block).scatter(1, top, 1.0))
        if gains:
            gain = torch.stack(gains, dim=1)
            most = gain.shape[1] if categories is None else min(categories, gain.shape[1])
            last = gain.argsort(dim=1, descending=True, stable=True)[:, most:]
            chosen = (gain > 0).scatter(1, last, False)
            for number, (start, end) in enumerate(self.groups):
                x[:, start:end] = torch.where(chosen[:, number, None], picks[number], origin[:, start:end])
        return self.undone(self.settled(x, low, high), origin)

    def undone(self, x: Tensor, origin: Tensor) -> Tensor:
        """Inputs (b, f) that break no relation: the columns of one that is broken are those of `origin` again."""
        touched = (self.weights != 0).float()
        for start, end in self.groups:
            touched[:, start:end] = touched[:, start:end].amax(dim=1, keepdim=True)
        for _ in range(len(self.limits)):
            broken = self.broken(x, origin)
            if not broken.any():
                return x
            x = torch.where(broken.float() @ touched > 0, origin, x)
        still = self.broken(x, origin).any(dim=1, keepdim=True) if len(self.limits) else None
        return x if still is None else torch.where(still, origin, x)


def _rows(
    relations: Sequence[Relation], names: Sequence[str], low: Tensor, span: Tensor
) -> tuple[Tensor, Tensor, tuple[tuple[int, int], ...]]:
    """Relations in the columns' units as sums of inputs; an equation is two of them."""
    rows, limits, assigned = list[Tensor](), list[Tensor](), list[tuple[int, int]]()
    for relation in relations:
        raw = torch.zeros_like(low)
        for name, weight in relation.weights.items():
            raw[names.index(name)] = weight
        row, limit = raw * span, relation.bound - raw @ low
        scale = row.abs().sum()
        row, limit = row / scale, limit / scale
        if relation.assigned:
            assigned.append((len(rows), names.index(relation.assigned)))
        rows += [row, -row] if relation.equal else [row]
        limits += [limit, -limit] if relation.equal else [limit]
    if not rows:
        return torch.zeros(0, len(low)), torch.zeros(0), ()
    return torch.stack(rows).float(), torch.stack(limits).float(), tuple(assigned)
