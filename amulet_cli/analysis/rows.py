"""Runs that differ in the seed alone, and one metric of theirs."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import TYPE_CHECKING, Any

from amulet.core.facts import MetricFacts, RunFacts
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    from amulet.assessment.crossed import BlockEffects, Change
    from amulet.assessment.verdict import Summary, Verdict


@dataclass(frozen=True, kw_only=True)
class RunGroup:
    """Runs that differ in nothing but the seed."""

    labels: Mapping[str, Any]
    """Dataset, model, defence, attack, and what was swept, in the order of the table's columns."""
    runs: Mapping[int, Result]
    """By seed, in order."""

    @property
    def config(self) -> Mapping[str, Any]:
        """The configuration that they share."""
        return next(iter(self.runs.values())).config

    @cached_property
    def facts(self) -> RunFacts:
        """What they state: the first's, and the metrics of all."""
        first, *others = (run.facts for run in self.runs.values())
        metrics = {name: facts for other in reversed(others) for name, facts in other.metrics.items()}
        return dataclasses.replace(first, metrics={**metrics, **first.metrics})


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

    @cached_property
    def summaries(self) -> Mapping[str, "Summary"]:
        """Mean, error and deviation by victim."""
        from amulet.assessment.verdict import summarize

        return {victim: summarize(list(self.values[victim].values())) for victim in VICTIMS}

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
        found = [run.baselines.get(victim, {}).get(self.metric, math.nan) for run in self.cell.runs.values()]
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
        from amulet.assessment.crossed import paired_change

        return paired_change(*self.pairs, self.effects)


def value_of(run: Result, victim: str, metric: str) -> float:
    """What a run found of a victim; NaN if nothing.

    A defence that verifies ownership and alters no weight finds the same on both victims, for they are one model.
    Without it, ownership is proved as well as its baseline says: that is the undefended victim's number.
    """
    facts = run.facts.of(metric)
    if victim == VICTIMS[0] and facts.verifies and facts.decides and run.facts.alters_nothing:
        return run.baselines.get(victim, {}).get(metric, math.nan)
    return run.metrics.get(victim, {}).get(metric, math.nan)
