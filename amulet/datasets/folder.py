"""What lies in a data set's folder, and what is missing there."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from amulet.core.errors import DataError
from amulet.datasets.info import DatasetInfo

Origin = Literal["root", "cache", "system", "download", "package"]
_MOST_NAMED = 3  # missing files that a message names


@dataclass(frozen=True)
class Place:
    """A folder with all files of a data set."""

    folder: Path
    origin: Origin

    def file(self, name: str) -> Path:
        """Where a file of `DatasetInfo.files` is.

        The folders above it and `.gz` at its end may be missing: ``a/b/c.gz`` is also found as ``b/c.gz`` or ``c``.
        What ships with the package is compressed: ``c.xz``.

        Raises:
            DataError: it is not there.
        """
        found = seek(self.folder, f"{name}.xz" if self.origin == "package" else name)
        if found is None:
            raise DataError(f"{self.folder / name}: not found, though it was there a moment ago")
        return found


def missing(info: DatasetInfo, folder: Path) -> list[str]:
    """Names of the data set's files that are not below `folder`, in the order of `info.files`."""
    return [name for name in info.files if seek(folder, name) is None]


def seek(folder: Path, name: str) -> Path | None:
    """Where below `folder` a file is, as `Place.file` finds it; None if it is not there."""
    return next((path for path in _candidates(folder, name) if _is_there(path, name)), None)


def by_hand(info: DatasetInfo, folder: Path, lost: list[str]) -> str:
    """What a person can do about files that cannot be fetched; whole sentences."""
    put = f"{few(lost)} of {info.name} can be put into {folder} by hand"
    return f"{put}: {info.by_hand}" if info.by_hand else f"{put}; the source is {info.source}"


def few(names: list[str]) -> str:
    """Some missing files by name, for a message."""
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def _candidates(folder: Path, name: str) -> Iterator[Path]:
    parts = name.rstrip("/").split("/")
    for start in range(len(parts)):
        path = folder.joinpath(*parts[start:])
        yield path
        if path.suffix == ".gz":
            yield path.with_suffix("")


def _is_there(path: Path, name: str) -> bool:
    """A file, or for a name that ends in `/` a folder with something in it."""
    try:
        return next(path.iterdir(), None) is not None if name.endswith("/") else path.is_file()
    except OSError:
        return False
