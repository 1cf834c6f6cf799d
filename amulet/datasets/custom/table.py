"""A user's table, read from a file: CSV, Parquet or NPZ."""

import csv
import dataclasses
import gzip
import hashlib
import io
import warnings
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from amulet.core.errors import DataError
from amulet.datasets.custom.texts import is_number

_SEPARATORS = ",;\t|"
_KINDS = ".csv, .tsv (both also with .gz), .parquet or .npz"
_SAVE = "save it as CSV, Parquet or NPZ"


@dataclass(frozen=True, eq=False)
class Table:
    """The columns of a file, all of the same length."""

    path: Path
    digest: str
    """SHA-256 of the file."""
    rows: int
    columns: Mapping[str, Any]
    """By name, in the order of the file; the input of `Column.of`."""
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Arrays of an NPZ file with several columns: the names of these columns."""
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """Arrays of an NPZ file with three or four dimensions."""
    repeated: tuple[str, ...] = ()
    """Names that several columns of a CSV have, whose values differ."""


def read_table(path: Path, header: bool | None = None) -> Table:
    """Read a file by its file name extension.

    Args:
        path: the file.
        header: whether the first line of a CSV has the names of the columns. None: it must look like names. False: the
            names are 0, 1, 2 ...

    Raises:
        DataError: it is missing, damaged, or not in one of the formats; the message says what to do.
    """
    name = path.name.lower()
    readers: dict[tuple[str, ...], Callable[[Path, bytes, str], Table]] = {
        (".csv", ".tsv", ".csv.gz", ".tsv.gz"): partial(_csv, header=header),
        (".parquet", ".pq"): _parquet,
        (".npz",): _npz,
    }
    reader = next((reader for endings, reader in readers.items() if name.endswith(endings)), None)
    if reader is None:
        raise DataError(f"{path}: the name must end in {_KINDS}; {_SAVE}")
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"{path}: is a device or a pipe; a table is a file")
    try:
        content = path.read_bytes()
    except OSError as error:
        where = "" if path.is_absolute() else f"; the working directory is {Path.cwd()}"
        beside = [str(other) for other in path.parent.glob("*") if _is_table(other, readers)]
        near = get_close_matches(str(path), beside, n=3)
        hint = f"; did you mean {' or '.join(near)}?" if near else where
        raise DataError(f"{path}: cannot be read ({error.strerror}){hint}") from error
    if not content:
        raise DataError(f"{path}: is empty; a table needs a line of column names and records")
    table = reader(path, content, hashlib.sha256(content).hexdigest())
    if not table.rows:
        raise DataError(f"{path}: has column names and no records")
    return table


def _is_table(path: Path, readers: Iterable[tuple[str, ...]]) -> bool:
    """Is there a file of a kind that is read?"""
    try:
        return path.is_file() and path.name.lower().endswith(tuple(end for endings in readers for end in endings))
    except OSError:
        return False


def _csv(path: Path, content: bytes, digest: str, *, header: bool | None) -> Table:
    import pandas as pd

    try:
        content = gzip.decompress(content) if path.suffix.lower() == ".gz" else content
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: is no whole gzip file ({error}); get it again") from error
    first = next((line for line in io.BytesIO(content) if line.strip()), b"").decode("utf-8-sig", "replace").rstrip()
    separator = max(_SEPARATORS, key=first.count)
    try:
        names = [name.strip() for name in next(csv.reader([first], delimiter=separator, skipinitialspace=True), [])]
    except csv.Error as error:
        raise DataError(f"{path}: its first line ({first[:40]!r}) holds no column names; {_SAVE}") from error
    if len(names) < 2:
        raise DataError(
            f"{path}: its first line holds one name ({first[:40]!r}); expected column names between commas, "
            "semicolons, tabs or bars"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # fields that would be lost
            frame = pd.read_csv(
                io.BytesIO(content),
                sep=separator,
                encoding="utf-8-sig",
                skipinitialspace=True,
                low_memory=False,
                index_col=False,
                header=None if header is False else 0,
            )
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: line {_line_of_odd_bytes(content)} is no UTF-8 text; save it in UTF-8") from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError, ValueError) as error:
        raise DataError(f"{path}: is no table: {_one_line(error)}; every line must have {len(names)} fields") from error
    if header is None and _is_record(names, frame):
        raise DataError(
            f"{path}: its first line ({first[:40]!r}) looks like a record; put a line of column names above it, or set "
            "dataset.header to false for the names 0, 1, 2 ..., or to true if these are the names"
        )
    repeated = () if header is False else _repeated(names, frame)
    return dataclasses.replace(_of_frame(path, digest, frame), repeated=repeated)


def _is_record(names: Sequence[str], frame: Any) -> bool:
    """Whether most fields of the first line are numbers that do not count the columns, or values of their columns."""
    numbers = [name for name in names if is_number(name)]
    if numbers[1:] and numbers == [str(i) for i in range(len(numbers))]:
        numbers = []  # what pandas writes for an array
    texts = [i for i, name in enumerate(names) if name and not is_number(name)]
    own = sum(_has(frame.iloc[:, i], names[i]) for i in texts if i < frame.shape[1])
    return len(numbers) + own > len(names) / 2


def _has(column: Any, text: str) -> bool:
    """Whether a text is among the values of a column; no text is among numbers."""
    if column.dtype == bool:
        return text in ("True", "False", "TRUE", "FALSE", "true", "false")
    return column.dtype.kind not in "iuf" and bool((column == text).any())


def _repeated(names: Sequence[str], frame: Any) -> tuple[str, ...]:
    """The names of several columns whose values differ; the second column of a name is `name.1`, as pandas reads it."""
    counts = {name: count for name, count in Counter(names).items() if count > 1}
    columns = {name: [f"{name}.{i}" for i in range(1, count)] for name, count in counts.items()}
    return tuple(
        name
        for name, others in columns.items()
        if not all(other in frame and frame[name].equals(frame[other]) for other in others)
    )


def _line_of_odd_bytes(content: bytes) -> int:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError as error:
        return content[: error.start].count(b"\n") + 1
    return 1


def _parquet(path: Path, content: bytes, digest: str) -> Table:
    import pandas as pd

    try:
        frame = pd.read_parquet(io.BytesIO(content))
    except ImportError as error:
        raise DataError(
            f"{path}: Parquet is read by the package pyarrow, which is not installed: pip install pyarrow, or save the "
            "table as CSV"
        ) from error
    except Exception as error:
        raise DataError(f"{path}: is no whole Parquet file: {_one_line(error)}; get it again") from error
    return _of_frame(path, digest, frame)


def _of_frame(path: Path, digest: str, frame: Any) -> Table:
    names = [str(name).strip() for name in frame.columns]
    columns = {name: frame[label] for name, label in zip(names, frame.columns, strict=True)}
    return Table(path, digest, len(frame), columns)


def _npz(path: Path, content: bytes, digest: str) -> Table:
    if not content.startswith(b"PK"):
        raise DataError(f"{path}: is no NPZ file; save it with numpy.savez")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" not in str(error):
            raise DataError(f"{path}: is no whole NPZ file: {_one_line(error)}; save it again") from error
        raise DataError(
            f"{path}: holds Python objects, which could run code when read; save arrays of numbers or texts, such as "
            "array.astype(str)"
        ) from error
    arrays = {name: array for name, array in arrays.items() if array.ndim}
    sizes = {name: len(array) for name, array in arrays.items()}
    if len(set(sizes.values())) != 1:
        found = ", ".join(f"{name} {size:,}" for name, size in sizes.items()) or "none"
        raise DataError(f"{path}: its arrays must have one entry per record each, got {found}")
    columns: dict[str, Any] = {}
    groups: dict[str, tuple[str, ...]] = {}
    pictures: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        plain = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        if array.ndim == 1:
            columns[name] = plain
        elif array.ndim == 2:
            groups[name] = tuple(f"{name}_{i}" for i in range(array.shape[1]))
            columns.update(zip(groups[name], plain.T, strict=True))
        else:
            pictures[name] = array
    return Table(path, digest, next(iter(sizes.values())), columns, groups, pictures)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
