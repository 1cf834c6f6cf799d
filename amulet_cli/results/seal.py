"""The seal of a result: digests that show every reader whether it has what was written."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.files import opened, read_bytes
from amulet_cli.base.serialize import canonical_json

KEY = "seal"
"""In `metrics.json`: ``{"files": {name: SHA-256}, "content": SHA-256 of everything else in it}``, and `as_text`'s."""

_UNSEALED = 1
"""The `schema` of results from before there were seals; their `metrics.json` has no facts either."""

_BLANK = "0" * 64


def sealed(content: Mapping[str, Any], folder: Path, names: Iterable[str]) -> dict[str, Any]:
    """`content` with the digests of itself and of the files with these names in `folder`."""
    files = {name: digest(folder / name) for name in sorted(names)}
    return {**content, KEY: {"files": files, "content": _digest(content, files)}}


def as_text(whole: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    """The text of `metrics.json`, with a digest of that text itself, and the configuration.

    A reader of the same bytes need not write the content again to compare its digest, nor parse any YAML.

    Args:
        whole: what `sealed` gave.
        config: what `config.yaml` holds, which stays in its order.
    """
    text = canonical_json({**whole, KEY: {**whole[KEY], "config": json.dumps(config), "text": _BLANK}})
    return text.replace(f'"text": "{_BLANK}"', f'"text": "{hashlib.sha256(text.encode()).hexdigest()}"')


def is_as_written(content: Mapping[str, Any], text: bytes) -> bool:
    """Whether a `metrics.json` is what `as_text` gave, byte by byte; not of one from before it gave a digest."""
    known = _seal_of(content).get("text")
    if not isinstance(known, str) or len(known) != len(_BLANK):
        return False
    return hashlib.sha256(text.replace(known.encode(errors="replace"), _BLANK.encode())).hexdigest() == known


def config_in(content: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration in the seal of a `metrics.json` that is as written."""
    return json.loads(_seal_of(content)["config"])


def files_of(content: Mapping[str, Any], *, compared: bool = False) -> dict[str, str]:
    """The digests of a result's files by name; none of a result from before there were seals.

    Args:
        content: of a `metrics.json`.
        compared: whether it is known to be as written.

    Raises:
        ValueError: the content is not what was sealed, or its seal was removed.
    """
    if KEY not in content:
        if content.get("schema") != _UNSEALED or "facts" in content:
            raise ValueError("its seal is missing, which this version writes into every result")
        return {}
    seal = _seal_of(content)
    files = seal.get("files")
    if not isinstance(files, dict):
        raise ValueError("its seal is broken")
    files = cast(dict[str, str], files)
    rest = {key: value for key, value in content.items() if key != KEY}
    if not compared and seal.get("content") != _digest(rest, files):
        raise ValueError("its content is not what was written (another checksum)")
    return files


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
    sha = hashlib.sha256()
    with opened(path) as file:
        while piece := file.read(1 << 16):  # `hashlib.file_digest` clears 256 kB first, for files of two
            sha.update(piece)
    return sha.hexdigest()


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
        OSError: it cannot be read, or is no file.
    """
    return parsed(read_bytes(path))


def parsed(text: bytes) -> Any:
    """What JSON says.

    Raises:
        ValueError: it is no JSON, or nested too deeply.
    """
    from pydantic_core import from_json  # in half the time of `json`, with the same numbers

    return from_json(text, cache_strings="none")


def read_mapping(path: Path) -> dict[str, Any]:
    """What a JSON file holds by name; nothing where it cannot be read, or holds something else."""
    try:
        found: Any = read_json(path)
    except (OSError, ValueError):
        return {}
    return cast(dict[str, Any], found) if isinstance(found, dict) else {}


def _seal_of(content: Mapping[str, Any]) -> dict[str, Any]:
    seal = content.get(KEY)
    return cast(dict[str, Any], seal) if isinstance(seal, dict) else {}


def _digest(content: Mapping[str, Any], files: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps([content, files], sort_keys=True).encode()).hexdigest()
