"""The location of a data set's files: a folder that the user names, the cache, the system's folders, or a download."""

import os
from importlib.resources import files
from pathlib import Path

from amulet.core.errors import DataError
from amulet.datasets.fetching import download
from amulet.datasets.folder import Place, by_hand, few, missing
from amulet.datasets.info import DatasetInfo


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
    folder = cache_folder() / info.name
    download.fetch(info, folder)
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


def _named(info: DatasetInfo, folder: Path) -> Place:
    if not folder.is_dir():
        raise DataError(f"`dataset.root` must be a folder with the files of {info.name}, got {folder}")
    if lost := missing(info, folder):
        raise DataError(
            f"{few(lost)} not found in {folder}, which `dataset.root` names; put the files there, or leave out "
            f"`dataset.root` to use the cache or a download"
        )
    return Place(folder, "root")
