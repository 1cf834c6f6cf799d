"""The seal of a result: digests that show every reader whether it has what was written."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.files import opened, read_bytes

KEY = "seal"
"""In `metrics.json`: ``{"files": {name: SHA-256}, "content": SHA-256 of everything else in it}``."""

_UNSEALED = 1
"""The `schema` of results from before there were seals; their `metrics.json` has no facts either."""


def sealed(content: Mapping[str, Any], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """`content` with the digests of itself and of the files with these names in `folder`."""
    files = {name: digest(folder / name) for name in sorted(names)}
    return {**content, KEY: {"files": files, "content": _digest(content, files)}}


def files_of(content: Mapping[str, Any]) -> dict[str, str]:
    """The digests of a result's files by name; none of a result from before there were seals.

    Raises:
        ValueError: the content is not what was sealed, or its seal was removed.
    """
    if KEY not in content:
        if content.get("schema") != _UNSEALED or "facts" in content:
            raise ValueError("its seal is missing, which this version writes into every result")
        return {}
    seal = content[KEY]
    files = cast(dict[str, Any], seal).get("files") if isinstance(seal, dict) else None
    if not isinstance(files, dict):
        raise ValueError("its seal is broken")
    rest = {key: value for key, value in content.items() if key != KEY}
    if cast(dict[str, Any], seal).get("content") != _digest(rest, cast(dict[str, str], files)):
        raise ValueError("its content is not what was written (another checksum)")
    return cast(dict[str, str], files)


def check(folder: Path, files: Mapping[str, str], names: Iterable[str] | None = None) -> None:
    """Compare the files with these names, or all, with their digests; that the others are there.

    Raises:
        ValueError: one is missing or has changed.
        OSError: one cannot be read.
    """
    compared = set(files if names is None else names)
    for name, known in files.items():
        try:
            if name in compared:
                if digest(folder / name) != known:
                    raise ValueError(f"`{name}` is not what was written (another checksum)")
            else:
                (folder / name).lstat()
        except FileNotFoundError:
            raise ValueError(f"`{name}` is missing") from None


def digest(path: Path) -> str:
    """SHA-256 of a regular file."""
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
        OSError: it cannot be read, or is no file.
    """
    try:
        return json.loads(read_bytes(path).decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None


def read_mapping(path: Path) -> dict[str, Any]:
    """What a JSON file holds by name; nothing where it cannot be read, or holds something else."""
    try:
        found: Any = read_json(path)
    except (OSError, ValueError):
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _digest(content: Mapping[str, Any], files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([content, files], sort_keys=True).encode()).hexdigest()
