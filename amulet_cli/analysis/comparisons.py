"""What the numbers of a row can carry: the comparison that is judged, and why it may show nothing."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import TYPE_CHECKING

from amulet.core.facts import FRACTION
from amulet_cli.analysis.rows import Row
from amulet_cli.base import format_numbers
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    from amulet.assessment.crossed import Change
    from amulet.assessment.verdict import Comparison

_SURE = 1.96  # standard errors


def is_compared(row: Row) -> bool:
    """Whether a row decides on its risk, and any of its runs measured both victims, with a number or without."""
    facts = row.facts
    return facts.decides and facts.harm != "none" and any(_measured(run, row.metric) for run in row.cell.runs.values())


def comparison(row: Row, smallest_effect: Mapping[str, float] | None = None) -> "Comparison":
    """A row as the statistics take it: both victims, seed by seed.

    Args:
        row: one metric over its seeds.
        smallest_effect: the smallest change that counts, where it is not the one that the metric states: by metric,
            with or without its prefix, or for all that are in per cent as `fraction`.
    """
    from amulet.assessment.verdict import Comparison

    before, after = row.pairs
    facts = row.facts
    smallest = smallest_of(row, smallest_effect or {})
    at_least, at_most = _limits(row, smallest)
    return Comparison(
        undefended=before,
        defended=after,
        worse="lower" if facts.harm == "lower" else "higher",
        effects=row.effects,
        most=row.facts.largest_change,
        smallest_effect=smallest,
        by_construction=bool(before) and before == after and row.cell.facts.alters_nothing,
        not_measurable=_not_measurable(row),
        invalid=_invalid(row),
        at_least=at_least,
        at_most=at_most,
    )


def smallest_of(row: Row, asked: Mapping[str, float]) -> float:
    """The smallest change of a row's metric that counts."""
    facts = row.facts
    default = asked.get(facts.unit, facts.smallest_effect) if facts.fraction else facts.smallest_effect
    return asked.get(row.metric, asked.get(facts.name, default))


def smallest_effects(text: str) -> dict[str, float]:
    """`NAME=VALUE,...` as a user writes it.

    Raises:
        UsageError: a part is no name with a positive number.
    """
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        try:
            found[name] = float(number)
        except ValueError:
            found[name] = math.nan
        if not (name and 0 <= found[name] < math.inf):
            raise UsageError(
                f"A smallest effect must be a metric's name and a number from 0 on, got {part}",
                expected="such as robust_accuracy=0.02, or fraction=0.02 for all that are in per cent",
            )
    return found


def check_smallest(where: str, smallest: Mapping[str, float], results: Sequence[Result]) -> None:
    """Names with or without a prefix, or `fraction` for all that are in per cent.

    Raises:
        UsageError: no run has such a metric.
    """
    facts = [(name, result.facts.of(name)) for result in results for name in result.names]
    known = {FRACTION, *(word for name, its in facts for word in (name, its.name))}
    for name in smallest:
        if name not in known:
            raise UsageError(f"No run has a metric named {name}", where=f"`{where}`", meant=similar(name, known))


def change_of(result: Result, metric: str) -> "tuple[Change, str] | None":
    """The change of one run, over its test records, and why it says nothing; None without a defence.

    With numbers over records that are not kept, or not shared, there is no interval.
    """
    if not _measured(result, metric):
        return None
    change = difference((result, result), VICTIMS, metric)
    reason = next(filter(None, (result.invalid.get(victim, {}).get(metric) for victim in VICTIMS)), "")
    if result.facts.collapsed and result.facts.of(metric).risk not in ("utility", ""):
        reason = f"the {' and the '.join(result.facts.collapsed)} model answers one class"
    return change, reason


def difference(runs: tuple[Result, Result], victims: Sequence[str], metric: str) -> "Change":
    """Second minus first, each of a run and a victim, over the test records if both were measured on the same ones."""
    from amulet.assessment.crossed import block_effects, paired_change

    places = list(zip(runs, victims, strict=True))
    values = [run.value(victim, metric) for run, victim in places]
    first, second = (run.influences.get(victim, {}).get(metric) for run, victim in places)
    most = runs[0].facts.of(metric).largest_change
    return paired_change(values[:1], values[1:], block_effects([(first, second)]), most=most)


def _measured(run: Result, metric: str) -> bool:
    return all(metric in run.metrics.get(victim, {}) for victim in VICTIMS)


def _not_measurable(row: Row) -> str:
    """The seeds without a number, or with one of a model that answers one class: `2 of 12 seeds: ...`."""
    runs = {seed: run for seed, run in row.cell.runs.items() if _measured(run, row.metric)}
    collapsed = {victim: [s for s, run in runs.items() if victim in run.facts.collapsed] for victim in VICTIMS}
    lost = [seed for seed in runs if seed not in row.seeds]
    reasons = [
        f"the {victim} model answers one class on {_share(seeds, runs)}" for victim, seeds in collapsed.items() if seeds
    ]
    if row.facts.risk == "utility":
        reasons = []
    rest = [seed for seed in lost if not any(seed in seeds for seeds in collapsed.values())]
    if rest or (lost and not reasons):
        reasons.append(f"there is no number on {_share(rest or lost, runs)}")
    return ", ".join(reasons)


def _invalid(row: Row) -> str:
    """Why the measurement carries no verdict, as it says itself: every reason, with its seeds."""
    found: dict[str, list[int]] = {}
    for seed, run in row.cell.runs.items():
        for victim in VICTIMS:
            if reason := run.invalid.get(victim, {}).get(row.metric, ""):
                seeds = found.setdefault(f"{victim}: {reason}", [])
                seeds.append(seed)
    return "; ".join(f"{text} ({_share(seeds, row.cell.runs)})" for text, seeds in found.items())


def _share(seeds: Sequence[int], runs: Mapping[int, Result]) -> str:
    if len(runs) == 1:
        return "its only seed"
    return f"{len(seeds)} of {len(runs)} seeds"


def _limits(row: Row, smallest: float) -> tuple[str, str]:
    """Why the undefended victim's risk can neither be seen to fall, nor to rise; empty where it can."""
    facts, before = row.facts, row.pairs[0]
    if not before or facts.harm == "none":
        return "", ""
    mean, sign = fmean(before), 1 if facts.harm == "higher" else -1
    least, most = (facts.range or (-math.inf, math.inf))[::sign]
    shown = format_numbers.number(mean, fraction=facts.fraction)
    if sign * (most - mean) <= smallest:
        return "", f"the attack succeeds on the undefended victim as far as it can ({shown})"
    if sign * (mean - least) <= smallest:
        return f"the risk of the undefended victim is as low as it can be ({shown})", ""
    bases = _baselines(row)
    # By seed, how far the attack on the undefended victim gets beyond its baseline.
    gains = [sign * (value - base) for value, base in zip(before, bases, strict=False)]
    if facts.verifies or len(gains) < len(before):
        return "", ""
    error = _error(row, gains)
    if fmean(gains) > max(_SURE * error, smallest):
        return "", ""
    base = format_numbers.number(fmean(bases), fraction=facts.fraction)
    return f"the attack on the undefended victim ({shown}) is hardly better than its baseline ({base})", ""


def _baselines(row: Row) -> list[float]:
    found = (row.cell.runs[seed].baseline(VICTIMS[0], row.metric) for seed in row.seeds)
    return [value for value in found if math.isfinite(value)]


def _error(row: Row, gains: Sequence[float]) -> float:
    """The standard error of the mean gain: over seeds, and not less than that over the records of one run."""
    spans = [row.cell.runs[seed].intervals.get(VICTIMS[0], {}).get(row.metric) for seed in row.seeds]
    over_records = [(span[1] - span[0]) / (2 * _SURE) for span in spans if span is not None]
    over_seeds = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else 0.0
    return max(over_seeds, fmean(over_records) if over_records else 0.0)
