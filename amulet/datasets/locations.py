"""The location of a data set's files: a folder that the user names, the cache, the system's folders, or a download."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Literal

from amulet.core.errors import DataError
from amulet.datasets.info import DatasetInfo

Origin = Literal["root", "cache", "system", "download", "package"]
_MOST_NAMED = 3  # missing files that a message lists


@dataclass(frozen=True)
class Place:
    """A folder with all files of a data set."""

    folder: Path
    origin: Origin

    def file(self, name: str) -> Path:
        """The path of a file of `DatasetInfo.files`.

        The folders above it and `.gz` at its end may be missing: ``a/b/c.gz`` is also found as ``b/c.gz`` or ``c``.
        Files in the package are compressed: ``c.xz``.

        Raises:
            DataError: it does not exist.
        """
        found = seek(self.folder, f"{name}.xz" if self.origin == "package" else name)
        if found is None:
            raise DataError(f"{self.folder / name}: not found, though it was there a moment ago")
        return found


def cache_folder() -> Path:
    """The folder for downloads: AMULET_DATA, or else `data` in the platform's cache folder for Amulet."""
    from platformdirs import user_cache_path

    named = os.environ.get("AMULET_DATA")
    return Path(named).expanduser().absolute() if named else user_cache_path("amulet") / "data"


def find(info: DatasetInfo, root: str | None = None) -> Place:
    """The folder with the data set's files: `root` if given, else the cache, the system's folder, or a download.

    Only names are checked; the loader verifies the content.

    Raises:
        DataError: a file is missing and cannot be downloaded; the message names it, the folder to put it into, and
            where to get it.
    """
    if root is not None:
        return _named(info, Path(root).expanduser())
    if (place := locate(info)) is not None:
        return place
    from amulet.datasets.fetching.download import fetch

    folder = cache_folder() / info.name
    fetch(info, folder)
    if lost := missing(info, folder):
        raise DataError(by_hand(info, folder, lost))
    return Place(folder, "download")


def locate(info: DatasetInfo) -> Place | None:
    """The folder with all of the data set's files on this machine, or None; nothing is downloaded."""
    if info.embedded:
        return Place(Path(str(files("amulet.datasets") / "_files")), "package")
    cache = cache_folder() / info.name
    if not missing(info, cache):
        return Place(cache, "cache")
    for name in info.system:
        if not missing(info, Path(name)):
            return Place(Path(name), "system")
    return None


def missing(info: DatasetInfo, folder: Path) -> list[str]:
    """Names of the data set's files that are not in `folder`, in the order of `info.files`."""
    return [name for name in info.files if seek(folder, name) is None]


def seek(folder: Path, name: str) -> Path | None:
    """The path of a file in `folder`, found like `Place.file`; None if it does not exist."""
    return next((path for path in _candidates(folder, name) if _is_there(path, name)), None)


def by_hand(info: DatasetInfo, folder: Path, lost: list[str]) -> str:
    """What the user can do about files that cannot be downloaded; complete sentences."""
    put = f"{_few(lost)} of {info.name} can be put into {folder} by hand"
    return f"{put}: {info.by_hand}" if info.by_hand else f"{put}; the source is {info.source}"


def _named(info: DatasetInfo, folder: Path) -> Place:
    if not folder.is_dir():
        raise DataError(f"`dataset.root` must be a folder with the files of {info.name}, got {folder}")
    if lost := missing(info, folder):
        raise DataError(
            f"{_few(lost)} not found in {folder}, which `dataset.root` names; put the files there, or leave out "
            f"`dataset.root` to use the cache or a download"
        )
    return Place(folder, "root")


def _few(names: list[str]) -> str:
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
    """A file, or for a name that ends in `/` a folder that is not empty."""
    try:
        return next(path.iterdir(), None) is not None if name.endswith("/") else path.is_file()
    except OSError:
        return False
