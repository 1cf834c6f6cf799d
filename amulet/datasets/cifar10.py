"""CIFAR-10: 60,000 small colour images, in the authors' Python batches."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from amulet.core.errors import DataError, in_range
from amulet.core.reporting import current_reporter
from amulet.core.stream import Stream
from amulet.datasets import inert_pickle
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset
from amulet.datasets.catalog import CIFAR10 as INFO
from amulet.datasets.checksums import check_file, md5_of, remedy, unofficial
from amulet.datasets.folder import Place
from amulet.datasets.locations import find

LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_BATCH = 10_000


def load_cifar10(*, root: str | None = None, limit: int | None = None, split_seed: int = 0) -> AmuletDataset:
    """60,000 colour images (3, 32, 32) of ten classes, as bytes; the official split 50,000 / 10,000.

    The batches are pickles, which are read without calling anything that they name. No sensitive attributes.

    Args:
        root: a folder with `data_batch_1` to `data_batch_5` and `test_batch`, directly or in `cifar-10-batches-py`;
            the cache or a download if not given.
        limit: at most this many training and this many test images, stratified; for quick trials.
        split_seed: which images `limit` takes.

    Raises:
        DataError: a file is missing, damaged or not in the format, or a downloaded file is not the official one.
            Files of the user's own folder that are not the official bytes are used, with a warning in every result.
    """
    in_range("limit", limit, 20, optional=True)
    place = find(INFO, root)
    found: dict[str, str] = {}
    pixels = np.empty((len(INFO.files) * _BATCH, _PIXELS), np.uint8)  # once for all, not once per batch
    labels: list[int] = []
    sizes = [0, 0]
    with current_reporter().stage("read cifar10", len(INFO.files), "batch") as stage:
        for name in INFO.files:
            pictures, classes = _batch(place, name, found)
            pixels[len(labels) : len(labels) + len(pictures)] = pictures
            labels += classes
            sizes[name.endswith("test_batch")] += len(classes)
            stage.advance()
    y = torch.tensor(labels)
    return assemble(
        name="cifar10",
        modality="image",
        x=torch.from_numpy(pixels[: len(labels)]).view(-1, *_SHAPE),
        y=y,
        z=y.new_zeros(len(y), 0),
        attributes=(),
        parts=torch.arange(len(y)).split(sizes),
        num_classes=len(LABELS),
        origin=f"cifar10 {' '.join(found.values())} {split_seed}",
        stream=Stream(split_seed) / "cifar10",
        limit=limit,
        labels=LABELS,
        warnings=unofficial(INFO, found),
        notes={"checksum": found, "licence": INFO.licence, "split_seed": split_seed},
    )


def _batch(place: Place, name: str, found: dict[str, str]) -> tuple[np.ndarray, list[int]]:
    """The images (n, 3072) uint8 and labels of a batch; its checksum is added to `found`."""
    path = place.file(name)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unusable(path, place, f"cannot be read ({error.strerror})") from error
    found[name] = md5_of(content)
    check_file(INFO, place, name, found[name])
    try:
        batch = inert_pickle.read(content)
    except inert_pickle.Refusal as error:
        raise DataError(
            f"{path}: refused, because it names `{error}`: arrays and plain values are all that is read from a "
            f"pickle, since anything else could run code; {remedy(INFO, place)}"
        ) from error
    except pickle.UnpicklingError as error:
        raise _unusable(path, place, f"cannot be read as a batch of CIFAR-10 ({error})") from error
    return _pictures(path, place, batch), _labels(path, place, batch)


def _pictures(path: Path, place: Place, batch: Any) -> np.ndarray:
    array = _entry(path, place, batch, "data")
    if not isinstance(array, inert_pickle.Array):
        raise _unusable(path, place, f"`data` must be an array, got {type(array).__name__}")
    try:
        pictures = array.bytes_of()
    except (ValueError, TypeError) as error:
        raise _unusable(path, place, f"`data` cannot be used: {error}") from error
    if pictures.ndim != 2 or pictures.shape[1] != _PIXELS or not 0 < len(pictures) <= _BATCH:
        shape = " x ".join(map(str, pictures.shape))
        raise _unusable(path, place, f"`data` must be 1 to {_BATCH:,} pictures of {_PIXELS:,} bytes, got {shape}")
    labels = _entry(path, place, batch, "labels")
    if not isinstance(labels, list) or len(cast(list[Any], labels)) != len(pictures):
        count = f"{len(cast(list[Any], labels)):,}" if isinstance(labels, list) else f"a {type(labels).__name__}"
        raise _unusable(path, place, f"`labels` must be a list of {len(pictures):,} numbers as `data`, got {count}")
    return pictures


def _labels(path: Path, place: Place, batch: Any) -> list[int]:
    labels = cast(list[Any], _entry(path, place, batch, "labels"))
    for i, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < len(LABELS):
            last = len(LABELS) - 1
            raise _unusable(path, place, f"holds the label {label!r:.40} at record {i}, expected 0 to {last}")
    return labels


def _entry(path: Path, place: Place, batch: Any, key: str) -> Any:
    """An entry of a batch; the official batches were written by Python 2, so their keys are bytes."""
    if not isinstance(batch, Mapping):
        raise _unusable(path, place, f"holds a {type(batch).__name__} instead of a batch of pictures")
    entries = cast(Mapping[Any, Any], batch)
    if (value := entries.get(key, entries.get(key.encode()))) is None:
        raise _unusable(path, place, f"has no `{key}`; a batch has `data` and `labels`")
    return value


def _unusable(path: Path, place: Place, what: str) -> DataError:
    return DataError(f"{path}: {what}; {remedy(INFO, place)}")
