"""What the page knows of every run: a row each, and only those that have changed since it last asked."""

import hashlib
import json
import math
import threading
from collections.abc import Mapping, Sequence
from os.path import relpath
from pathlib import Path
from typing import Any

from amulet.core.facts import MetricFacts, RunFacts
from amulet_cli.analysis.names import label_words, metric_title
from amulet_cli.base import format_numbers
from amulet_cli.base.console import here
from amulet_cli.results.following import Seen
from amulet_cli.results.result import CHOICES, VICTIMS, Result
from amulet_cli.views.run_table import change_cells

UTILITY = "utility"


class Feed:
    """The rows of all runs, each with the revision of the feed in which it last changed."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._lock = threading.Lock()
        self._revision = 0
        self._rows: dict[str, tuple[int, str]] = {}  # as JSON, the last to change at the end
        self._gone: dict[str, int] = {}
        self._metrics: dict[str, tuple[int, str]] = {}
        self._folders: dict[str, Path] = {}
        self._cells: dict[str, str] = {}

    def keep(self, change: Seen | Path) -> None:
        """Take in what `Following.changes` found."""
        if isinstance(change, Path):
            name = key_of(change)
            with self._lock:
                self._revision += 1
                self._rows.pop(name, None)
                self._folders.pop(name, None)
                self._cells.pop(name, None)
                self._gone[name] = self._revision
            return
        self._take(change.result.folder, self._row(change))

    def restore(self, rows: Mapping[Path, dict[str, Any]], metrics: Mapping[str, dict[str, Any]]) -> None:
        """Take in what `finished` gave."""
        for key, facts in metrics.items():
            self._metrics[key] = 1, json.dumps(facts, ensure_ascii=False)
        for folder, row in rows.items():
            self._take(folder, row)

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

    def _take(self, folder: Path, row: dict[str, Any]) -> None:
        text = json.dumps(row, ensure_ascii=False, allow_nan=False)
        with self._lock:
            self._revision += 1
            self._gone.pop(row["id"], None)
            self._rows.pop(row["id"], None)
            self._rows[row["id"]] = self._revision, text
            self._folders[row["id"]] = folder
            self._cells[row["id"]] = row["cell"]

    def _row(self, seen: Seen) -> dict[str, Any]:
        run = seen.result
        names = sorted(run.names, key=lambda name: (run.facts.order(name), name))
        return {
            "id": key_of(run.folder),
            "cell": "c" + hashlib.sha256("\0".join((*run.setting, run.hash)).encode()).hexdigest()[:12],
            "folder": self._below(run.folder),
            "state": run.standing,
            "reason": run.reason,
            "seed": run.seed,
            "changed": seen.changed,
            "settings": label_words(run.overrides, [key for key in run.overrides if key not in (*CHOICES, "seed")]),
            "warnings": len(run.warnings),
            "trial": bool(run.trial),
            "main": _main(run, names),
            **dict(zip(("dataset", "model", "defense", "attack"), run.setting, strict=True)),
            "risks": _risks(run, names),
            "metrics": [self._metric(run, name) for name in names],
        }

    def _metric(self, run: Result, name: str) -> list[Any]:
        """Name, key of its facts, value and text of each victim, change and what it means where it decides."""
        facts = run.facts.of(name)
        values = (_number(run.value(victim, name), facts) for victim in VICTIMS)
        return [name, self._key(run, name, facts), *values, _change(run, name) if facts.decides else None]

    def _key(self, run: Result, name: str, facts: MetricFacts) -> str:
        told = [name, facts.label, facts.risk, facts.harm, facts.unit, facts.decides, facts.after, facts.at, facts.rank]
        key = hashlib.sha256(repr([*told, *facts.subject.items()]).encode()).hexdigest()[:8]
        if key not in self._metrics:
            text = json.dumps({"name": name, **facts_of(run.facts, name)}, ensure_ascii=False)
            with self._lock:
                self._metrics[key] = self._revision + 1, text
        return key

    def _below(self, folder: Path) -> str:
        if len(self._roots) == 1 and folder.is_relative_to(self._roots[0]):
            return relpath(folder, self._roots[0])
        return here(folder)


def key_of(folder: Path) -> str:
    """What the page calls a run: the same each time the same folder is looked at."""
    return "r" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]


def facts_of(run: RunFacts, name: str) -> dict[str, Any]:
    """A metric's facts as the page needs them, from what the run states."""
    facts = run.of(name)
    title = metric_title(facts, run)
    return {
        "title": f"{title} at {facts.at}" if facts.at else title,
        "unit": "per cent" if facts.fraction else facts.unit,
        "harm": facts.harm,
        "decides": facts.decides,
        "risk": run.heading(facts.risk),
    }


def _change(run: Result, name: str) -> list[str]:
    change, interval, word = change_cells(run, name)
    return [change.plain.strip(), interval, word.plain]


def _number(value: float, facts: MetricFacts) -> list[Any] | None:
    if not math.isfinite(value):
        return None
    return [value, format_numbers.number(value, fraction=facts.fraction)]


def _main(run: Result, names: Sequence[str]) -> str:
    """The metric that a run is about: what decides the attacked risk, else the first risk, else the first of all."""
    deciding = [name for name in names if run.facts.of(name).decides]
    attacked = [name for name in deciding if run.facts.of(name).risk == run.facts.attacked]
    others = [name for name in deciding if run.facts.of(name).risk != UTILITY]
    return next(iter((*attacked, *others, *deciding, *names)), "")


def _risks(run: Result, names: Sequence[str]) -> list[str]:
    """The headings of the risks that were measured, or that the attack was meant for."""
    risks = dict.fromkeys(run.facts.of(name).risk for name in names)
    risks |= {run.facts.attacked: None} if run.facts.attacked else {}
    return [run.facts.heading(risk) for risk in risks if risk and risk != UTILITY]
