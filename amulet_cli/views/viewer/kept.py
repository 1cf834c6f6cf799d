"""Rows that an earlier viewer made of the same folders, kept so that nothing is read twice."""

import contextlib
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from amulet import __version__
from amulet.datasets.locations import cache_folder
from amulet_cli.base.files import write_text
from amulet_cli.results.following import Signature
from amulet_cli.results.seal import read_mapping
from amulet_cli.views.viewer.feed import Feed


class Kept:
    """The file for some folders in the user's cache: rows of finished runs, with what tells whether they still hold.

    Args:
        roots: the folders that are followed.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        code = (files("amulet_cli.views.viewer") / "rows.py").read_text(encoding="utf-8")
        told = "\0".join([__version__, code, *map(str, roots)])
        self.path = cache_folder() / "viewer" / f"{hashlib.sha256(told.encode()).hexdigest()[:16]}.json"

    def restore(self, feed: Feed) -> dict[Path, Signature]:
        """Put the rows into an empty feed; the signatures of their folders. Nothing if there is no file to go by."""
        content = read_mapping(self.path)
        try:
            rows: dict[str, Any] = content["rows"]
            signatures = {Path(name): _signature(row["signature"]) for name, row in rows.items()}
            feed.restore({Path(name): row["row"] for name, row in rows.items()}, content["metrics"])
        except (KeyError, TypeError, ValueError, AttributeError):  # no file, or one of something else
            return {}
        return signatures

    def save(self, feed: Feed, signatures: dict[Path, Signature]) -> None:
        """Keep the rows of all finished runs. Where that cannot be, the next viewer reads them again."""
        rows, metrics = feed.finished()
        content = {
            "metrics": metrics,
            "rows": {
                str(folder): {"signature": signatures[folder], "row": row}
                for folder, row in rows.items()
                if folder in signatures
            },
        }
        with contextlib.suppress(OSError):
            write_text(self.path, json.dumps(content, ensure_ascii=False))
            self.path.chmod(0o600)


def _signature(value: Any) -> Signature:
    return tuple((int(mtime), int(size), int(number)) for mtime, size, number in value)
