"""Runs and cells side by side: every metric of every victim, with interval, change and the way that is worse."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from amulet.core.facts import RunFacts
from amulet_cli.analysis.groups import SETTING, aggregate
from amulet_cli.analysis.names import option_names
from amulet_cli.analysis.rows import Row, RunGroup
from amulet_cli.base import format_numbers
from amulet_cli.base.console import here
from amulet_cli.base.serialize import as_text, differing, flat
from amulet_cli.results.result import VICTIMS, Result, shaping
from amulet_cli.views.row_numbers import row_numbers
from amulet_cli.views.run_table import change_cells
from amulet_cli.views.viewer.rows import facts_of

Cell = Mapping[str, Any]


class Subject(Protocol):
    """What is compared."""

    @property
    def run(self) -> Result: ...  # whose setting and facts it has
    @property
    def seeds(self) -> Sequence[int]: ...
    @property
    def facts(self) -> RunFacts: ...
    @property
    def names(self) -> Sequence[str]: ...
    def cell(self, name: str) -> Cell: ...


@dataclass(frozen=True)
class OneRun:
    """A run: intervals over its test records."""

    run: Result

    @property
    def seeds(self) -> Sequence[int]:
        return [self.run.seed]

    @property
    def facts(self) -> RunFacts:
        return self.run.facts

    @property
    def names(self) -> Sequence[str]:
        return self.run.names

    def cell(self, name: str) -> Cell:
        run, fraction = self.run, self.run.facts.of(name).fraction
        spans = {victim: run.intervals.get(victim, {}).get(name) for victim in VICTIMS}
        change, interval, word = change_cells(run, name)
        reasons = [f"{victim}: {text}" for victim in VICTIMS if (text := run.invalid.get(victim, {}).get(name, ""))]
        return {
            "victims": [
                {
                    "value": format_numbers.number(run.value(victim, name), fraction=fraction),
                    "interval": format_numbers.interval(*span, fraction=fraction) if (span := spans[victim]) else "",
                    "baseline": format_numbers.number(run.baseline(victim, name), fraction=fraction),
                }
                for victim in VICTIMS
            ],
            "change": {
                "value": change.plain.strip(),
                "interval": interval,
                "word": word.plain,
                "reason": "; ".join(reasons),
            },
        }


@dataclass(frozen=True)
class Seeds:
    """The finished runs of a cell, which differ in the seed alone: means and errors over seeds, and the verdict."""

    runs: Sequence[Result]

    @property
    def run(self) -> Result:
        return self.runs[0]

    @property
    def seeds(self) -> Sequence[int]:
        return sorted({run.seed for run in self.runs})

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        return {row.metric: row for row in aggregate(self.runs).rows}

    @property
    def facts(self) -> RunFacts:
        return next(iter(self.rows.values())).cell.facts if self.rows else self.run.facts

    @property
    def names(self) -> Sequence[str]:
        return list(self.rows)

    def cell(self, name: str) -> Cell:
        row = self.rows[name]
        numbers, fraction = row_numbers(row), row.facts.fraction
        return {
            "victims": [
                {
                    "value": value,
                    "interval": f"{len(row.values[victim])} seeds",
                    "baseline": format_numbers.number(row.baseline(victim), fraction=fraction),
                }
                for victim, value in zip(VICTIMS, numbers.victims, strict=True)
            ],
            "change": {
                "value": numbers.change,
                "interval": numbers.interval,
                "word": row.verdict.outcome if row.verdict else "",
                "reason": row.verdict.reason if row.verdict else "",
            },
        }


def subject_of(runs: Sequence[Result]) -> Subject:
    """One run as it stands; of a cell the runs that are finished, if there are several."""
    finished = [run for run in runs if run.finished]
    return Seeds(finished) if len(finished) > 1 else OneRun((finished or list(runs))[0])


def side_by_side(subjects: Mapping[str, Subject]) -> dict[str, Any]:
    """Some runs or cells by their names on the page, as JSON types: who they are, where they differ, their numbers."""
    return {
        "subjects": [{"id": name, **_described(one)} for name, one in subjects.items()],
        "settings": _differences(list(subjects.values())),
        "risks": _numbers(list(subjects.values())),
        "victims": list(VICTIMS),
    }


def _described(one: Subject) -> dict[str, Any]:
    run = one.run
    labels = dict(zip(map(str, SETTING), run.setting, strict=True))
    names = option_names([RunGroup(labels=labels, runs={run.seed: run})])
    dataset, model, defense, attack = run.setting
    return {
        "setting": " · ".join(filter(None, (dataset, model, names.get(defense, defense), names.get(attack, attack)))),
        "settings": {key: as_text(value) for key, value in run.overrides.items()},
        "seeds": list(one.seeds),
        "several": isinstance(one, Seeds),
        "state": run.standing,
        "reason": run.reason,
        "folder": here(run.folder.parent if isinstance(one, Seeds) else run.folder),
        "warnings": list(run.warnings),
    }


def _differences(subjects: Sequence[Subject]) -> list[list[Any]]:
    """The settings in which they differ: a key, and its value in each."""
    if len(subjects) < 2:
        return []
    configs = [
        {**dict(one.run.choices), **flat(shaping(one.run.config)), "seed": ", ".join(map(str, one.seeds))}
        for one in subjects
    ]
    return [[key, [as_text(config.get(key)) for config in configs]] for key in differing(configs)]


def _numbers(subjects: Sequence[Subject]) -> list[dict[str, Any]]:
    """By risk a row for each metric that any of them has; None in place of those that have it not."""
    owners: dict[str, Subject] = {}
    for one in subjects:
        owners |= {name: one for name in one.names if name not in owners}
    blocks: dict[str, list[dict[str, Any]]] = {}
    for name in sorted(owners, key=lambda name: (owners[name].facts.order(name), name)):
        owner = owners[name]
        cells = [one.cell(name) if name in one.names else None for one in subjects]
        blocks.setdefault(owner.facts.heading(owner.facts.of(name).risk), []).append(
            {"name": name, **facts_of(owner.facts, name), "cells": cells}
        )
    return [{"heading": heading, "rows": rows} for heading, rows in blocks.items()]
