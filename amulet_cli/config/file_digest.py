"""A user's data files by their content: other content gives another result, whatever the file's name."""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import NotAFile, located
from amulet_cli.results import seal

_FILES = ("path", "test")
"""Settings that name a file."""


def with_digests(node: Any, key: str = "dataset") -> Any:
    """A data set's or a model's node with `sha256` filled in, if it is null: ``{setting: digest of its file}``.

    The loader reports a missing file.

    Raises:
        UsageError: it is a device, a pipe, a folder.
    """
    if not isinstance(node, Mapping) or cast(Mapping[str, Any], node).get("sha256", "") is not None:
        return node
    settings = cast(Mapping[str, Any], node)
    digests: dict[str, str] = {}
    for name in _FILES:
        if isinstance(settings.get(name), str):
            path = located(settings[name])
            try:
                status = path.stat()
                digests[name] = digest(path, status.st_mtime_ns, status.st_size)
            except NotAFile as error:
                raise UsageError(
                    f"`{key}.{name}` must be a file, got {settings[name]}", where=error.strerror
                ) from error
            except (OSError, ValueError):
                continue
    return {**settings, "sha256": digests or None}


@lru_cache(maxsize=8)
def digest(path: Path, modified: int, size: int) -> str:
    """SHA-256 of a file, read only once for all jobs of a sweep while it is the same."""
    return seal.digest(path)
