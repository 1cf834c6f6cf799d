"""Runs over their seeds: which runs belong together, what they have in common, and what may be said about them."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from amulet_cli.analysis.comparisons import comparison, is_compared
from amulet_cli.analysis.names import option_names
from amulet_cli.analysis.rows import SETTING, Row, RunGroup, above_chance, groups_of, values_of
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text, canonical_json, differing, flat, plain
from amulet_cli.results.result import VICTIMS, Result, shaping, without_trials
from amulet_cli.results.schema1 import renamed

if TYPE_CHECKING:
    from amulet.assessment.verdict import Comparison, Verdict

_JUDGED_BY_CHANCE = ("test_accuracy", "stolen_test_accuracy")


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows, what all runs have in common, and what is missing."""

    rows: Sequence[Row]
    keys: Sequence[str]
    """The labels that tell cells apart beyond the setting."""
    common: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Overrides that all runs share."""
    notes: Sequence[str] = ()
    missing: Sequence[Result] = ()
    """Runs that are not finished or cannot be read."""

    @cached_property
    def cells(self) -> list[RunGroup]:
        """The groups of runs that the rows are of."""
        return groups_of(self.rows)

    @property
    def runs(self) -> list[Result]:
        """Their runs."""
        return [run for cell in self.cells for run in cell.runs.values()]

    @cached_property
    def names(self) -> dict[str, str]:
        """By option of a defence or an attack its name for people."""
        return option_names(self.cells)

    @cached_property
    def judged(self) -> "list[tuple[Verdict, list[Row]]]":
        """Every verdict with its rows: one measurement in several settings has one."""
        found: dict[int, tuple[Verdict, list[Row]]] = {}
        for row in self.rows:
            if row.verdict is not None:
                found.setdefault(id(row.verdict), (row.verdict, []))[1].append(row)
        return list(found.values())

    @property
    def tested(self) -> int:
        """How many comparisons the verdicts are corrected for."""
        return sum(not math.isnan(verdict.p_value) for verdict, _ in self.judged)

    @cached_property
    def telling(self) -> list[str]:
        """The labels in which the rows differ."""
        return differing([row.cell.labels for row in self.rows])


def aggregate(
    results: Sequence[Result], metrics: Sequence[str] = (), smallest_effect: Mapping[str, float] | None = None
) -> Report:
    """Group runs by all that shapes them but the seed, and compare the victims seed by seed.

    Args:
        results: any runs, finished or not.
        metrics: only these; a name without its prefix (`auc`) takes them all.
        smallest_effect: by metric, the smallest change that counts, where it is not the one that the metric states.
    """
    asked = {renamed(name) for name in metrics}
    results, trials = without_trials(results)
    cells, notes = _cells([result for result in results if result.finished])
    cells, keys, common = _labelled(cells)
    rows: list[Row] = []
    for cell in sorted(cells, key=lambda cell: [natural(value) for value in cell.labels.values()]):
        names = dict.fromkeys(name for run in cell.runs.values() for name in run.names)
        wanted = [name for name in names if not asked or name in asked or cell.facts.of(name).name in asked]
        rows += [_row(cell, name) for name in sorted(wanted, key=cell.facts.order)]
    notes += [trials] if trials else []
    missing = [result for result in results if not result.finished]
    return Report(rows=_judged(rows, smallest_effect), keys=keys, common=common, notes=notes, missing=missing)


def natural(value: Any) -> tuple[int, float, str]:
    """Sorts numbers as numbers, also those written as text, before words.

    >>> sorted(["b", 0.1, "0.03", 2, None, "a"], key=natural)
    [None, '0.03', 0.1, 2, 'a', 'b']
    """
    if value is None:
        return 0, 0.0, ""
    try:
        return 1, float(value), ""
    except (TypeError, ValueError):
        return 2, 0.0, as_text(value)


def _cells(results: Sequence[Result]) -> tuple[list[RunGroup], list[str]]:
    groups: defaultdict[tuple[str, ...], dict[int, Result]] = defaultdict(dict)
    notes: list[str] = []
    for result in results:
        runs = groups[(*result.setting, result.hash)]
        first = runs.setdefault(result.seed, result)
        if first is not result:
            same = "the same run" if first.metrics == result.metrics else "the same command with other numbers"
            notes.append(f"{result.folder} is {same} as {first.folder}; it is left out")
    cells = [RunGroup(labels={}, runs=dict(sorted(runs.items()))) for runs in groups.values()]
    return cells, notes


def _labelled(cells: Sequence[RunGroup]) -> tuple[list[RunGroup], list[str], dict[str, Any]]:
    """Give every cell its labels: the overrides that vary, and where these leave two the same, what differs in them."""
    overrides = [cell.first.overrides for cell in cells]
    keys = differing(overrides)
    common = {key: value for asked in overrides[:1] for key, value in asked.items() if key not in keys}
    configs = [flat(shaping(cell.config)) for cell in cells]
    keys = _telling(cells, overrides, configs, keys)
    labelled: list[RunGroup] = []
    for cell, asked, config in zip(cells, overrides, configs, strict=True):
        set_here = {"config": cell.first.hash, **config, **asked}
        labels = dict(zip(SETTING, cell.first.setting, strict=True)) | {key: set_here.get(key) for key in keys}
        labelled.append(RunGroup(labels=labels, runs=cell.runs))
    return labelled, keys, common


def _telling(
    cells: Sequence[RunGroup],
    overrides: Sequence[Mapping[str, Any]],
    configs: Sequence[Mapping[str, Any]],
    keys: list[str],
) -> list[str]:
    """`keys`, and those of the configurations that tell apart the groups that `keys` leave the same."""
    similar: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, cell in enumerate(cells):
        shown = (as_text(overrides[i].get(key, configs[i].get(key))) for key in keys)
        similar[(*cell.first.setting, *shown)].append(i)
    more: dict[str, None] = {}
    for same in similar.values():
        if len(same) > 1:
            more |= dict.fromkeys(differing([configs[i] for i in same]) or ["config"])
    return [*keys, *(key for key in more if key not in keys)]


def _row(cell: RunGroup, metric: str) -> Row:
    row = Row(cell=cell, metric=metric, values=values_of(cell.runs, metric))
    flags: list[str] = []
    for victim in VICTIMS if metric in _JUDGED_BY_CHANCE else ():
        near = {seed: run for seed, run in cell.runs.items() if above_chance(run, victim, metric) is not None}
        if near:
            chance = [*near.values()][-1].baseline(victim, "test_accuracy")
            flags.append(_near(victim, {seed: run.value(victim, metric) for seed, run in near.items()}, chance))
    return dataclasses.replace(row, warnings=(*flags, *row.large_errors))


def _near(victim: str, found: Mapping[int, float], chance: float) -> str:
    """Seeds whose accuracy is hardly above what needs no model.

    >>> _near("defended", {0: 0.601, 3: 0.658}, 0.7595)
    'defended, seeds 0, 3: 60.10% to 65.80%, where always answering the majority class gives 75.95%'
    """
    low, high = (format_numbers.number(pick(found.values())) for pick in (min, max))
    values = low if low == high else f"{low} to {high}"
    seeds = f"seed{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"
    return (
        f"{victim}, {seeds}: {values}, where always answering the majority class gives {format_numbers.number(chance)}"
    )


def _judged(rows: Sequence[Row], smallest_effect: Mapping[str, float] | None = None) -> list[Row]:
    """Verdicts for the rows that decide on their risk, corrected over all of them."""
    from amulet.assessment.verdict import judge

    grid: dict[str, Comparison] = {}
    keys: dict[int, str] = {}
    for i, row in enumerate(rows):
        if is_compared(row):
            keys[i] = _measurement(row)
            grid[keys[i]] = comparison(row, smallest_effect)
    verdicts = judge(grid)
    return [dataclasses.replace(row, verdict=verdicts[keys[i]]) if i in keys else row for i, row in enumerate(rows)]


def _measurement(row: Row) -> str:
    """What a comparison measures: a defence's own risk, which is measured beside every attack, is one comparison."""
    config = shaping(row.cell.config)
    made = {key: value for key, value in config.items() if key not in ("attack", "metric")}
    setting = [row.cell.labels[key] for key in ("dataset", "model", "defense")]
    return canonical_json(plain([row.metric, setting, row.values, made], finite=False))
