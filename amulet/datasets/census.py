"""The 1994 US census income data ("Adult", UCI), split as in the paper. Part of the package."""

import hashlib
import lzma
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from torch import Tensor

from amulet.core.errors import DataError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset, Scale
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
_EDUCATION = (
    "Preschool 1st-4th 5th-6th 7th-8th 9th 10th 11th 12th HS-grad Some-college Assoc-voc Assoc-acdm Bachelors Masters "
    "Prof-school Doctorate"
).split()
_POSSIBLE = (
    "relationship=Husband + relationship=Wife <= marital-status=Married-civ-spouse + marital-status=Married-AF-spouse",
    "occupation=? == workclass=? + workclass=Never-worked",
)
"""What holds for all of the records."""
_CONSTRAINTS = {
    "paper": _POSSIBLE,
    "full": (
        *_POSSIBLE,
        "education-num == " + " + ".join(f"{year} * education={name}" for year, name in enumerate(_EDUCATION, 1)),
    ),
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
    x, names, groups, scales = _encode(table, _ONE_HOT[encoding], parts[0])
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
        scales=scales,
        constraints=_CONSTRAINTS[encoding],
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
    fields = [_fields(_read(name, root)) for name in SHA256]
    text, categories = dict[str, np.ndarray](), dict[str, list[str]]()
    for column in (*_ONE_HOT["full"], *_ATTRIBUTES, "income"):
        text[column], categories[column] = _distinct([file[column] for file in fields])
    known = np.isin(np.array(categories["race"])[text["race"]], ("White", "Black"))
    codes: dict[str, Tensor] = {}
    for column, places in text.items():
        present, place = np.unique(places[known], return_inverse=True)
        categories[column] = [categories[column][i] for i in present.tolist()]
        codes[column] = torch.from_numpy(place)
    for column, values in _ATTRIBUTES.items():
        codes[column] = codes[column].eq(categories[column].index(values[1])).long()
    rich = torch.tensor([value.startswith(">50K") for value in categories["income"]])  # one file has `>50K.`
    codes["income"] = rich[codes["income"]].long()
    numbers = {name: np.concatenate([_number(file[name]) for file in fields])[known] for name in _NUMERIC}
    return _Table({name: torch.from_numpy(values) for name, values in numbers.items()}, codes, categories)


def _fields(content: bytes) -> dict[str, np.ndarray]:
    """By column its text in every record, (n, width) bytes, filled up with zeros."""
    text = np.frombuffer(content, np.uint8)
    commas, ends = np.flatnonzero(text == ord(",")), np.flatnonzero(text == ord("\n"))
    starts = np.append(0, ends[:-1] + 1)
    first = np.searchsorted(commas, starts)
    whole = np.searchsorted(commas, ends) - first == len(_COLUMNS) - 1
    inner = commas[first[whole, None] + np.arange(len(_COLUMNS) - 1)]
    begin = np.column_stack([starts[whole], inner + 2])  # a blank follows each comma
    length = np.column_stack([inner, ends[whole]]) - begin
    found: dict[str, np.ndarray] = {}
    padded = np.append(text, np.zeros(length.max(), np.uint8))
    for i, column in enumerate(_COLUMNS):
        place = np.arange(length[:, i].max())
        near = sliding_window_view(padded, len(place))[begin[:, i]]
        found[column] = np.where(place < length[:, i, None], near, np.uint8(0))
    return found


def _distinct(parts: Sequence[np.ndarray]) -> tuple[np.ndarray, list[str]]:
    """For each record of all files the place of its text among the different ones, and these in order."""
    width = max(part.shape[1] for part in parts)
    text = np.concatenate([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])
    weights = np.random.default_rng(0).integers(1, 2**63, width, dtype=np.uint64)
    _, first, place = np.unique(text @ weights, return_index=True, return_inverse=True)  # numbers sort faster
    words = [bytes(text[i]).rstrip(b"\0").decode("ascii") for i in first.tolist()]
    order = sorted(range(len(words)), key=words.__getitem__)
    return np.argsort(order)[place], [words[i] for i in order]


def _number(text: np.ndarray) -> np.ndarray:
    """Whole numbers, (n,) float32, from their digits."""
    value = np.zeros(len(text), np.int64)
    for digit in text.T.astype(np.int64):
        value = np.where(digit > 0, 10 * value + digit - ord("0"), value)
    return value.astype(np.float32)


def _encode(
    table: _Table, one_hot: Sequence[str], train: Tensor
) -> tuple[Tensor, tuple[str, ...], tuple[tuple[int, int], ...], dict[str, Scale]]:
    columns: list[Tensor] = []
    names: list[str] = []
    groups: list[tuple[int, int]] = []
    scales: dict[str, Scale] = {}
    for name, values in table.numbers.items():
        low, high = values[train].min(), values[train].max()
        columns.append(((values - low) / (high - low)).clamp(0, 1).unsqueeze(1))
        names.append(name)
        scales[name] = Scale(low.item(), high.item(), whole=True)
    for name in one_hot:
        categories = table.categories[name]
        columns.append(torch.nn.functional.one_hot(table.codes[name], len(categories)).float())
        groups.append((len(names), len(names) + len(categories)))
        names.extend(f"{name}={category}" for category in categories)
    return torch.cat(columns, dim=1), tuple(names), tuple(groups), scales
