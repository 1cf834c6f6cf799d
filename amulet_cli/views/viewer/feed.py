"""What the page knows of every run: a row each, and only those that have changed since it last asked."""

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amulet_cli.views.viewer.rows import Row, as_json, key_of


class Feed:
    """The rows of all runs, each with the revision of the feed in which it last changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._revision = 0
        self._rows: dict[str, tuple[int, str]] = {}  # as JSON, the last to change at the end
        self._gone: dict[str, int] = {}
        self._metrics: dict[str, tuple[int, str]] = {}
        self._folders: dict[str, Path] = {}
        self._cells: dict[str, str] = {}

    def keep(self, folder: Path, row: Row | None) -> None:
        """Take in what `Following.changes` found: a row, or None for a folder that is gone."""
        with self._lock:
            self._revision += 1
            if row is None:
                name = key_of(folder)
                self._rows.pop(name, None)
                self._folders.pop(name, None)
                self._cells.pop(name, None)
                self._gone[name] = self._revision
                return
            for key, facts in row.metrics.items():
                self._metrics.setdefault(key, (self._revision, facts))
            self._gone.pop(row.id, None)
            self._rows.pop(row.id, None)
            self._rows[row.id] = self._revision, row.text
            self._folders[row.id] = folder
            self._cells[row.id] = row.cell

    def restore(self, rows: Mapping[Path, dict[str, Any]], metrics: Mapping[str, dict[str, Any]]) -> None:
        """Take in what `finished` gave."""
        for key, facts in metrics.items():
            self._metrics[key] = 1, json.dumps(facts, ensure_ascii=False)
        for folder, row in rows.items():
            self.keep(folder, Row(row["id"], row["cell"], as_json(row)))

    def finished(self) -> tuple[dict[Path, dict[str, Any]], dict[str, dict[str, Any]]]:
        """By folder the rows of runs that are done, and the facts of metrics."""
        with self._lock:
            rows = {self._folders[name]: json.loads(text) for name, (_, text) in self._rows.items()}
            metrics = {key: json.loads(text) for key, (_, text) in self._metrics.items()}
        return {folder: row for folder, row in rows.items() if row["state"] == "done"}, metrics

    def since(self, revision: int, **more: Any) -> str:
        """As JSON, everything that changed after a revision: rows, names of rows that are gone, facts of metrics."""
        with self._lock:
            rows: list[str] = []
            for known, text in reversed(self._rows.values()):
                if known <= revision:
                    break
                rows.append(text)
            gone = [name for name, known in self._gone.items() if known > revision]
            metrics = [f"{json.dumps(key)}:{text}" for key, (known, text) in self._metrics.items() if known > revision]
            head = json.dumps({"revision": self._revision, "gone": gone, **more}, ensure_ascii=False)
        return f'{head[:-1]},"runs":[{",".join(rows)}],"metrics":{{{",".join(metrics)}}}}}'

    def folders(self, name: str) -> list[Path]:
        """The folder of a run; or of all runs of a cell, which differ in the seed alone.

        Raises:
            KeyError: there is neither.
        """
        with self._lock:
            if name in self._folders:
                return [self._folders[name]]
            found = [self._folders[run] for run, cell in self._cells.items() if cell == name]
        if not found:
            raise KeyError(name)
        return found
