"""What a model answered, in a table: labels, probabilities, groups, and which records it was trained on."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from amulet.core.errors import DataError, SettingError
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import PLACES, AmuletDataset
from amulet.datasets.custom.column import Column
from amulet.datasets.custom.columns import attribute, classes
from amulet.datasets.custom.loader import read_as_known
from amulet.datasets.custom.roles import no_such

_PREFIX = "probability"
_ROUNDED = 0.02  # probabilities of a record are written with few digits: by so much their sum may differ from 1
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


def load_predictions(
    *,
    path: str | None = None,
    target: str = "label",
    probabilities: Sequence[str] | None = None,
    sensitive: Sequence[str] = (),
    member: str | None = None,
    id: str | None = None,  # noqa: A002 - the name of the setting
    name: str = "predictions",
    sha256: Mapping[str, str] | None = None,
) -> AmuletDataset:
    """A file of a model's answers as a data set, for `model=predictions`; see docs/victims.md.

    Args:
        path: a .csv, .tsv, .parquet or .npz file, one row for each record.
        target: the column of true classes.
        probabilities: a column for each class, in the order of the classes, or one: that of class 1 of two. null: the
            columns whose names begin with `probability`.
        sensitive: columns of sensitive attributes.
        member: the column that says which records the model was trained on: 1 or 0, true or false, yes or no. null: it
            was trained on none of them.
        id: a column of names of records, which must differ.
        name: what results call it.
        sha256: ``{"path": digest}``: the file is refused if it has another.

    Raises:
        SettingError: a column is not there.
        DataError: values are missing, or no probabilities.
    """
    if path is None:
        raise SettingError("`path` must name a file of predictions: .csv, .tsv, .parquet or .npz")
    table = read_as_known(path, "path", sha256, None)
    return predictions_of(
        table.columns,
        target=target,
        probabilities=probabilities,
        sensitive=sensitive,
        member=member,
        id=id,
        name=name,
    )


def predictions_of(
    columns: Mapping[str, Any],
    *,
    target: str = "label",
    probabilities: Sequence[str] | None = None,
    sensitive: Sequence[str] = (),
    member: str | None = None,
    id: str | None = None,  # noqa: A002 - the name of the setting
    name: str = "predictions",
) -> AmuletDataset:
    """The same of columns in memory.

    The inputs are the numbers of the records, which stand for their answers; nothing is known about what the model saw.
    Records that it was trained on are the training part. Where it is not known that it was trained on any, the training
    part is a copy of one record of each class, on which nothing is measured.
    """
    named = [target, *sensitive, *(probabilities or ()), *([member] if member else []), *([id] if id else [])]
    for one in named:
        if one not in columns:
            raise no_such("target" if one == target else "predictions", one, list(columns), "a column")
    read = {one: _whole(columns[one], one) for one in dict.fromkeys(named)}
    if id and len(read[id].distinct()[1]) < len(read[id]):
        raise DataError(f"`{id}` must name each record once: {len(read[id].distinct()[1]):,} names, {len(read[id]):,}")
    chosen = [*probabilities] if probabilities else [one for one in columns if one.startswith(_PREFIX)]
    answers = _answers([_whole(columns[one], one) for one in chosen], chosen)
    y, labels = _classes(read[target], target, answers.shape[1])
    n, k = answers.shape
    if n >= PLACES:
        raise DataError(f"at most {PLACES:,} predictions can be read, got {n:,}")
    inside = _members(read[member], member) if member else np.zeros(n, dtype=bool)
    if member and (inside.all() or not inside.any()):
        raise DataError(f"`{member}` must tell members from others, and all records are the same")
    rows = np.arange(n)
    if not member:  # a training part there must be
        rows = np.concatenate([rows, [int((y == label).argmax()) for label in np.unique(y)]])
    values = {one: attribute(read[one], one, None, rows[:n]) for one in sensitive}
    codes = [torch.from_numpy(found[rows]).long() for found, _ in values.values()]
    trained_on = inside.nonzero()[0] if member else np.arange(n, len(rows))
    parts = [torch.from_numpy(one) for one in (trained_on, (~inside).nonzero()[0])]
    digest = hashlib.sha256(repr((labels, member, {one: names for one, (_, names) in values.items()})).encode())
    for array in (answers, y, inside, *(found for found, _ in values.values())):
        digest.update(np.ascontiguousarray(array).tobytes())
    return assemble(
        name=name,
        modality="tabular",
        x=torch.from_numpy(np.arange(len(rows)) / PLACES).float().unsqueeze(1),
        y=torch.from_numpy(y[rows]).long(),
        z=torch.stack(codes, dim=1) if codes else torch.zeros(len(rows), 0, dtype=torch.int64),
        attributes=list(sensitive),
        parts=parts,
        num_classes=k,
        origin=digest.hexdigest(),
        stream=Stream(0) / "predictions",
        labels=labels,
        values={one: names for one, (_, names) in values.items()},
        notes={"target": target, "members": "known" if member else "unknown"},
        answers=torch.from_numpy(answers[rows]),
        members_known=member is not None,
    )


def _whole(values: Any, name: str) -> Column:
    column = Column.of(values)
    if count := int(column.missing.sum()):
        raise DataError(f"`{name}` is missing in {count:,} of {len(column):,} records: leave these records out")
    return column


def _answers(columns: Sequence[Column], names: Sequence[str]) -> np.ndarray:
    """Probabilities (n, classes), float64, of sum 1."""
    if not columns:
        raise SettingError(f"`probabilities` must name columns; none begins with `{_PREFIX}`")
    if odd := [name for name, column in zip(names, columns, strict=True) if column.numbers is None]:
        raise DataError(f"`{odd[0]}` must hold probabilities, and has texts")
    found = np.stack([column.values for column in columns], axis=1)
    found = found if found.shape[1] > 1 else np.concatenate([1 - found, found], axis=1)
    sums = found.sum(axis=1)
    if found.min() < 0 or found.max() > 1 or abs(sums - 1).max() > _ROUNDED:
        raise DataError(f"{', '.join(names)} must be probabilities: in [0, 1], and 1 in sum for each record")
    return found / sums[:, None]


def _classes(column: Column, name: str, count: int) -> tuple[np.ndarray, tuple[str, ...]]:
    numbers = column.numbers
    if numbers is not None and (numbers == numbers.round()).all() and numbers.min() >= 0 and numbers.max() < count:
        return numbers.astype(np.int64), ()
    labels, names = classes(column, name, None)
    if len(names) != count:
        raise DataError(f"there are probabilities of {count} classes, and `{name}` has {len(names)}: {names[:5]}")
    return labels, names


def _members(column: Column, name: str) -> np.ndarray:
    codes, names = column.distinct()
    lower = [one.lower() for one in names]
    if not set(lower) <= {*_YES, *_NO}:
        raise DataError(f"`{name}` must be 1 or 0, true or false, yes or no; got {', '.join(names[:3])}")
    return np.array([one in _YES for one in lower])[codes]
