"""The files of a run for the page: from its own folder alone, never through a link."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from amulet_cli.base.files import located, opened

_TEXTS = (".json", ".yaml", ".csv", ".log", ".txt", ".md")
_TAIL = 64 << 10  # bytes of a log's end
TYPES: Mapping[str, str] = {**dict.fromkeys(_TEXTS, "text/plain; charset=utf-8"), ".png": "image/png"}
"""What a browser may show, by the ending of a file's name; anything else is saved."""


def listed(folder: Path) -> list[dict[str, Any]]:
    """Name, size and whether a browser shows it, of every regular file that lies in the folder itself."""
    found: list[dict[str, Any]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                    kind = TYPES.get(Path(entry.name).suffix, "")
                    size = entry.stat(follow_symlinks=False).st_size
                    found.append({"name": entry.name, "size": size, "kind": kind.partition("/")[0]})
    except OSError:  # the folder is gone, or closed to this user
        return []
    return found


def open_in(folder: Path, name: str) -> BinaryIO:
    """One of the files that are `listed`, open for reading.

    Raises:
        FileNotFoundError: there is none of that name: no path, no link, nothing but a regular file counts.
    """
    if name not in {one["name"] for one in listed(folder)} or located(folder) != folder:
        raise FileNotFoundError(name)
    before = os.lstat(folder / name)
    file = opened(folder / name)
    now = os.fstat(file.fileno())
    if not stat.S_ISREG(before.st_mode) or (before.st_dev, before.st_ino) != (now.st_dev, now.st_ino):
        file.close()  # something was put in its place meanwhile
        raise FileNotFoundError(name)
    return file


def tail(folder: Path, name: str) -> str:
    """The end of a text, whole lines; empty where there is none."""
    try:
        with open_in(folder, name) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(size - _TAIL, 0))
            text = file.read(_TAIL).decode(errors="replace")
    except OSError:
        return ""
    return text if size <= _TAIL else text.partition("\n")[2]
