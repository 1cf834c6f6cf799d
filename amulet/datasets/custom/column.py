"""One column of a user's table: numbers, or categories."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from amulet.datasets.custom.texts import is_number, with_commas

_MOSTLY = 10  # if all but one of this many categories are numbers, the one is suspicious


@dataclass(frozen=True, eq=False)
class Column:
    """One value per record: numbers, or codes of categories in alphabetical order."""

    numbers: np.ndarray | None = None
    """(n,) float64, NaN where the value is missing; None for a column of text."""
    codes: np.ndarray | None = None
    """(n,) int64 indices into `categories`, -1 where the value is missing; None for a column of numbers."""
    categories: tuple[str, ...] = ()
    comma: str = ""
    """A text with a comma, if the numbers were read from such texts: `83,0`."""

    @classmethod
    def of(cls, values: Any) -> "Column":
        """From pandas or numpy data: numbers stay numbers, the rest is text; infinite values count as missing.

        Texts that are all numbers with a decimal comma, or with commas between thousands, are numbers.

        Raises:
            ValueError: such texts could be either; the message is one of them.
        """
        import pandas as pd

        series = pd.Series(values)
        if pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series):
            numbers = series.to_numpy(np.float64, na_value=np.nan)
            return cls(numbers=np.where(np.isfinite(numbers), numbers, np.nan))
        try:
            places, found = pd.factorize(series)
        except TypeError:  # values that cannot be compared, for example lists
            places, found = pd.factorize(series.map(str))
        texts = [str(value).strip() for value in found]
        categories = tuple(sorted({text for text in texts if text}))
        code = {text: i for i, text in enumerate(categories)}
        codes = np.array([*(code.get(text, -1) for text in texts), -1])[places]
        if (numbers := with_commas(categories)) is not None:
            return cls(np.append(numbers, np.nan)[codes], comma=next(text for text in categories if "," in text))
        return cls(codes=codes, categories=categories)

    def __len__(self) -> int:
        return len(self.values)

    @property
    def values(self) -> np.ndarray:
        """The numbers or the codes."""
        values = self.numbers if self.numbers is not None else self.codes
        assert values is not None
        return values

    @property
    def missing(self) -> np.ndarray:
        """(n,) bool: where the value is missing."""
        return np.isnan(self.values) if self.numbers is not None else self.values < 0

    def take(self, rows: np.ndarray) -> "Column":
        """The values at some rows."""
        return (
            Column(self.values[rows]) if self.numbers is not None else Column(None, self.values[rows], self.categories)
        )

    def distinct(self) -> tuple[np.ndarray, tuple[str, ...]]:
        """For a column without missing values: each record's index into the distinct values, and these values as text.

        >>> Column.of([2.0, 1.0, 2.0]).distinct()
        (array([1, 0, 1]), ('1', '2'))
        """
        values, places = np.unique(self.values, return_inverse=True)
        if self.numbers is not None:
            return places, tuple(in_words(value) for value in values.tolist())
        return places, tuple(self.categories[value] for value in values.tolist())

    def joined(self, other: "Column") -> "Column":
        """The records of this column, then those of the other.

        Raises:
            ValueError: this column has numbers and the other has text; the message is one of the texts.
        """
        if self.numbers is not None:
            if other.numbers is None:
                raise ValueError(next((text for text in other.categories if not is_number(text)), "text"))
            return Column(np.concatenate([self.numbers, other.numbers]), comma=self.comma or other.comma)
        if other.numbers is not None:
            words = [None if np.isnan(value) else in_words(value) for value in other.numbers.tolist()]
            other = Column.of(np.array(words, object))
        assert self.codes is not None
        assert other.codes is not None
        categories = tuple(sorted({*self.categories, *other.categories}))
        place = {category: i for i, category in enumerate(categories)}
        moved = [
            np.array([*(place[category] for category in column.categories), -1])[codes]
            for column, codes in ((self, self.codes), (other, other.codes))
        ]
        return Column(None, np.concatenate(moved), categories)

    def odd_texts(self, usual: Callable[[str], bool]) -> list[str] | None:
        """The categories that are not `usual`, most frequent first, if there are many and nearly all are; else None."""
        if self.codes is None or len(self.categories) < _MOSTLY:
            return None
        odd = [i for i, text in enumerate(self.categories) if not usual(text)]
        if len(odd) > len(self.categories) / _MOSTLY:
            return None
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.categories))
        return [self.categories[i] for i in sorted(odd, key=lambda i: -counts[i])]


def in_words(value: float) -> str:
    """A number as a name.

    >>> in_words(2.0), in_words(0.5)
    ('2', '0.5')
    """
    return str(int(value)) if float(value).is_integer() else repr(float(value))
