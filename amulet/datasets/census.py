"""The 1994 US census income data ("Adult", UCI), split as in the paper. Part of the package."""

import hashlib
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from amulet.core.errors import DataError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset
from amulet.datasets.catalog import CENSUS as INFO
from amulet.datasets.split import stratified_split

SHA256 = {name: checksum.removeprefix("sha256:") for name, checksum in INFO.files.items()}
_COLUMNS: tuple[str, ...] = tuple(
    "age workclass fnlwgt education education-num marital-status occupation relationship race sex "
    "capital-gain capital-loss hours-per-week native-country income".split()
)
_NUMERIC = ("age", "education-num", "capital-gain", "capital-loss", "hours-per-week")
_ONE_HOT = {
    "paper": ("workclass", "marital-status", "occupation", "relationship"),
    "full": ("workclass", "marital-status", "occupation", "relationship", "education", "native-country"),
}
_ATTRIBUTES = {"race": ("Black", "White"), "sex": ("Female", "Male")}
"""By attribute the values 0 and 1."""
_TRAIN = 23_223


def load_census(
    *,
    root: str | None = None,
    encoding: Literal["paper", "full"] = "paper",
    sensitive: Sequence[str] = ("race", "sex"),
    limit: int | None = None,
    split_seed: int = 0,
) -> AmuletDataset:
    """46,447 people, 42 columns in [0, 1]; does a person earn over $50K (1) or not (0)?

    The records with race White or Black among UCI Adult's 48,842; 5 numeric columns, min-max scaled on the training
    part, and one-hot `workclass` (9; unknown is a category), `marital-status` (7), `occupation` (15) and
    `relationship` (6). Split 23,223 / 23,224, stratified by income (paper, Section 5).

    Args:
        root: a folder with `adult.data` and `adult.test`; the packaged files if not given.
        encoding: `full` adds one-hot `education` (16) and `native-country` (41): 99 columns.
        sensitive: which of `race` (White = 1, Black = 0) and `sex` (Male = 1, Female = 0) are sensitive attributes.
        limit: at most this many training and this many test records, stratified; for quick trials.
        split_seed: which split into train and test; the same for every run, whatever its seed.

    Raises:
        DataError: a file is missing, or its SHA-256 is not the official one.
    """
    one_of("encoding", encoding, _ONE_HOT)
    in_range("limit", limit, 20, optional=True)
    for name in sensitive:
        one_of("sensitive", name, _ATTRIBUTES)
    table = _table(root)
    y = table.codes["income"]
    stream = Stream(split_seed) / "census"
    parts = stratified_split(y, [_TRAIN, len(y) - _TRAIN], (stream / "split").generator())
    x, names, groups = _encode(table, _ONE_HOT[encoding], parts[0])
    z = torch.stack([table.codes[name] for name in sensitive], dim=1) if sensitive else y.new_zeros(len(y), 0)
    return assemble(
        name="census",
        modality="tabular",
        x=x,
        y=y,
        z=z,
        attributes=sensitive,
        parts=parts,
        num_classes=2,
        origin=f"census {' '.join(SHA256.values())} {encoding} {' '.join(sensitive)} {split_seed}",
        stream=stream,
        limit=limit,
        labels=("up to 50K", "over 50K"),
        values={name: _ATTRIBUTES[name] for name in sensitive},
        feature_names=names,
        groups=groups,
        notes={"checksum": SHA256, "licence": INFO.licence, "encoding": encoding, "split_seed": split_seed},
    )


def packaged(name: str) -> bytes:
    """The packaged file's original bytes; `DataError` if the package is damaged."""
    file = resources.files("amulet.datasets") / "_files" / f"{name}.xz"
    try:
        return lzma.decompress(file.read_bytes())
    except (OSError, lzma.LZMAError) as error:
        raise DataError(f"{file}: cannot be read ({error}); install the package again") from error


def _read(name: str, root: str | None) -> bytes:
    if root is None:
        where, content = f"the packaged {name}.xz", packaged(name)
    else:
        path = Path(root).expanduser() / name
        try:
            where, content = str(path), path.read_bytes()
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror}); `dataset.root` must hold adult.data and adult.test "
                "of UCI Adult, or leave it out to use the packaged files"
            ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise DataError(
            f"{where}: damaged, or not the official file: SHA-256 {found[:16]}..., expected {SHA256[name][:16]}...; "
            "leave out `dataset.root` to use the packaged files"
        )
    return content


@dataclass(frozen=True)
class _Table:
    """The records of both files, for any split."""

    numbers: Mapping[str, Tensor]
    """By numeric column: (n,) float32."""
    codes: Mapping[str, Tensor]
    """By text column: (n,) int64, the index of the category; for an attribute and the target 0 or 1."""
    categories: Mapping[str, Sequence[str]]


@lru_cache(maxsize=1)  # there is only one official version, and a sweep over splits loads it many times
def _table(root: str | None) -> _Table:
    rows = [row for name in SHA256 for row in _parse(_read(name, root))]
    columns = dict(zip(_COLUMNS, zip(*rows, strict=True), strict=True))
    numbers = {name: torch.tensor([float(value) for value in columns[name]]) for name in _NUMERIC}
    codes = {name: _is(columns[name], values[1]) for name, values in _ATTRIBUTES.items()}
    codes["income"] = torch.tensor([value.startswith(">50K") for value in columns["income"]]).long()
    categories: dict[str, list[str]] = {}
    for name in _ONE_HOT["full"]:
        categories[name] = sorted(set(columns[name]))
        place = {category: i for i, category in enumerate(categories[name])}
        codes[name] = torch.tensor([place[value] for value in columns[name]])
    return _Table(numbers, codes, categories)


def _parse(content: bytes) -> list[list[str]]:
    lines = (line.split(", ") for line in content.decode("ascii").splitlines())
    race = _COLUMNS.index("race")
    return [row for row in lines if len(row) == len(_COLUMNS) and row[race] in ("White", "Black")]


def _is(values: Sequence[str], one: str) -> Tensor:
    return torch.tensor([value == one for value in values]).long()


def _encode(
    table: _Table, one_hot: Sequence[str], train: Tensor
) -> tuple[Tensor, tuple[str, ...], tuple[tuple[int, int], ...]]:
    columns: list[Tensor] = []
    names: list[str] = []
    groups: list[tuple[int, int]] = []
    for name, values in table.numbers.items():
        low, high = values[train].min(), values[train].max()
        columns.append(((values - low) / (high - low)).clamp(0, 1).unsqueeze(1))
        names.append(name)
    for name in one_hot:
        categories = table.categories[name]
        columns.append(torch.nn.functional.one_hot(table.codes[name], len(categories)).float())
        groups.append((len(names), len(names) + len(categories)))
        names.extend(f"{name}={category}" for category in categories)
    return torch.cat(columns, dim=1), tuple(names), tuple(groups)
