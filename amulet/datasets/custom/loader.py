"""A user's own data set: a table with named target and sensitive columns, or images that it lists."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from amulet.core.errors import DataError, SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset
from amulet.datasets.custom.column import Column
from amulet.datasets.custom.columns import attribute, classes, encode
from amulet.datasets.custom.images import as_pictures, picture_paths, read_pictures
from amulet.datasets.custom.roles import Name, Roles, assign
from amulet.datasets.custom.table import Table, read_table
from amulet.datasets.custom.texts import listed
from amulet.datasets.split import stratified_split


def load_custom(
    *,
    path: str,
    target: Name,
    sensitive: Sequence[Name] = (),
    positive: str | float | bool | None = None,
    inputs: Sequence[Name] | None = None,
    drop: Sequence[Name] = (),
    sensitive_as_input: bool = False,
    categorical: Sequence[Name] = (),
    header: bool | None = None,
    bins: Mapping[str, int | list[float]] | None = None,
    missing: Literal["refuse", "drop"] = "refuse",
    images: str | None = None,
    image_column: Name | None = None,
    image_size: int | None = None,
    test: str | None = None,
    test_fraction: float = 0.5,
    name: str = "custom",
    sha256: Mapping[str, str] | None = None,
    constraints: Sequence[str] = (),
    limit: int | None = None,
    split_seed: int = 0,
) -> AmuletDataset:
    """Your own table or images as a data set; see docs/datasets.md.

    Columns of numbers are min-max scaled on the training part and clamped to [0, 1], columns of text one-hot encoded.

    Args:
        path: a .csv, .tsv, .parquet or .npz file, relative to the working directory. An NPZ file has one array per
            column; an array of two dimensions is several columns, x_0, x_1 ...; of three or four it is images.
        target: the column of classes; they are numbered in the order of their values.
        sensitive: columns of sensitive attributes, their values numbered in order.
        positive: the value that is class 1, for a target with two values; null: the second in order.
        inputs: the columns that are inputs; null: all but the target, the sensitive and the dropped ones.
        drop: columns that are not inputs.
        sensitive_as_input: whether models see the sensitive columns.
        categorical: columns of numbers or dates that are codes, to be one-hot encoded like text.
        header: whether the first line of a CSV has the names of the columns; null: it must look like names; false: the
            names are 0, 1, 2 ...
        bins: how to divide sensitive columns of numbers: into this many parts of equal size, or at these values.
        missing: refuse a table with empty fields in the columns that are used, or drop those records.
        images: the folder of the images that `image_column` lists; null: the folder of the table.
        image_column: the column with the file names of images, which are then the input.
        image_size: height and width to which images are scaled; null: all have the same size.
        test: a file with the test records, like `path`; null: `test_fraction` of the records, stratified by target.
        test_fraction: the share of the records that are test records, if `test` is null.
        name: the name of the data set in messages.
        sha256: the digests that the files of `path` and `test` must have, by these two names; null: any.
        constraints: what holds for every possible record of a table, for attacks that keep to it: `low <= high`,
            `age rises`.
        limit: at most this many training and this many test records, stratified; for quick trials.
        split_seed: which records are test records, and which `limit` takes.

    Raises:
        DataError: a file is missing, damaged, or does not have the required content.
        SettingError: a column that does not exist, or settings that contradict each other.
    """
    settings = {key: value for key, value in locals().items() if key not in _BY_CONTENT}
    if not name.strip():
        raise SettingError(f"`name` must not be empty, got {name!r}")
    in_range("limit", limit, 20, optional=True)
    in_range("test_fraction", test_fraction, above=0, below=1)
    in_range("image_size", image_size, 1, optional=True)
    one_of("missing", missing, ("refuse", "drop"))
    files = {"path": path} if test is None else {"path": path, "test": test}
    tables = [read_as_known(file, setting, sha256, header) for setting, file in files.items()]
    roles = assign(
        tables[0],
        target=target,
        sensitive=sensitive,
        inputs=inputs,
        drop=drop,
        sensitive_as_input=sensitive_as_input,
        categorical=categorical,
        bins=bins,
        image_column=image_column,
    )
    if roles.files is None and (images is not None or image_size is not None):
        raise SettingError(f"`{'images' if images is not None else 'image_size'}` needs `image_column`")
    columns, kept, said = _whole(tables, roles, missing)
    y, labels = classes(columns[roles.target], roles.target, positive)
    stream = Stream(split_seed) / "custom"
    parts = _parts(y, kept, test_fraction, stream)
    _check_labels(y, labels, parts, roles.target)
    train, tests = (part.numpy() for part in parts)
    values = {one: attribute(columns[one], one, (bins or {}).get(one), train) for one in roles.sensitive}
    contents = [table.digest for table in tables]
    more: dict[str, Any] = {}
    if roles.files is not None:
        folder = Path(images).expanduser() if images is not None else tables[0].path.parent
        paths = picture_paths(folder, columns[roles.files], roles.files)
        named = " ".join(str(path.absolute()) for path in (folder, *(table.path for table in tables)))
        x, content = read_pictures(paths, image_size, named)
        contents.append(content)
        said += _named_twice(paths, parts)
    elif roles.array is not None:
        x = _array(tables, roles.array, kept)
    else:
        coded = encode({one: columns[one] for one in roles.inputs}, roles.coded, (train, tests))
        x, more = coded.x, {"feature_names": coded.names, "groups": coded.groups, "scales": coded.scales}
        more["constraints"] = tuple(constraints)
        said += coded.warnings
    codes = [torch.from_numpy(found) for found, _ in values.values()]
    return assemble(
        name=name,
        modality="tabular" if more else "image",
        x=torch.from_numpy(x),
        y=torch.from_numpy(y),
        z=torch.stack(codes, dim=1) if codes else torch.zeros(len(y), 0, dtype=torch.int64),
        attributes=roles.sensitive,
        parts=parts,
        num_classes=len(labels),
        origin=hashlib.sha256(json.dumps([contents, settings], sort_keys=True, default=list).encode()).hexdigest(),
        stream=stream,
        limit=limit,
        labels=labels,
        values={one: names for one, (_, names) in values.items()},
        warnings=said,
        notes={
            "checksum": {table.path.name: f"sha256:{table.digest}" for table in tables},
            "target": roles.target,
            "split_seed": split_seed,
        },
        **more,
    )


_BY_CONTENT = ("path", "test", "images", "sha256", "name", "limit", "constraints")
"""Settings that do not determine the records; files count by their content."""


def read_as_known(file: str, setting: str, sha256: Mapping[str, str] | None, header: bool | None) -> Table:
    """The table in a file; `DataError` if its digest is another than the known one."""
    table = read_table(Path(file).expanduser(), header)
    expected = (sha256 or {}).get(setting, table.digest)
    if table.digest != expected:
        raise DataError(
            f"{table.path}: SHA-256 {table.digest[:16]}..., expected {expected[:16]}...: this file has changed; "
            "give the command again, or leave out dataset.sha256"
        )
    return table


def _whole(
    tables: Sequence[Table], roles: Roles, missing: str
) -> tuple[dict[str, Column], list[np.ndarray], list[str]]:
    """The columns that are used, without records with missing values; the rows of each table; warnings."""
    for other in tables[1:]:
        if lost := [name for name in roles.used if name not in other.columns]:
            raise DataError(f"{other.path}: has no column {', '.join(lost)}, which {tables[0].path} has")
    columns = {name: _joined(tables, name) for name in roles.used}
    gaps = {name: int(column.missing.sum()) for name, column in columns.items()}
    sizes = [table.rows for table in tables]
    if not any(gaps.values()):
        return columns, [np.arange(size) for size in sizes], []
    good = ~np.any([column.missing for column in columns.values()], axis=0)
    text = f"{int((~good).sum()):,} of {len(good):,} records of {tables[0].path.name} lack a value ({_worst(gaps)})"
    kept = [part.nonzero()[0] for part in np.split(good, np.cumsum(sizes)[:-1])]
    if missing == "refuse" or not all(map(len, kept)):
        lacking = [name for name in roles.inputs if gaps[name]]
        ways = ["dataset.missing=drop leaves these records out"] if all(map(len, kept)) else []
        ways += [f"dataset.drop={listed(lacking)} leaves out columns"] if lacking else []
        ways += ["dataset.inputs=[...] names the columns to keep"] if len(lacking) > 1 else []
        raise DataError(f"{text}: {', '.join(ways) or 'fill them in'}")
    whole = {name: column.take(good.nonzero()[0]) for name, column in columns.items()}
    return whole, kept, [f"{text} and are left out: the numbers hold for the others only."]


def _worst(gaps: Mapping[str, int], most: int = 5) -> str:
    ranked = sorted((name for name, count in gaps.items() if count), key=lambda name: -gaps[name])
    more = f" and {len(ranked) - most} more" if len(ranked) > most else ""
    return ", ".join(f"{name} {gaps[name]:,}" for name in ranked[:most]) + more


def _joined(tables: Sequence[Table], name: str) -> Column:
    column = _column(tables[0], name)
    for other in tables[1:]:
        try:
            column = column.joined(_column(other, name))
        except ValueError as error:
            raise DataError(
                f"{other.path}: `{name}` has texts such as {str(error)!r}, in {tables[0].path} it has numbers only"
            ) from error
    return column


def _column(table: Table, name: str) -> Column:
    try:
        return Column.of(table.columns[name])
    except ValueError as error:
        raise DataError(
            f"{table.path}: the comma of {str(error)!r} in `{name}` may be a decimal mark or stand between thousands; "
            "write such numbers with a point, and without a mark between thousands"
        ) from error


def _parts(y: np.ndarray, kept: Sequence[np.ndarray], fraction: float, stream: Stream) -> list[Tensor]:
    sizes = [len(rows) for rows in kept]
    if len(sizes) > 1:
        return list(torch.arange(len(y)).split(sizes))
    count = round(len(y) * fraction)
    if not 0 < count < len(y):
        raise DataError(f"{len(y)} records cannot be cut into a training part and {fraction:.0%} for testing")
    return stratified_split(torch.from_numpy(y), [len(y) - count, count], (stream / "split").generator())


def _check_labels(y: np.ndarray, labels: Sequence[str], parts: Sequence[Tensor], target: str) -> None:
    counts = np.bincount(y[parts[0].numpy()], minlength=len(labels))
    if not counts.all():
        names = ", ".join(label for label, count in zip(labels, counts, strict=True) if not count)
        raise DataError(f"`{target}`: no training record has the class {names}; add records, or leave that class out")


def _array(tables: Sequence[Table], name: str, kept: Sequence[np.ndarray]) -> np.ndarray:
    """Images of NPZ files, training then test."""
    parts: list[np.ndarray] = []
    for table, rows in zip(tables, kept, strict=True):
        if name not in table.pictures:
            raise DataError(f"{table.path}: has no array {name} of pictures, which {tables[0].path} has")
        part = as_pictures(table.pictures[name], f"{table.path}: {name}")
        if parts and (part.shape[1:], part.dtype) != (parts[0].shape[1:], parts[0].dtype):
            raise DataError(
                f"{table.path}: `{name}` must be pictures of shape {parts[0].shape[1:]} as in {tables[0].path}"
            )
        parts.append(part if len(rows) == len(part) else part[rows])
    return np.concatenate(parts) if len(parts) > 1 else parts[0]


def _named_twice(paths: Sequence[Path], parts: Sequence[Tensor]) -> list[str]:
    seen = {paths[i] for i in parts[0].tolist()}
    both = sum(paths[i] in seen for i in parts[1].tolist())
    return [f"{both:,} test records are pictures that training records name too: a test of memory."] if both else []
