"""The part of a file that was downloaded so far, on disk so that another process can resume it."""

import json
from pathlib import Path
from typing import Any

from amulet.core.reporting import Stage


class Gauge:
    """Reports to a stage how many bytes of a file there are, across addresses and retries."""

    def __init__(self, stage: Stage) -> None:
        self._stage, self._shown = stage, 0

    def __call__(self, done: int, total: int | None = None) -> None:
        """Report the number of bytes so far, and the total."""
        self._stage.total = self._stage.total or total
        self._stage.advance(done - self._shown)
        self._shown = done


class Part:
    """A file that is being downloaded: the bytes so far, and what shows a server that its file has not changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._notes = path.with_name(f"{path.name}.json")

    @property
    def size(self) -> int:
        """Bytes so far."""
        return self.path.stat().st_size if self.path.exists() else 0

    def drop(self) -> None:
        """Start again."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def validator(self, address: str) -> str | None:
        """The version identifier that this address gave when the bytes came from there."""
        known = self._known()
        return known.get("validator") if known.get("address") == address else None

    def total(self) -> int | None:
        """The size of the complete file, if a server announced it."""
        return self._known().get("total")

    def came_by_form(self, address: str) -> bool:
        """Whether this address led to the file through a page with a form."""
        known = self._known()
        return known.get("address") == address and known.get("by_form", False)

    def remember(self, address: str, validator: str | None, total: int | None, *, by_form: bool) -> None:
        """Keep this for the next attempt, or the next process."""
        known = {"address": address, "validator": validator, "total": total, "by_form": by_form}
        if known != self._known():
            self._notes.write_text(json.dumps(known), encoding="utf-8")

    def _known(self) -> dict[str, Any]:
        try:
            return json.loads(self._notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
