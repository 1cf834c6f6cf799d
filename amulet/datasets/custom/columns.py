"""From a user's columns to tensors: classes, sensitive attributes, inputs in [0, 1]; with warnings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from amulet.core.errors import DataError, SettingError
from amulet.datasets.custom.column import Column, in_words
from amulet.datasets.custom.roles import no_such
from amulet.datasets.custom.texts import days, is_date, is_measure, is_number, listed

_FEW_RECORDS = 10
_MANY_VALUES = 20
_MANY_RECORDS = 50
_MANY_CATEGORIES = 100
_MOST_INPUTS = 10_000
_CLAMPED = 0.01
_EXACT = 2.0**53  # from here on every number of float64 is whole


@dataclass(frozen=True, eq=False)
class Inputs:
    """The inputs of a model, with notes and warnings."""

    x: np.ndarray
    """(n, features) float32 in [0, 1]."""
    names: tuple[str, ...]
    groups: tuple[tuple[int, int], ...]
    warnings: tuple[str, ...]


def classes(column: Column, name: str, positive: str | float | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels 0 .. k-1 for the target's values in order; `positive` is the value for class 1 of two."""
    labels, names = column.distinct()
    if len(names) < 2:
        raise DataError(f"`{name}`, the target, is {_only(names)} in every record, so there is nothing to learn")
    if len(names) > _MANY_VALUES and len(labels) < _FEW_RECORDS * len(names):
        raise SettingError(
            f"`target` must be a column of classes; `{name}` has {len(names):,} different values in {len(labels):,} "
            "records: choose another column, or cut it into classes first"
        )
    if positive is None:
        return labels, names
    wanted = positive if isinstance(positive, str) else str(positive) if positive is True or positive is False else ""
    wanted = wanted or in_words(float(positive))
    if len(names) != 2:
        raise SettingError(f"`positive` is for a target of two values, `{name}` has {len(names)}; leave it null")
    if wanted not in names:
        raise no_such("positive", positive, names, f"a value of `{name}`")
    return (labels, names) if names[1] == wanted else (1 - labels, names[::-1])


def attribute(
    column: Column, name: str, bins: int | Sequence[float] | None, train: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """A sensitive attribute's values as 0 .. k-1, and the meaning of each."""
    if bins is None:
        values, names = column.distinct()
        if column.numbers is not None and len(names) > _MANY_VALUES:
            raise SettingError(
                f"`bins` must say how to cut `{name}`, which has {len(names):,} different numbers: dataset.bins="
                f"{{{name}:2}} for as many records on each side, {{{name}:[25,60]}} for cuts at 25 and at 60"
            )
    else:
        values, names = _cut(column, name, bins, train)
    if len(names) < 2:
        raise DataError(f"`{name}`, a sensitive attribute, is {_only(names)} in every record; leave it out")
    return values, names


def _cut(
    column: Column, name: str, bins: int | Sequence[float], train: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    if column.numbers is None:
        raise SettingError(f"`bins` must name columns of numbers, `{name}` is text")
    if isinstance(bins, int):
        if bins < 2:
            raise SettingError(f"`bins` must be 2 or more for `{name}`, got {bins}")
        cuts = np.unique(np.quantile(column.numbers[train], np.arange(1, bins) / bins))
    else:
        cuts = np.array(bins, np.float64)
        if not len(cuts) or not np.isfinite(cuts).all() or (np.diff(cuts) <= 0).any():
            raise SettingError(f"`bins` must be rising numbers for `{name}`, got {list(bins)}")
    words = [in_words(cut) for cut in cuts.tolist()]
    between = [f"{low} to under {high}" for low, high in pairwise(words)]
    ranges = [f"under {words[0]}", *between, f"{words[-1]} or more"]
    present, values = np.unique(np.digitize(column.numbers, cuts), return_inverse=True)
    return values, tuple(ranges[i] for i in present.tolist())


def encode(columns: Mapping[str, Column], coded: Sequence[str], parts: Sequence[np.ndarray]) -> Inputs:
    """Numbers scaled to [0, 1] by the training part's range, text one-hot by the training part's categories.

    Dates that begin with the year become numbers of days.
    Test records are made to fit: numbers outside the range are clamped, an unknown category is 0 in all inputs of its
    column.

    Args:
        columns: without missing values, all of one length.
        coded: names of columns of numbers that are one-hot encoded too.
        parts: rows of the training and of the test part.

    Raises:
        SettingError: a column has dates whose order of day and month cannot be told.
    """
    train, test = parts
    # Name, column, and for the training part its minimum and maximum, or its categories in order.
    blocks: list[tuple[str, Column, np.ndarray]] = []
    constant: list[str] = []
    said: list[str | None] = []
    for name, raw in columns.items():
        column = _as_codes(raw) if name in coded else _as_numbers(name, raw)
        known = _extent(column.values[train]) if column.codes is None else np.unique(column.codes[train])
        said += [_reading(name, raw, column), None if name in coded else _suspicion(name, column.take(train))]
        if len(known) < 2:
            constant.append(name)
        else:
            blocks.append((name, column, known))
            said.append(_misfit(name, column, known, test))
    if constant:
        said.append(f"{_and(constant)}: one value in all training records, so left out of the inputs.")
    width = sum(1 if column.numbers is not None else len(known) for _, column, known in blocks)
    if not 0 < width <= _MOST_INPUTS:
        most = max(blocks, key=lambda block: len(block[1].categories), default=None)
        raise DataError(
            f"the inputs would be {width:,} columns, expected 1 to {_MOST_INPUTS:,}"
            + (
                f"; `{most[0]}` alone has {len(most[1].categories):,} categories: leave it out by `drop`"
                if most
                else ""
            )
        )
    x = np.zeros((len(blocks[0][1]), width), np.float32)
    names: list[str] = []
    groups: list[tuple[int, int]] = []
    for name, column, known in blocks:
        start = len(names)
        if column.numbers is not None:
            low, high = known[0], known[-1]
            x[:, start] = ((column.numbers - low) / (high - low)).clip(0, 1)
            names.append(name)
            continue
        assert column.codes is not None
        place = np.searchsorted(known, column.codes).clip(max=len(known) - 1)
        rows = (known[place] == column.codes).nonzero()[0]
        x[rows, start + place[rows]] = 1
        names += [f"{name}={column.categories[code]}" for code in known.tolist()]
        groups.append((start, len(names)))
    return Inputs(x, tuple(names), tuple(groups), tuple(text for text in said if text))


def _extent(values: np.ndarray) -> np.ndarray:
    low, high = values.min(), values.max()
    return np.array([low, high] if low < high else [low])


def _only(names: Sequence[str]) -> str:
    return next(iter(names))


def _as_codes(column: Column) -> Column:
    if column.codes is not None:
        return column
    places, names = column.distinct()
    return Column(None, places, names)


def _as_numbers(name: str, column: Column) -> Column:
    """A boolean column is one input, so are dates; other text stays text."""
    if column.codes is None:
        return column
    if column.categories == ("False", "True"):
        return Column(column.codes.astype(np.float64))
    if not column.categories or not all(map(is_date, column.categories)):
        return column
    if (numbers := days(column.categories)) is None:
        raise SettingError(
            f"`{name}` has dates such as {column.categories[0]!r}, which can be read in several ways: write them as "
            f"2026-11-29, leave them out with dataset.drop={listed([name])}, or take each as a category of its own "
            f"with dataset.categorical={listed([name])}"
        )
    return Column(numbers[column.codes])


def _reading(name: str, raw: Column, column: Column) -> str | None:
    """How texts were understood as numbers."""
    if raw.comma:
        return f"`{name}` is read as numbers written with a comma, such as {raw.comma!r}."
    if raw.codes is not None and column.numbers is not None and raw.categories != ("False", "True"):
        return f"`{name}` is read as dates, such as {raw.categories[0]}: its input is the number of days."
    return None


def _suspicion(name: str, column: Column) -> str | None:
    """What looks wrong in a column of the training part."""
    if (values := column.numbers) is not None:
        whole = len(values) >= _MANY_RECORDS and bool(((values == values.round()) & (abs(values) < _EXACT)).all())
        if not whole or len(np.unique(values)) < len(values):
            return None
        return (
            f"`{name}` is another whole number in every training record: if it is an identifier, leave it out with "
            f"dataset.drop={listed([name])}."
        )
    count = f"`{name}` is read as text with {len(column.categories):,} categories"
    for usual, what in ((is_number, "numbers"), (is_date, "dates")):
        if odd := column.odd_texts(usual):
            return (
                f"{count} because of {odd[0]!r}: if it is a column of {what}, leave such fields empty and set "
                "dataset.missing=drop."
            )
    if column.odd_texts(is_measure) is not None:
        return (
            f"{count} such as {column.categories[0]!r}, each of which is an input, although nearly all look like "
            f"numbers: write them as plain numbers, with a point and no unit, or leave the column out with "
            f"dataset.drop={listed([name])}."
        )
    if len(column.categories) > _MANY_CATEGORIES:
        return (
            f"`{name}` has {len(column.categories):,} categories, each of which is an input: leave it out with "
            f"dataset.drop={listed([name])} unless a model can learn from it."
        )
    return None


def _misfit(name: str, column: Column, known: np.ndarray, test: np.ndarray) -> str | None:
    """Values that test records have and training records do not."""
    values = column.values[test]
    if column.codes is not None:
        unknown = int((~np.isin(values, known)).sum())
        if not unknown:
            return None
        return f"{unknown:,} test records have a `{name}` that no training record has: its inputs are all 0 for them."
    beyond = int(((values < known[0]) | (values > known[-1])).sum())
    if beyond < _FEW_RECORDS or beyond <= _CLAMPED * len(values):
        return None
    return (
        f"{beyond / len(values):.1%} of the test records have a `{name}` beyond the training range "
        f"{in_words(known[0])} to {in_words(known[-1])} and are clamped to it: do both parts come from one source?"
    )


def _and(names: Sequence[str]) -> str:
    shown = [f"`{name}`" for name in names[:5]]
    return ", ".join(shown) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
