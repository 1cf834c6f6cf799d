"""A user's images: files that a table lists, or an array; always bytes (n, channels, height, width)."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from amulet.core.errors import DataError
from amulet.datasets.custom.column import Column
from amulet.datasets.pictures import decode, mapped, prepared

_CHANNELS = (1, 3)


def picture_paths(folder: Path, files: Column, name: str) -> list[Path]:
    """The files that a column of names (n,) refers to.

    Raises:
        DataError: a file is missing; the message says how many are, and names the first.
    """
    places, names = files.distinct()
    lost = [one for one in names if not (folder / one).is_file()]
    if lost:
        more = f", nor {len(lost) - 1:,} more of the {len(names):,} pictures that `{name}` names" if lost[1:] else ""
        raise DataError(
            f"{folder / lost[0]}: not found{more}; `dataset.images` must be the folder that the names in `{name}` "
            "start from"
        )
    return [folder / names[place] for place in places.tolist()]


def read_pictures(paths: Sequence[Path], size: int | None, source: str) -> tuple[np.ndarray, str]:
    """Images from files, decoded once into the cache: (n, channels, height, width) uint8 on disk, and a digest.

    A folder whose names, sizes and times are the same as before is not decoded again.

    Args:
        paths: one per record; a file may occur twice.
        size: height and width to which all are scaled; None if all have the same size.
        source: identifies them; when the images of a source change, the previously decoded ones are deleted.

    Raises:
        DataError: a file is not an image, is damaged, or differs in size from the first where no `size` is given.
    """
    first = paths[0]
    try:
        with Image.open(first) as image:
            width, height = ImageOps.exif_transpose(image).size
    except (OSError, SyntaxError) as error:
        raise DataError(f"{first}: this picture cannot be used: {error}") from error

    side = (size, size) if size else (height, width)

    def frame(image: Image.Image) -> Image.Image:
        image = ImageOps.exif_transpose(image)
        if size:
            return image.resize((size, size), Image.Resampling.BILINEAR)
        if image.size != (width, height):
            raise ValueError(
                f"it is {image.height} x {image.width}, the first {height} x {width}; dataset.image_size=64 scales "
                "all to 64 x 64"
            )
        return image

    def fill(folder: Path) -> None:
        file = folder / "pictures.npy"
        content = decode([str(path) for path in paths], file, side, frame, "custom")
        about = {"sha256": content, "grey": _is_grey(mapped(file))}
        (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")

    folder = prepared("custom", f"{source} {size}", f"{_signature(paths)} {side}", fill)
    pictures = mapped(folder / "pictures.npy")
    about: Mapping[str, Any] = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    return np.ascontiguousarray(pictures[:, :1]) if about["grey"] else pictures, str(about["sha256"])


def as_pictures(array: np.ndarray, where: str) -> np.ndarray:
    """An array of images in any usual layout as (n, channels, height, width): bytes, or float32 in [0, 1].

    >>> as_pictures(np.zeros((5, 8, 8, 3), np.uint8), "x").shape
    (5, 3, 8, 8)
    """
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4 and array.shape[1] not in _CHANNELS and array.shape[3] in _CHANNELS:
        array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in _CHANNELS:
        shape = " x ".join(map(str, array.shape))
        raise DataError(f"{where}: pictures must be n x height x width, with 1 or 3 channels if any, got {shape}")
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    if array.dtype.kind != "f" or not (array.min() >= 0 and array.max() <= 1):
        raise DataError(f"{where}: pictures must be bytes (uint8) or numbers from 0 to 1, got {array.dtype}")
    return np.ascontiguousarray(array, np.float32)


def _is_grey(pictures: np.ndarray) -> bool:
    chunks = (pictures[start : start + 256] for start in range(0, len(pictures), 256))
    return all(bool((chunk[:, :1] == chunk[:, 1:]).all()) for chunk in chunks)


def _signature(paths: Sequence[Path]) -> str:
    """What changes when a file is replaced: names, sizes, times."""
    sha = hashlib.sha256()
    for path in paths:
        status = path.stat()
        sha.update(f"{path.absolute()}\x1f{status.st_size}\x1f{status.st_mtime_ns}\x1e".encode())
    return sha.hexdigest()
