"""What a victim is given of a record: the encoded columns in its own order, or a frame of the raw columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from amulet.core.errors import IncompatibleError, SettingError
from amulet.datasets.base import AmuletDataset
from amulet.datasets.variables import shared_name

if TYPE_CHECKING:
    import pandas as pd


class View(Protocol):
    """From encoded inputs to what the victim takes."""

    def __call__(self, x: np.ndarray) -> Any:
        """Inputs (n, columns), float32 in [0, 1], as the victim takes them."""
        ...


@dataclass(frozen=True)
class Columns:
    """The encoded columns, in the victim's order."""

    order: tuple[int, ...] = ()
    """The position of each of the victim's columns among ours; empty: the same order."""

    @classmethod
    def named(cls, wanted: tuple[str, ...], names: tuple[str, ...]) -> Columns:
        """In the order of the names that a victim was trained with.

        Raises:
            SettingError: a name of the victim's is no column of the data.

        >>> Columns.named(("b", "a"), ("a", "b"))
        Columns(order=(1, 0))
        """
        unknown = [name for name in wanted if name not in names]
        if unknown:
            raise SettingError(
                f"`model` was trained on columns that the data do not have: {', '.join(unknown[:3])}; give the data in "
                "the encoding that it was trained on, or `view`"
            )
        return cls(tuple(names.index(name) for name in wanted))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The columns (n, columns) in that order."""
        flat = x.reshape(len(x), -1)
        return flat[:, list(self.order)] if self.order else flat


class Frame:
    """The raw columns of a table: numbers in their own units, one column of names for each one-hot group.

    A number of a column that holds whole numbers is rounded, so a record that was attacked stays one that can exist,
    and an unchanged column comes back as it was.

    Args:
        data: a table with the names of its columns; a column of a group is called `variable=value` or
            `variable_value`.
    """

    def __init__(self, data: AmuletDataset) -> None:
        if data.modality != "tabular" or not data.feature_names:
            raise IncompatibleError(f"{data.name} has no raw columns: it is no table with names")
        self.names = data.feature_names
        self.groups = data.groups
        self.scales = dict(data.scales)
        grouped = {i for start, end in data.groups for i in range(start, end)}
        self._plan: list[tuple[str, tuple[int, int]]] = []
        starts = dict(data.groups)
        for i, name in enumerate(self.names):
            if i in starts:
                self._plan.append((_variable(self.names[i : starts[i]]), (i, starts[i])))
            elif i not in grouped:
                self._plan.append((name, (i, i + 1)))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the raw columns."""
        return tuple(name for name, _ in self._plan)

    def __call__(self, x: np.ndarray) -> pd.DataFrame:
        """The raw records; a group without any value is None."""
        import pandas as pd

        made: dict[str, Any] = {}
        for name, (start, end) in self._plan:
            if (start, end) in self.groups:
                part, cut = x[:, start:end], len(name) + 1
                values = np.array([column[cut:] for column in self.names[start:end]], dtype=object)
                chosen = values[part.argmax(axis=1)]
                chosen[part.max(axis=1) <= 0] = None
                made[name] = chosen
            elif (scale := self.scales.get(name)) is not None:
                number = scale.low + x[:, start].astype(np.float64) * (scale.high - scale.low)
                made[name] = np.rint(number).astype(np.int64) if scale.whole else number
            else:
                made[name] = x[:, start].astype(np.float64)
        return pd.DataFrame(made)


def _variable(columns: tuple[str, ...]) -> str:
    """The name that the columns of a group share."""
    if name := shared_name(columns):
        return name
    raise IncompatibleError(f"the columns {', '.join(columns[:3])} have no common name before their values")
