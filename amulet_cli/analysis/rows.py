"""Runs that differ in the seed alone, and one metric of theirs."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from amulet.core.facts import MetricFacts, RunFacts
from amulet_cli.base import format_numbers
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    from amulet.assessment.crossed import BlockEffects, Change
    from amulet.assessment.verdict import Summary, Verdict

SETTING = ("dataset", "model", "defense", "attack")
_LARGE_ERROR = 0.03
_NEAR_CHANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs that differ in nothing but the seed."""

    labels: Mapping[str, Any]
    """Dataset, model, defence, attack, and what was swept, in the order of the table's columns."""
    runs: Mapping[int, Result]
    """By seed, in order."""

    @property
    def first(self) -> Result:
        """The run of the smallest seed."""
        return next(iter(self.runs.values()))

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration that they share."""
        return self.first.config

    @cached_property
    def facts(self) -> RunFacts:
        """What they state: the first's, and the metrics of all."""
        first, *others = (run.facts for run in self.runs.values())
        metrics = {name: facts for other in reversed(others) for name, facts in other.metrics.items()}
        return dataclasses.replace(first, metrics={**metrics, **first.metrics})


def groups_of(rows: "Iterable[Row]") -> list[RunGroup]:
    """The groups of some rows, each once."""
    return list({id(row.cell): row.cell for row in rows}.values())


@dataclass(frozen=True, kw_only=True)
class Row:
    """One metric of one cell over its seeds."""

    cell: RunGroup
    metric: str
    values: Mapping[str, Mapping[int, float]]
    """By victim and seed, what is finite."""
    verdict: "Verdict | None" = None
    warnings: tuple[str, ...] = ()
    """What must not be averaged away."""

    @property
    def facts(self) -> MetricFacts:
        """What the metric is about."""
        return self.cell.facts.of(self.metric)

    @property
    def fraction(self) -> bool:
        """Whether it is a share, shown in per cent, its changes in points."""
        return self.facts.fraction

    @cached_property
    def summaries(self) -> Mapping[str, "Summary"]:
        """Mean, error and deviation by victim."""
        from amulet.assessment.verdict import summarize

        return {victim: summarize(list(self.values[victim].values())) for victim in VICTIMS}

    @property
    def large_errors(self) -> list[str]:
        """By victim a standard error over the seeds that is too large for a share's mean to say much."""
        return [
            f"{victim}: standard error of {100 * summary.error:.1f} points over {summary.n} seeds"
            for victim, summary in self.summaries.items()
            if self.facts.fraction and summary.error > _LARGE_ERROR
        ]

    @cached_property
    def seeds(self) -> list[int]:
        """The seeds of which both victims have a number."""
        before, after = (self.values[victim] for victim in VICTIMS)
        return [seed for seed in before if seed in after]

    @cached_property
    def pairs(self) -> tuple[list[float], list[float]]:
        """Undefended and defended of these seeds."""
        before, after = (self.values[victim] for victim in VICTIMS)
        return [before[seed] for seed in self.seeds], [after[seed] for seed in self.seeds]

    def baseline(self, victim: str) -> float:
        """What the metric would be without the attack or the model, the mean over seeds; NaN if that is not known."""
        found = (run.baseline(victim, self.metric) for run in self.cell.runs.values())
        known = [value for value in found if math.isfinite(value)]
        return fmean(known) if known else math.nan

    @cached_property
    def effects(self) -> "BlockEffects | None":
        """How the test records move the differences; None where the runs do not share or keep them."""
        from amulet.assessment.crossed import block_effects

        kept = [self.cell.runs[seed].influences for seed in self.seeds]
        before, after = ([one.get(victim, {}).get(self.metric) for one in kept] for victim in VICTIMS)
        return block_effects(list(zip(before, after, strict=True)))

    @cached_property
    def change(self) -> "Change":
        """Defended minus undefended, over seeds and the records that they share."""
        if self.verdict is not None:
            return self.verdict.change
        from amulet.assessment.crossed import paired_change

        return paired_change(*self.pairs, self.effects, most=self.facts.largest_change)


def change_words(change: "Change", *, fraction: bool) -> tuple[str, str]:
    """A change and its interval as people read them: a dash without a change, nothing without an interval."""
    span = format_numbers.interval(change.low, change.high, fraction=fraction, signed=True)
    return format_numbers.change(change.mean, fraction=fraction), span


def above_chance(run: Result, victim: str, metric: str = "test_accuracy") -> float | None:
    """By how much an accuracy lies above always answering the majority class; None where that is no narrow margin.

    Of a stolen model the baseline is another: an independent model's accuracy.
    """
    value, chance = run.value(victim, metric), run.baseline(victim, "test_accuracy")
    return value - chance if value < chance + _NEAR_CHANCE else None


def described(run: Result, risk: str, victim: str) -> Mapping[str, Any]:
    """What a run says of how a victim's risk was measured; empty where it says nothing."""
    parts = run.manifest.get(risk)
    part = cast(Mapping[str, Any], parts).get(victim) if isinstance(parts, Mapping) else None
    return cast(Mapping[str, Any], part) if isinstance(part, Mapping) else {}


def value_of(run: Result, victim: str, metric: str) -> float:
    """What a run found of a victim; NaN if nothing.

    A defence that verifies ownership and alters no weight finds the same on both victims, for they are one model.
    Without it, ownership is proved as well as its baseline says: that is the undefended victim's number.
    """
    facts = run.facts.of(metric)
    if victim == VICTIMS[0] and facts.verifies and facts.decides and run.facts.alters_nothing:
        return run.baseline(victim, metric)
    return run.value(victim, metric)


def values_of(runs: Mapping[int, Result], metric: str) -> dict[str, dict[int, float]]:
    """By victim and seed what runs found, as far as it is finite."""
    found = {victim: {seed: value_of(run, victim, metric) for seed, run in runs.items()} for victim in VICTIMS}
    return {victim: {seed: x for seed, x in its.items() if math.isfinite(x)} for victim, its in found.items()}
