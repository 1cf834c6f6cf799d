"""Ratios: every way takes its turn in one process, and medians of processor seconds are divided."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

Way = Callable[[], object]


class Row(NamedTuple):
    """One line of the table."""

    work: str
    ours: float
    """Median processor seconds."""
    other: str
    ratio: float
    """The other's seconds divided by ours: above 1, Amulet is faster."""
    note: str = ""


def medians(ways: Mapping[str, Way], repeats: int) -> dict[str, float]:
    """Median processor seconds of each way; the ways take turns, after one turn each that does not count.

    A way may return the seconds that count, where not all of its work does.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        for name, way in ways.items():
            spent = _seconds(way)
            if turn:
                seconds[name].append(spent)
    return {name: statistics.median(times) for name, times in seconds.items()}


def quickest(ways: Mapping[str, Way]) -> str:
    """The name of the way that takes the fewest processor seconds, of two turns each."""
    seconds = dict.fromkeys(ways, 0.0)
    for _ in range(2):
        for name, way in ways.items():
            seconds[name] = _seconds(way)
    return min(seconds, key=lambda name: seconds[name])


def rows(work: str, ours: Way, others: Mapping[str, Way], repeats: int, notes: Mapping[str, str]) -> Sequence[Row]:
    """Measure ours and the others in turn; a row for each of the others."""
    found = medians({"": ours} | dict(others), repeats)
    return [Row(work, found[""], name, found[name] / found[""], notes.get(name, "")) for name in others]


def _seconds(way: Way) -> float:
    began = time.process_time()
    counted = way()
    spent = time.process_time() - began
    return counted if isinstance(counted, float) else spent
