"""The numbers of a row as every view writes them."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amulet_cli.analysis.rows import Row, change_words
from amulet_cli.base import format_numbers
from amulet_cli.results.result import VICTIMS

if TYPE_CHECKING:
    from amulet.assessment.verdict import Verdict

INTERVAL = "its 95% interval over seeds and the test records that they share"


@dataclass(frozen=True)
class RowNumbers:
    """Fractions in per cent, changes in points."""

    victims: tuple[str, ...]
    """Mean and error of each victim; `-` where there is none."""
    baselines: tuple[str, ...]
    change: str
    interval: str
    n: int


def row_numbers(row: Row) -> RowNumbers:
    """As texts for tables."""
    fraction, summaries = row.facts.fraction, [row.summaries[victim] for victim in VICTIMS]
    change, interval = change_words(row.change, fraction=fraction)
    return RowNumbers(
        victims=tuple(format_numbers.plus_minus(s.mean, s.error, fraction=fraction) for s in summaries),
        baselines=tuple(format_numbers.number(row.baseline(v), fraction=fraction, unit=False) for v in VICTIMS),
        change=change,
        interval=interval,
        n=row.change.n or max(summary.n for summary in summaries),
    )


def victim_records(row: Row, *, count: bool = False) -> dict[str, float]:
    """For files: each victim's mean over seeds with its spread, and the baseline; with `count` also how many seeds."""
    record: dict[str, float] = {}
    for victim, summary in row.summaries.items():
        record |= {f"{victim}_n": summary.n} if count else {}
        record |= {f"{victim}_{name}": getattr(summary, name) for name in ("mean", "error", "sd")}
        record[f"{victim}_baseline"] = row.baseline(victim)
    return record


def seed_records(row: Row) -> dict[str, str]:
    """For files: each victim's exact values as `0:0.83 1:0.84`."""
    values = ((victim, row.values[victim].items()) for victim in VICTIMS)
    return {f"{victim}_by_seed": " ".join(f"{seed}:{value!r}" for seed, value in its) for victim, its in values}


def change_record(row: Row, verdict: "Verdict | None") -> dict[str, Any]:
    """For files: the change with all that its verdict rests on. Fractions, not per cent."""
    change = verdict.change if verdict else row.change
    return {
        "change": change.mean,
        "change_error": change.error,
        "change_error_seeds": change.seeds_error,
        "change_error_records": change.records_error,
        "change_sd": change.sd,
        "change_low": change.low,
        "change_high": change.high,
        "p_value": change.p_value,
        "p_sign_flip": change.sign_flip,
        "p_holm": verdict.p_value if verdict else math.nan,
        "verdict": verdict.outcome if verdict else "",
        "reason": verdict.reason if verdict else "",
        "detectable": verdict.detectable if verdict else math.nan,
        "smallest_effect": verdict.smallest_effect if verdict else row.facts.smallest_effect,
    }
