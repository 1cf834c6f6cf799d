"""The two lists of CelebA: the attributes of each image, and its part of the official split."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from amulet.core.errors import DataError
from amulet.datasets.pictures import Pixels

PARTS = ("train", "validation", "test")
_VALUES = {"1": 1, "-1": 0}
_HEADERS = 2
_CURE = "get it again from https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html, or `amulet data fetch celeba` does"


def names_of(content: bytes, file: Path) -> tuple[str, ...]:
    """The names of the attributes, from the second line of `list_attr_celeba.txt`.

    Raises:
        DataError: its first two lines are not the number of images and those names.
    """
    return _header(_lines(content[:10_000], file), file)[1]


def read_attributes(content: bytes, file: Path) -> tuple[list[str], Pixels]:
    """The file names of `list_attr_celeba.txt`, and their attributes (n, attributes): 0 or 1.

    Raises:
        DataError: the header, a row's number of columns, a value or the number of rows is wrong; the message has the
            number of the line.
    """
    lines = _lines(content, file)
    count, columns = _header(lines, file)
    width = len(columns) + 1
    rows = lines[_HEADERS:]
    while rows and not rows[-1].strip():
        rows.pop()
    if len(rows) != count:
        raise _broken(file, 1, f"announces {count:,} pictures, {len(rows):,} follow")
    names: list[str] = []
    table = np.empty((count, len(columns)), np.uint8)
    for i, line in enumerate(rows):
        name, *values = line.split()
        if len(values) + 1 != width:
            raise _broken(file, i + _HEADERS + 1, f"has {len(values) + 1} columns, expected {width}")
        try:
            table[i] = [_VALUES[value] for value in values]
        except KeyError as error:
            raise _broken(file, i + _HEADERS + 1, f"has the value {error.args[0]}, expected 1 or -1") from error
        names.append(name)
    if len(set(names)) != count:
        twice, _ = Counter(names).most_common(1)[0]
        raise DataError(f"{file}: has {twice} twice; {_CURE}")
    return names, table


def read_parts(content: bytes, names: Sequence[str], file: Path) -> Pixels:
    """The part of each image by its name (n,): positions in `PARTS`.

    Raises:
        DataError: a line is not a name and 0, 1 or 2, or an image has no line.
    """
    parts: dict[str, int] = {}
    for i, line in enumerate(_lines(content, file), 1):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != 2 or cells[1] not in {"0", "1", "2"}:
            raise _broken(file, i, f"expected a picture's name and 0, 1 or 2, got {line[:40]!r}")
        parts[cells[0]] = int(cells[1])
    absent = [name for name in names if name not in parts]
    if absent:
        raise DataError(f"{file}: has no part for {absent[0]} and {len(absent) - 1:,} more pictures; {_CURE}")
    return np.array([parts[name] for name in names], np.uint8)


def _lines(content: bytes, file: Path) -> list[str]:
    try:
        return content.decode("ascii").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{file}: is no list of CelebA: {error}; {_CURE}") from error


def _header(lines: Sequence[str], file: Path) -> tuple[int, tuple[str, ...]]:
    first = lines[0].strip() if lines else ""
    if not first.isdigit():
        raise _broken(file, 1, f"expected the number of pictures, got {first[:40]!r}")
    columns = tuple(lines[1].split()) if len(lines) > 1 else ()
    if not columns or "1" in columns or "-1" in columns:
        raise _broken(file, 2, "expected the names of the attributes")
    return int(first), columns


def _broken(file: Path, line: int, what: str) -> DataError:
    return DataError(f"{file}, line {line}: {what}; {_CURE}")
