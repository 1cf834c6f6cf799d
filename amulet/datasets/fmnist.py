"""Fashion-MNIST: 70,000 grey images of clothing, in the authors' idx files."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch

from amulet.core.errors import DataError, in_range
from amulet.core.stream import Stream
from amulet.datasets.assemble import assemble
from amulet.datasets.base import AmuletDataset
from amulet.datasets.catalog import FMNIST as INFO
from amulet.datasets.checksums import check_file, md5_of, remedy, unofficial
from amulet.datasets.folder import Place
from amulet.datasets.locations import find

LABELS = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_SIDE = 28
_FOLDER = "FashionMNIST/raw"  # in torchvision's layout


def load_fmnist(*, root: str | None = None, limit: int | None = None, split_seed: int = 0) -> AmuletDataset:
    """70,000 grey images (1, 28, 28) of ten kinds of clothing, as bytes; the official split 60,000 / 10,000.

    No sensitive attributes.

    Args:
        root: a folder with the four idx files, compressed or not, directly or in `FashionMNIST/raw` or `raw`; the
            cache, the system's folder or a download if not given.
        limit: at most this many training and this many test images, stratified; for quick trials.
        split_seed: which images `limit` takes.

    Raises:
        DataError: a file is missing, damaged or not in the format, or a downloaded file is not the official one.
            Files of the user's own folder that are not the official bytes are used, with a warning in every result.
    """
    in_range("limit", limit, 20, optional=True)
    place = find(INFO, root)
    found: dict[str, str] = {}
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    for part in ("train", "t10k"):
        pictures = _read(place, f"{_FOLDER}/{part}-images-idx3-ubyte.gz", (_SIDE, _SIDE), found)
        classes = _read(place, f"{_FOLDER}/{part}-labels-idx1-ubyte.gz", (), found)
        _check_labels(place, part, classes, len(pictures))
        images.append(pictures)
        labels.append(classes)
    sizes = [len(classes) for classes in labels]
    y = torch.from_numpy(np.concatenate(labels)).long()
    return assemble(
        name="fmnist",
        modality="image",
        x=torch.from_numpy(np.concatenate(images)).unsqueeze(1),
        y=y,
        z=y.new_zeros(len(y), 0),
        attributes=(),
        parts=torch.arange(len(y)).split(sizes),
        num_classes=len(LABELS),
        origin=f"fmnist {' '.join(found.values())} {split_seed}",
        stream=Stream(split_seed) / "fmnist",
        limit=limit,
        labels=LABELS,
        warnings=unofficial(INFO, found),
        notes={"checksum": found, "licence": INFO.licence, "split_seed": split_seed},
    )


def _read(place: Place, name: str, shape: tuple[int, ...], found: dict[str, str]) -> np.ndarray:
    """The records of an idx file (n, *shape) uint8; its checksum is added to `found`."""
    path = place.file(name)
    content = _content(path, place)
    found[name] = md5_of(content)
    check_file(INFO, place, name, found[name])
    # Two zero bytes, the type (8: bytes), the number of dimensions, then each dimension as a big-endian number.
    dims = 1 + len(shape)
    start = 4 + 4 * dims
    magic = bytes((0, 0, 8, dims))
    if content[:4] != magic:
        raise _unusable(path, place, f"starts with {content[:4].hex()}, an idx file of these with {magic.hex()}")
    if len(content) < start:
        raise _unusable(path, place, f"ends within its header, after {len(content)} bytes")
    count, *side = (int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4))
    if tuple(side) != shape:
        raise _unusable(path, place, f"holds pictures of {side[0]} x {side[1]}, expected {shape[0]} x {shape[1]}")
    if not count:
        raise _unusable(path, place, "holds no records")
    if (expected := start + count * int(np.prod(shape, dtype=np.int64))) != len(content):
        raise _unusable(
            path, place, f"holds {len(content):,} bytes where {expected:,} were expected for {count:,} records"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(count, *shape)


def _content(path: Path, place: Place) -> bytes:
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _unusable(path, place, f"is no whole gzip file ({error})") from error
    except OSError as error:
        raise _unusable(path, place, f"cannot be read ({error.strerror})") from error
    if not content:
        raise _unusable(path, place, "is empty")
    return content


def _check_labels(place: Place, part: str, classes: np.ndarray, pictures: int) -> None:
    path = place.file(f"{_FOLDER}/{part}-labels-idx1-ubyte.gz")
    if len(classes) != pictures:
        raise _unusable(path, place, f"holds {len(classes):,} labels, the file of images beside it {pictures:,}")
    beyond = classes >= len(LABELS)
    if beyond.any():
        at = int(beyond.argmax())
        raise _unusable(path, place, f"holds the label {classes[at]} at record {at}, expected 0 to {len(LABELS) - 1}")


def _unusable(path: Path, place: Place, what: str) -> DataError:
    return DataError(f"{path}: {what}; {remedy(INFO, place)}")
