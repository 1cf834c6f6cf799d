"""Files that should be identical to the source's: what happens, and what to report, if they are not."""

import hashlib
from collections.abc import Mapping

from amulet.core.errors import DataError
from amulet.datasets.folder import Place
from amulet.datasets.info import DatasetInfo

_MOST_NAMED = 3
_TELL = "say so beside these numbers, and do not compare them with those on the official files."


def md5_of(content: bytes) -> str:
    """A checksum in the form of `DatasetInfo.files`; MD5 because the sources publish MD5.

    >>> md5_of(b"")
    'md5:d41d8cd98f00b204e9800998ecf8427e'
    """
    return f"md5:{hashlib.md5(content, usedforsecurity=False).hexdigest()}"


def remedy(info: DatasetInfo, place: Place) -> str:
    """What to do about a file that cannot be used, by its location."""
    if place.origin == "root":
        return "put the official file there, or leave out `dataset.root` to use the cache or a download"
    if place.origin == "system":
        return "install the package it comes from again, or give a folder of your own as `dataset.root`"
    return f"delete it, then `amulet data fetch {info.name}` gets it again"


def check_file(info: DatasetInfo, place: Place, name: str, found: str) -> None:
    """Raise `DataError` unless the file is the official one, or in the user's own folder."""
    if place.origin != "root" and found != info.files[name]:
        raise DataError(
            f"{place.file(name)}: damaged, or not the official file: {_short(found)}, expected "
            f"{_short(info.files[name])}; {remedy(info, place)}"
        )


def unofficial(info: DatasetInfo, found: Mapping[str, str]) -> tuple[str, ...]:
    """What a reader of results must know about a user's own files: the names of those that are not official."""
    other = [name.rpartition("/")[2] for name, checksum in found.items() if checksum != info.files[name]]
    if not other:
        return ()
    more = f" and {len(other) - _MOST_NAMED} more" if len(other) > _MOST_NAMED else ""
    which = "All files" if len(other) == len(info.files) else f"{', '.join(other[:_MOST_NAMED])}{more}"
    return (f"{which} in `dataset.root` differ from the official bytes of {info.name}: {_TELL}",)


def _short(checksum: str) -> str:
    kind, _, value = checksum.partition(":")
    return f"{kind.upper()} {value[:16]}..."
