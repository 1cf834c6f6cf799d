"""A table as its owner has it, in the encoding of attacks, and back: value for value, type for type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from amulet.core.errors import DataError
from amulet.datasets.custom.column import Column
from amulet.datasets.custom.columns import Inputs, encode

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class OwnColumn:
    """How one column is read from the encoded inputs."""

    name: Any
    dtype: Any
    start: int
    end: int
    """Its inputs [start, end); none for a column with one value."""
    values: Any
    """The values that it has, an array of its type: of a group in the order of its inputs, of numbers in the order of
    `codes`."""
    codes: np.ndarray | None = None
    """Of numbers: what each of `values` is in [0, 1], float32, rising; None: a group, or one value."""
    gap: int | None = None
    """Of numbers some of which are missing: the first of the two inputs for `given` and for `missing`."""

    def read(self, x: np.ndarray) -> pd.Series[Any]:
        """The column of records (n, columns): a value that is unchanged as it was, of a group the largest."""
        import pandas as pd

        if self.codes is not None:
            found = pd.Series(self._numbers(x[:, self.start].astype(np.float32))).astype(self.dtype)
        elif self.start == self.end:
            found = self.values.take(np.zeros(len(x), dtype=np.int64))
        else:
            found = self.values.take(x[:, self.start : self.end].argmax(axis=1))
        column = pd.Series(found, name=self.name)
        return column if self.gap is None else column.mask(x[:, self.gap] < x[:, self.gap + 1])

    def _numbers(self, given: np.ndarray) -> np.ndarray:
        codes, values = self.codes, np.asarray(self.values)
        assert codes is not None
        place = np.searchsorted(codes, given).clip(max=len(codes) - 1)
        low, high = float(values[0]), float(values[-1])
        between = low + given.astype(np.float64) * (high - low)
        if (values == np.rint(values)).all():
            between = np.rint(between)
        return np.where(codes[place] == given, values[place], between)


@dataclass(frozen=True, eq=False)
class OwnTable:
    """From encoded inputs to the table that a model was trained on: its columns, their order, units and types."""

    columns: tuple[OwnColumn, ...]
    array: Any = None
    """The type of an array without names of columns; None: a DataFrame."""

    def __call__(self, x: np.ndarray) -> Any:
        """The records as the model takes them."""
        import pandas as pd

        table = pd.concat([column.read(x) for column in self.columns], axis=1)
        return table if self.array is None else table.to_numpy(dtype=self.array)


def encoded(frame: pd.DataFrame, *, array: Any = None) -> tuple[Inputs, OwnTable]:
    """The inputs of a table in [0, 1], and the way back.

    Numbers are scaled by the range of all records, so none is cut off; every other column becomes a one-hot group, in
    which a missing value is a value of its own. Where numbers are missing, a group of two inputs says whether one is
    given, and the input of a missing one is that of the median; on the way back it is missing again. A column with one
    value is no input, and is there again on the way back.

    Args:
        frame: all records; its index is not looked at.
        array: the type of the array that the records came in, if they did.

    Raises:
        DataError: numbers are infinite.
    """
    import pandas as pd

    columns: dict[str, Column] = {}
    own: list[tuple[str, Any, np.ndarray, Any]] = []
    texts: list[str] = []
    gaps: dict[str, str] = {}
    taken = {str(name) for name in frame.columns}
    for name in frame.columns:
        series, text = frame[name], str(name)
        if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
            numbers = series.to_numpy(np.float64, na_value=np.nan)
            if np.isinf(numbers).any():
                raise DataError(
                    f"`{text}` has {int(np.isinf(numbers).sum()):,} numbers that are infinite, and attacks need one "
                    "that they can change: write them as missing, or leave these records out"
                )
            lost = np.isnan(numbers)
            if lost.any() and not lost.all():
                middle = np.argsort(numbers)[(~lost).sum() // 2]
                numbers, series = np.where(lost, numbers[middle], numbers), series.mask(lost, series.iloc[middle])
                gaps[text] = f"{text} is"
                while gaps[text] in taken:
                    gaps[text] += "_"
            columns[text] = Column(numbers=np.nan_to_num(numbers))
            own.append((text, name, columns[text].values, series.array))
            if text in gaps:
                columns[gaps[text]] = Column(None, lost.astype(np.int64), ("given", "missing"))
        else:
            places, names, first = _categories(series)
            columns[text] = Column(None, places, names)
            own.append((text, name, places, series.array.take(first)))
            texts.append(text)
    rows = np.arange(len(frame))
    inputs = encode(columns, [*texts, *gaps.values()], (rows, rows))
    groups, found = dict(inputs.groups), list[OwnColumn]()
    start = 0
    for text, name, numbers, values in own:
        dtype, own_values, codes, end = frame[name].dtype, values, None, start
        if len(np.unique(numbers)) < 2:
            own_values = values[:1]
        elif text in texts:
            end = groups[start]
        else:
            codes, first = np.unique(inputs.x[:, start], return_index=True)
            own_values, end = values[first], start + 1
        gap = end if text in gaps else None
        found.append(OwnColumn(name, dtype, start, end, own_values, codes, gap))
        start = end if gap is None else groups[gap]
    return inputs, OwnTable(tuple(found), array)


def _categories(series: pd.Series[Any]) -> tuple[np.ndarray, tuple[str, ...], np.ndarray]:
    """For each record the place of its value; the values' names in this order; for each a record that has it."""
    import pandas as pd

    places, _ = pd.factorize(series.astype(object), use_na_sentinel=False)
    _, first = np.unique(places, return_index=True)
    found = series.iloc[first].tolist()
    names = ["missing" if pd.isna(value) else str(value).strip() for value in found]
    if len(set(names)) < len(names):
        names = [repr(value) for value in found]
    order = np.array(sorted(range(len(names)), key=lambda i: names[i]), dtype=np.int64)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return rank[places], tuple(names[i] for i in order.tolist()), first[order]
