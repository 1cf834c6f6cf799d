"""What runs measured of the subject of a rule: a number and its interval, or why there is none that counts."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from amulet_cli.analysis.comparisons import difference
from amulet_cli.analysis.gate.policy import Rule
from amulet_cli.analysis.rows import Row
from amulet_cli.base.format_numbers import plural
from amulet_cli.results.result import VICTIMS, Result

SEEDS = 5
"""Seeds that a number about the recipe needs: with fewer the interval over seeds says too little."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A number as a limit is held against it."""

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    over: str = ""
    """What the interval is over: `records`, `5 seeds`."""
    seed: int | None = None
    """Of which model; None for a number about the recipe."""
    lacks: str = ""
    """Why it has no interval."""
    missing: str = ""
    """Why there is no number that counts: then it is not measured."""


def measured(rule: Rule, row: Row, victim: str, unfinished: Sequence[Result]) -> list[Measured]:
    """What a row says about a victim: one number about the recipe, or one for each model.

    Args:
        rule: the limit; only what it is relative to matters here.
        row: one metric over its seeds.
        victim: whose number is judged.
        unfinished: runs of the same settings that have no numbers.
    """
    if reason := _missing(rule, row, victim, unfinished):
        return [Measured(missing=reason)]
    if about_recipe(row):
        return [_of_recipe(rule, row, victim)]
    return [_of_model(rule, row, victim, seed) for seed in row.cell.runs]


def about_recipe(row: Row) -> bool:
    """Whether assessing the row's risk trains victims again, so that its number is about the recipe."""
    risk = row.cell.facts.risks.get(row.facts.risk)
    if risk is None or risk.retrains is not None:
        return risk is not None and bool(risk.retrains)
    from amulet.assessment import RISKS  # a result from before runs stated it

    return risk.name in RISKS and RISKS[risk.name].retrains


def _missing(rule: Rule, row: Row, victim: str, unfinished: Sequence[Result]) -> str:
    """Why the row does not count, over all of its seeds: a limit that survivors keep is not kept."""
    runs = row.cell.runs
    victims = VICTIMS if rule.relative_to == VICTIMS[0] else (victim,)
    for run in unfinished:
        if run.seed not in runs:
            return f"seed {run.seed} is {run.state}{f': {run.reason}' if run.reason else ''}"
    for seed, run in runs.items():
        for one in victims:
            if reason := run.invalid.get(one, {}).get(row.metric, ""):
                return f"seed {seed}, {one}: {reason}"
            if one in run.facts.collapsed and row.facts.risk not in ("utility", ""):
                return f"seed {seed}: the {one} model answers one class"
            if seed not in row.values[one]:
                return f"seed {seed} has no number for the {one} victim"
        if rule.relative_to == "baseline" and not math.isfinite(run.baseline(victim, row.metric)):
            return f"seed {seed} has no baseline"
    return ""


def _of_model(rule: Rule, row: Row, victim: str, seed: int) -> Measured:
    """One model, with the interval that its test records leave."""
    run, value = row.cell.runs[seed], row.values[victim][seed]
    low, high = run.intervals.get(victim, {}).get(row.metric, (math.nan, math.nan))
    if rule.relative_to == VICTIMS[0]:
        change = difference((run, run), VICTIMS, row.metric)
        value, low, high = change.mean, change.low, change.high
    if rule.relative_to == "baseline":
        base = run.baseline(victim, row.metric)
        value, low, high = value - base, low - base, high - base
    lacks = "" if math.isfinite(low) and math.isfinite(high) else "there is no interval over the records"
    return Measured(value=value, low=low, high=high, over="records", seed=seed, lacks=lacks)


def _of_recipe(rule: Rule, row: Row, victim: str) -> Measured:
    """The mean over seeds, with Student's interval over them."""
    from amulet.assessment.crossed import ROUNDING, paired_change

    runs, after = row.cell.runs, [row.values[victim][seed] for seed in row.cell.runs]
    before = [0.0] * len(after)
    if rule.relative_to == VICTIMS[0]:
        before = [row.values[VICTIMS[0]][seed] for seed in runs]
    elif rule.relative_to == "baseline":
        before = [run.baseline(victim, row.metric) for run in runs.values()]
    n, over = len(after), plural(len(after), "seed")
    if n < SEEDS:
        value = fmean(new - old for new, old in zip(after, before, strict=True))
        lacks = f"it is about the recipe, which needs {SEEDS} seeds: there {'is' if n == 1 else 'are'} {n}"
        return Measured(value=value, over=over, lacks=lacks)
    effects = row.effects if rule.relative_to == VICTIMS[0] else None
    change = paired_change(before, after, effects, most=row.facts.largest_change)
    if not change.high - change.low > ROUNDING:  # five equal numbers do not show that a sixth would be the same
        return Measured(value=change.mean, over=over, lacks="every seed has the same number")
    no_limits = (-math.inf, math.inf)
    least, most = no_limits if rule.relative_to else row.facts.range or no_limits
    return Measured(value=change.mean, low=max(change.low, least), high=min(change.high, most), over=over)
