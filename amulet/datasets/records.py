"""Records: aligned tensors of inputs, labels and sensitive attributes."""

import dataclasses
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset


def _digest_of(*parts: Tensor | str | None) -> str:
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            value = part.detach().cpu().contiguous()
            sha.update(f"{value.dtype}{tuple(value.shape)}".encode())
            sha.update(memoryview(value.reshape(-1).view(torch.uint8).numpy()))  # type: ignore[arg-type]
        else:
            sha.update(repr(part).encode())
        sha.update(b"\x1e")
    return sha.hexdigest()


def _rows(table: Tensor, index: Tensor | slice) -> Tensor:
    # Advanced indexing copies element by element, index_select whole rows: images 4 times as fast.
    if isinstance(index, Tensor) and index.dtype == torch.int64 and index.dim() == 1:
        return table.index_select(0, index)
    return table[index]


@dataclass(frozen=True, eq=False)
class Records(Dataset[tuple[Tensor, Tensor]]):
    """A table of n records in memory. Immutable: every change makes a new table.

    It is also a torch data set of ``(x, y)`` pairs, so ``DataLoader(data.train, 256)`` works.
    """

    x: Tensor
    """Inputs (n, *shape): float32 in [0, 1], or uint8 in 0..255, which `inputs` scales."""
    y: Tensor
    """Labels (n,), int64 in [0, classes)."""
    z: Tensor
    """Sensitive attributes (n, k), int64; k may be 0."""
    ids: Tensor
    """The number of each record in its data set (n,), int64, unique over train and test; negative: a made-up record."""
    attributes: tuple[str, ...] = ()
    """Names of the k columns of `z`."""
    targets: Tensor | None = None
    """The targets of a distilled model, (n, classes) floats: logits of its teacher."""
    origin: str = field(default="", repr=False)
    """Digest that determines the content; computed from the tensors if it is not given."""
    value_names: tuple[tuple[str, ...], ...] = ()
    """For each attribute the meaning of 0, 1 ... in words; empty where nobody said. They determine no content."""

    def __post_init__(self) -> None:
        n = len(self.x)
        for name in ("y", "z", "ids", "targets"):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                raise ValueError(f"`{name}` must have one entry for each of {n} records, got {len(value)}")
        if self.z.dim() != 2 or self.z.shape[1] != len(self.attributes):
            raise ValueError(f"`z` must be (n, {len(self.attributes)}), got {tuple(self.z.shape)}")

    @classmethod
    def of(
        cls, x: Tensor, y: Tensor, z: Tensor | None = None, attributes: tuple[str, ...] = (), **more: Any
    ) -> "Records":
        """Records from plain tensors; they are numbered from 0."""
        z = torch.zeros(len(x), 0, dtype=torch.int64) if z is None else z
        return cls(x, y.long(), z, torch.arange(len(x)), attributes, **more)

    @classmethod
    def from_loader(cls, loader: "DataLoader[Any] | Dataset[Any] | Records") -> "Records":
        """All records behind a DataLoader or a map-style data set of ``(x, y, ...)``, in the data set's order."""
        data: Any = loader.dataset if isinstance(loader, DataLoader) else loader
        if isinstance(data, Records):
            return data
        if isinstance(data, TensorDataset):
            return cls.of(data.tensors[0], data.tensors[1])
        rows = [data[i] for i in range(len(data))]
        return cls.of(torch.stack([torch.as_tensor(r[0]) for r in rows]), torch.tensor([int(r[1]) for r in rows]))

    def __repr__(self) -> str:
        """How many there are, and of what."""
        sensitive = ", ".join(self.attributes) or "no attributes"
        return f"Records({len(self):,} of shape {self.shape}, {self.x.dtype}, {sensitive})"

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.inputs(torch.tensor([index]))[0], self.y[index]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what determines these records: part of the key under which a model is stored."""
        return self.origin or _digest_of(self.x, self.y, self.z, self.ids, self.targets, str(self.attributes))

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record's input."""
        return tuple(self.x.shape[1:])

    def inputs(self, index: Tensor | slice | None = None) -> Tensor:
        """Inputs as float32 in [0, 1], of all records or of those at `index`."""
        x = self.x if index is None else _rows(self.x, index)
        return x.float().div_(255) if x.dtype == torch.uint8 else x

    def attribute(self, name: str) -> Tensor:
        """One sensitive attribute by name, (n,) int64."""
        if name not in self.attributes:
            raise ValueError(f"`{name}` must be one of {', '.join(self.attributes) or 'no attributes'}")
        return self.z[:, self.attributes.index(name)]

    def value_name(self, attribute: str, value: int) -> str:
        """What a value of an attribute is called: `Black`; the number itself where it has no name.

        >>> Records.of(torch.zeros(1, 1), torch.zeros(1)).value_name("race", 1)
        '1'
        """
        names = dict(zip(self.attributes, self.value_names, strict=False)).get(attribute, ())
        return names[value] if 0 <= value < len(names) else str(value)

    def batch(self, index: Tensor | slice) -> "Records":
        """Some records for one step of training: like `take`, without the cost of a digest."""
        targets = None if self.targets is None else _rows(self.targets, index)
        x, y, z, ids = (_rows(value, index) for value in (self.x, self.y, self.z, self.ids))
        return Records(x, y, z, ids, self.attributes, targets)

    def replaced(self, **changes: Tensor | None) -> "Records":
        """Like `replace`, without the cost of a digest: for one step of training."""
        values: dict[str, Any] = dict(changes)
        return dataclasses.replace(self, origin="", **values)

    def take(self, index: Tensor) -> "Records":
        """The records at `index` (int64 positions, or a bool mask), in that order."""
        if index.dtype == torch.bool:
            index = index.nonzero().squeeze(1)
        place = index.to(self.x.device)
        return Records(
            _rows(self.x, place),
            _rows(self.y, place),
            _rows(self.z, place),
            _rows(self.ids, place),
            self.attributes,
            None if self.targets is None else _rows(self.targets, place),
            _digest_of(self.digest, index),
            self.value_names,
        )

    def replace(self, **changes: Tensor | None) -> "Records":
        """A table with some of `x`, `y`, `z`, `ids`, `targets` changed."""
        origin = _digest_of(self.digest, *(item for pair in sorted(changes.items()) for item in pair))
        values: dict[str, Any] = dict(changes)
        return dataclasses.replace(self, origin=origin, **values)

    def concat(self, other: "Records") -> "Records":
        """These records, then those of `other`, which must have the same attributes."""
        if self.attributes != other.attributes:
            raise ValueError(f"`attributes` must be {self.attributes}, got {other.attributes}")
        both = [
            torch.cat([getattr(self, name), getattr(other, name).to(self.x.device)]) for name in ("x", "y", "z", "ids")
        ]
        targets = None
        if self.targets is not None and other.targets is not None:
            targets = torch.cat([self.targets, other.targets.to(self.x.device)])
        return Records(
            both[0],
            both[1],
            both[2],
            both[3],
            self.attributes,
            targets,
            _digest_of(self.digest, other.digest),
            self.value_names,
        )

    def to(self, device: str | torch.device) -> "Records":
        """The same records on another device."""
        if self.x.device == torch.device(device):
            return self
        moved = [value.to(device) for value in (self.x, self.y, self.z, self.ids)]
        targets = None if self.targets is None else self.targets.to(device)
        return dataclasses.replace(
            self, x=moved[0], y=moved[1], z=moved[2], ids=moved[3], targets=targets, origin=self.digest
        )
