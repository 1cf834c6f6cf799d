"""The attributes of LFW: a table of 73 scores for each image, and the labels derived from them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from amulet.core.errors import DataError

Record = tuple[str, int]
"""A person's name with underscores, and the number of the image."""
Variant = Literal["all", "paper"]

_KEY = ("person", "imagenum")
_AGES = ("baby", "child", "youth", "middle_aged", "senior")
_RACES: Mapping[Variant, tuple[str, ...]] = {
    "all": ("white", "black", "asian", "indian"),
    "paper": ("white", "black"),
}
_WORDS = {"age": ["younger", "older"], "gender": ["female", "male"], "race": ["not white", "white"]}
_CERTAIN = -0.1  # Melis et al., Exploiting unintended feature leakage in collaborative learning, IEEE S&P 2019
_CURE = "get lfw_attributes.txt again from https://www.cs.columbia.edu/CAVE/databases/pubfig"


@dataclass(frozen=True)
class Attributes:
    """Scores of the images; above 0 the classifier says that an image has the attribute."""

    columns: tuple[str, ...]
    """Names as a user types them: `middle_aged`."""
    rows: Mapping[Record, int]
    """The row with each image's scores."""
    scores: npt.NDArray[np.float64]
    """(n, columns)."""

    @property
    def known(self) -> tuple[str, ...]:
        """All available names."""
        return (*_WORDS, *self.columns)

    def values(self, name: str, variant: Variant = "all") -> npt.NDArray[np.int64]:
        """An attribute for each row (n,): 0 or 1."""
        if name == "age":
            values = self._of(_AGES).argmax(axis=1) >= _AGES.index("middle_aged")
        elif name == "race":
            values = self._of(_RACES[variant]).argmax(axis=1) == 0
        else:
            values = self._of(("male" if name == "gender" else name,))[:, 0] > 0
        return values.astype(np.int64)

    def certain(self, name: str) -> npt.NDArray[np.bool_]:
        """For each row (n,): whether any of the scores from which an attribute is derived is at least -0.1."""
        made_of = {"age": _AGES, "race": _RACES["paper"]}.get(name)
        return np.full(len(self.scores), True) if made_of is None else self._of(made_of).max(axis=1) >= _CERTAIN

    def words(self, name: str) -> list[str]:
        """The meaning of 0 and 1."""
        word = name.replace("_", " ")
        return _WORDS.get(name, [f"not {word}", word])

    def _of(self, names: tuple[str, ...]) -> npt.NDArray[np.float64]:
        return self.scores[:, [self.columns.index(name) for name in names]]


def parse(content: bytes, file: Path) -> Attributes:
    """Read `lfw_attributes.txt`: columns separated by tabs, named in one line, which may begin with `#`.

    Earlier lines that begin with `#` are comments.

    Raises:
        DataError: the names are missing, or a row does not match them; the message has the line number.
    """
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is no text ({error}); {_CURE}") from error
    start, columns = _header(lines, file)
    width = len(_KEY) + len(columns)
    rows: dict[Record, int] = {}
    values: list[list[float]] = []
    places: list[int] = []
    for i, line in enumerate(lines[start:], start + 1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != width:
            raise DataError(f"{file}, line {i}: has {len(cells)} columns, expected {width}; {_CURE}")
        try:
            record = (cells[0].strip().replace(" ", "_"), int(cells[1]))
            numbers = [float(cell) for cell in cells[len(_KEY) :]]
        except ValueError as error:
            raise DataError(f"{file}, line {i}: {error}; {_CURE}") from error
        if record in rows:
            raise DataError(f"{file}, line {i}: picture {record[1]} of {cells[0]} for the second time; {_CURE}")
        rows[record] = len(values)
        values.append(numbers)
        places.append(i)
    if not values:
        raise DataError(f"{file}: names columns, but has no rows; {_CURE}")
    scores = np.array(values)
    if (wrong := ~np.isfinite(scores).all(axis=1)).any():
        raise DataError(f"{file}, line {places[int(wrong.argmax())]}: has a score that is not finite; {_CURE}")
    return Attributes(columns, rows, scores)


def _header(lines: list[str], file: Path) -> tuple[int, tuple[str, ...]]:
    """The number of the first line after the names, and the names of the scores."""
    for i, line in enumerate(lines):
        cells = [cell.strip() for cell in line.lstrip("#").strip().split("\t")]
        if tuple(cells[: len(_KEY)]) == _KEY:
            columns = tuple(re.sub("[^a-z0-9]+", "_", cell.lower()).strip("_") for cell in cells[len(_KEY) :])
            break
        if not line.startswith("#"):
            raise DataError(
                f"{file}, line {i + 1}: expected the names of the columns, person, imagenum, Male, ..., apart by tabs, "
                f"got {line[:40]!r}; {_CURE}"
            )
    else:
        raise DataError(f"{file}: has no line with the names of the columns; {_CURE}")
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise DataError(f"{file}, line {i + 1}: names the column {', '.join(twice)} twice; {_CURE}")
    if absent := [name for name in ("male", *_RACES["all"], *_AGES) if name not in columns]:
        raise DataError(f"{file}, line {i + 1}: names no column {', '.join(absent)}; {_CURE}")
    return i + 1, columns
