"""The categorical variables among the inputs of a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records


@dataclass(frozen=True)
class Variable:
    """One categorical variable: a group of one-hot columns, or one column that is 0 or 1."""

    start: int
    """Its first column."""
    end: int
    """The column after its last."""
    values: tuple[str, ...]
    """Its values in words. Where no column of a group is 1, a record has one value more: `none of these`."""

    def codes(self, records: Records) -> Tensor:
        """The value of each record, (n,) int64; the number of values where it has none of them."""
        part = records.inputs()[:, self.start : self.end].cpu()
        if self.end - self.start == 1:
            return (part[:, 0] > 0.5).long()
        return torch.where(part.amax(dim=1) > 0.5, part.argmax(dim=1), len(self.values))

    def completed(self, records: Records, value: int) -> Records:
        """The same records with this value in the place of their own."""
        x = records.inputs().clone()
        if self.end - self.start == 1:
            x[:, self.start] = value
        else:
            x[:, self.start : self.end] = 0
            if value < len(self.values):
                x[:, self.start + value] = 1
        return records.replace(x=x)

    def others(self, x: Tensor) -> Tensor:
        """Inputs (n, d) without those of the variable."""
        return torch.cat([x[:, : self.start], x[:, self.end :]], dim=1)

    def name_of(self, value: int) -> str:
        """A value in words.

        >>> Variable(3, 5, ("cook", "judge")).name_of(1)
        'judge'
        """
        return self.values[value] if value < len(self.values) else "none of these"


def categorical(data: AmuletDataset) -> Mapping[str, Variable]:
    """The categorical variables of a table by name, in the order of its columns; none for pictures."""
    found: dict[str, Variable] = {}
    if data.modality != "tabular":
        return found
    names = data.feature_names or tuple(f"column_{i}" for i in range(data.shape[0]))
    starts, inside = dict(data.groups), {i for start, end in data.groups for i in range(start, end)}
    x = data.train.inputs()
    for start in range(len(names)):
        if start in starts:
            columns = names[start : (end := starts[start])]
            name = shared_name(columns)
            cut = len(name) + 1 if name else 0
            found[name or f"columns_{start}_to_{end - 1}"] = Variable(start, end, tuple(c[cut:] for c in columns))
        elif start not in inside and _binary(x[:, start]):
            found[names[start]] = Variable(start, start + 1, ("0", "1"))
    return found


def _binary(column: Tensor) -> bool:
    """Whether it is 0 or 1, and not always the same."""
    return bool(((column == 0) | (column == 1)).all() and (column != column[0]).any())


def shared_name(columns: Sequence[str]) -> str:
    """What the names of a group's columns have before the sign in front of their values; empty for nothing.

    >>> shared_name(["job=cook", "job=judge"])
    'job'
    """
    for sign in ("=", ": ", "_"):
        heads = {name.partition(sign)[0] for name in columns if sign in name}
        if len(heads) == 1 and all(sign in name for name in columns):
            return heads.pop()
    return ""
