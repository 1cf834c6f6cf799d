"""Whether a file is what its source published: checksums of contents, compressed or not."""

import gzip
import hashlib
import lzma
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, cast

from amulet.core.errors import DataError
from amulet.datasets.folder import Place
from amulet.datasets.info import DatasetInfo

State = Literal["official", "unlike the official one", "unchecked", "unreadable"]
_CHUNK = 1 << 20
_OPENERS: dict[str, Callable[[Path], object]] = {".gz": gzip.open, ".xz": lzma.open}


def matches(path: Path, checksum: str, *, unpacked: bool = False) -> bool:
    """Does the file have this `sha256:...` or `md5:...`? With `unpacked`, the content of a `.gz` or `.xz` file counts.

    Raises:
        OSError: it cannot be read; for a compressed file also: it is damaged.
    """
    algorithm, _, expected = checksum.partition(":")
    return digest(path, algorithm, unpacked=unpacked) == expected


def digest(path: Path, algorithm: str, *, unpacked: bool = False) -> str:
    """The checksum as hexadecimal digits; raises like `matches`."""
    running = hashlib.new(algorithm, usedforsecurity=False)
    opener = _OPENERS.get(path.suffix) if unpacked else None
    try:
        with cast(BinaryIO, opener(path)) if opener else path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                running.update(chunk)
    except (EOFError, lzma.LZMAError, zlib.error) as error:
        raise OSError(f"cannot be decompressed: {error}") from error
    return running.hexdigest()


def check(info: DatasetInfo, place: Place) -> dict[str, State]:
    """Read every file of a data set and compare it with the checksum that its source published."""
    return {name: _state(place, name, checksum) for name, checksum in info.files.items()}


def _state(place: Place, name: str, checksum: str) -> State:
    try:
        path = place.file(name)
        if not checksum:
            return "unchecked"
        return "official" if matches(path, checksum, unpacked=True) else "unlike the official one"
    except (OSError, DataError):
        return "unreadable"
