"""A run as a row of the page's list."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import relpath
from pathlib import Path
from typing import Any

from amulet.core.facts import MetricFacts, RunFacts
from amulet_cli.analysis.names import label_words, metric_title
from amulet_cli.base import format_numbers
from amulet_cli.base.console import here
from amulet_cli.results.following import Look
from amulet_cli.results.result import CHOICES, VICTIMS, Result
from amulet_cli.views.run_table import change_cells

UTILITY = "utility"


@dataclass(frozen=True)
class Row:
    """What the page is told of a run."""

    id: str
    cell: str
    text: str
    """As JSON."""
    metrics: Mapping[str, str] = field(default_factory=dict[str, str])
    """By key the facts of its metrics as JSON, of those that no earlier row of the same maker had."""


class Rows:
    """Makes the rows of runs.

    Args:
        roots: the folders that are followed.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = roots
        self._keys: dict[tuple[Any, ...], str] = {}
        self._told: set[str] = set()

    def of(self, look: Look) -> Row:
        """A run, read now."""
        run = look.result()
        metrics: dict[str, str] = {}
        row = self._row(run, look.changed, metrics)
        return Row(row["id"], row["cell"], as_json(row), metrics)

    def _row(self, run: Result, changed: float, metrics: dict[str, str]) -> dict[str, Any]:
        names = sorted(run.names, key=lambda name: (run.facts.order(name), name))
        return {
            "id": key_of(run.folder),
            "cell": "c" + hashlib.sha256("\0".join((*run.setting, run.hash)).encode()).hexdigest()[:12],
            "folder": self._below(run.folder),
            "state": run.standing,
            "reason": run.reason,
            "seed": run.seed,
            "changed": changed,
            "settings": label_words(run.overrides, [key for key in run.overrides if key not in (*CHOICES, "seed")]),
            "warnings": len(run.warnings),
            "trial": bool(run.trial),
            "main": _main(run, names),
            **dict(zip(("dataset", "model", "defense", "attack"), run.setting, strict=True)),
            "risks": _risks(run, names),
            "metrics": [self._metric(run, name, metrics) for name in names],
        }

    def _metric(self, run: Result, name: str, metrics: dict[str, str]) -> list[Any]:
        """Name, key of its facts, value and text of each victim, change and what it means where it decides."""
        facts = run.facts.of(name)
        values = (_number(run.value(victim, name), facts) for victim in VICTIMS)
        key = self._key(name, facts)
        if key not in self._told:
            self._told.add(key)
            metrics[key] = as_json({"name": name, **facts_of(run.facts, name)})
        return [name, key, *values, _change(run, name) if facts.decides else None]

    def _key(self, name: str, facts: MetricFacts) -> str:
        told = name, facts.label, facts.risk, facts.harm, facts.unit, facts.decides, facts.after, facts.at, facts.rank
        told = *told, *facts.subject.items()
        if told not in self._keys:
            self._keys[told] = hashlib.sha256(repr(list(told)).encode()).hexdigest()[:8]
        return self._keys[told]

    def _below(self, folder: Path) -> str:
        if len(self._roots) == 1 and folder.is_relative_to(self._roots[0]):
            return relpath(folder, self._roots[0])
        return here(folder)


def as_json(value: Any) -> str:
    """As the page is sent it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


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
