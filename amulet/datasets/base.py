"""`AmuletDataset`: the records for every module of the library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from amulet.datasets.possible import parse
from amulet.datasets.records import Records

Modality = Literal["tabular", "image"]
PLACES = 2**24
"""Record i of a table of predictions has i / PLACES as its input, which float32 holds exactly."""


class Scale(NamedTuple):
    """How a column of numbers became an input in [0, 1]."""

    low: float
    """The number that is 0."""
    high: float
    """The number that is 1."""
    whole: bool = False
    """Whether the column holds whole numbers only."""


@dataclass(frozen=True, kw_only=True)
class AmuletDataset:
    """Train and test records in memory, with what a model needs to know about them.

    You can build one from any tensors: ``AmuletDataset(name="mine", modality="tabular", train=Records.of(x, y), ...)``.
    """

    name: str
    modality: Modality
    train: Records
    test: Records
    num_classes: int
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the loader adds to every result: sizes, proportions, licence, checksum."""
    feature_names: tuple[str, ...] = ()
    """Names of the columns of a tabular data set."""
    groups: tuple[tuple[int, int], ...] = ()
    """Column ranges [start, end) of a tabular data set that are one-hot codes of one variable."""
    scales: Mapping[str, Scale] = field(default_factory=dict[str, Scale])
    """By the name of a column of numbers: its unit. A column without one has any values in [0, 1]."""
    constraints: tuple[str, ...] = ()
    """What holds for every possible record, in the columns' own units: `low <= high`, `age rises`."""
    warnings: tuple[str, ...] = ()
    """What a reader of a result on these data must know."""
    answers: Tensor | None = None
    """(n, classes) float64: what a model answered, by the number of the record. The inputs are then these numbers: no
    model can be trained on them or asked about them."""
    members_known: bool = False
    """Whether the training part is what the model with those answers was trained on, and the test part is not."""

    def __post_init__(self) -> None:
        if self.num_classes < 2:
            raise ValueError(
                f"`num_classes` must be at least 2: of one class there is nothing to learn, got {self.num_classes}"
            )
        for part in ("train", "test"):
            records: Records = getattr(self, part)
            if not len(records):
                raise ValueError(f"`{part}` must hold at least one record")
            low, high = int(records.y.min()), int(records.y.max())
            if low < 0 or high >= self.num_classes:
                raise ValueError(f"labels of `{part}` must be in [0, {self.num_classes}), got {low} to {high}")
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"`sensitive` attributes must differ in their names, got {', '.join(self.attributes)}")
        if self.train.shape != self.test.shape:
            raise ValueError(f"`test` must have inputs of shape {self.train.shape}, got {self.test.shape}")
        for name in self.scales:
            if name not in self.feature_names:
                raise ValueError(f"`scales` must name columns of `feature_names`, got {name}")
        parse(self.constraints, self.feature_names, "constraints")
        if torch.isin(self.train.ids, self.test.ids).any():
            raise ValueError("`train` and `test` share records")

    def __repr__(self) -> str:
        """What it is like, without the records."""
        sizes = f"{len(self.train):,} training and {len(self.test):,} test records"
        sensitive = ", ".join(self.attributes) or "no attributes"
        kind = f"{self.modality} {self.shape}, {self.num_classes} classes"
        return f"AmuletDataset({self.name}: {kind}, {sizes}, {sensitive})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record's input: (features,) or (channels, height, width)."""
        return self.train.shape

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the sensitive attributes."""
        return self.train.attributes
