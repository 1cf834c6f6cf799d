"""`AmuletDataset`: the records for every module of the library."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from amulet.datasets.records import Records

Modality = Literal["tabular", "image"]


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
    warnings: tuple[str, ...] = ()
    """What a reader of a result on these data must know."""

    def __post_init__(self) -> None:
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
