"""The most exposed training records as statistics: how many, and of which groups. Never a record, nor its number."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from amulet.core.intervals import clopper_pearson
from amulet_cli.analysis.rows import RunGroup
from amulet_cli.results.evidence import arrays
from amulet_cli.results.result import Result

FEWEST = 10
"""An attribute with a group of fewer exposed records than this is not counted out: a small count can name a person."""
_WHERE = "membership_inference"


@dataclass(frozen=True, kw_only=True)
class ExposedGroup:
    """One group of people among the most exposed records and among all."""

    name: str
    count: int | None
    """Among the exposed; None: fewer than `FEWEST`."""
    low: float
    """The interval of the group's share among the exposed; NaN where it is not counted out."""
    high: float
    share: float
    """Among all training records that were tried."""


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """The most exposed training records of one model."""

    seed: int
    count: int
    """How many were kept as the most exposed."""
    members: int
    others: int
    above_all: int
    """Of these, how many look more like training records than every other record."""
    by_chance: float
    """How many would, on average, if the model gave nothing away."""
    worst: float
    """The largest share of other records that looks like any of them: what naming them all costs in false alarms."""
    groups: tuple[ExposedGroup, ...]


def exposed_records(cells: Sequence[RunGroup], victim: str) -> list[Exposed]:
    """What the evidence of membership inference says of them, each model once, the model that exposes most first.

    Nothing where there is no such evidence. A measurement that stands beside several attacks is one.
    """
    runs = (run for cell in cells for run in cell.runs.values() if victim in run.manifest.get(_WHERE, {}))
    found = {repr(one): one for run in runs if (one := _of_run(run, victim))}
    return sorted(found.values(), key=lambda one: (-one.above_all, one.worst, one.seed))


def _of_run(run: Result, victim: str) -> Exposed | None:
    start = f"{victim}.{_WHERE}."
    found = {name.removeprefix(start): array for name, array in arrays(run, [start]).items() if name.startswith(start)}
    if not {"exposed.ids", "exposed.false_alarms", "ids", "members"} <= found.keys():
        return None
    alarms, members = found["exposed.false_alarms"], found["members"].astype(bool)
    if not len(alarms) or not members.any():
        return None
    others = int((~members).sum())
    return Exposed(
        seed=run.seed,
        count=len(alarms),
        members=int(members.sum()),
        others=others,
        above_all=int((alarms == 0).sum()),
        by_chance=float(members.sum()) / (others + 1),
        worst=float(alarms.max()),
        groups=_groups(found, members),
    )


def _groups(found: dict[str, NDArray[Any]], members: NDArray[np.bool_]) -> tuple[ExposedGroup, ...]:
    exposed = np.isin(found["ids"], found["exposed.ids"]) & members
    total = int(exposed.sum())
    counts: dict[str, dict[str, tuple[int, float]]] = {}
    for name, of in found.items():
        if name.startswith("groups."):
            attribute, _, value = name.removeprefix("groups.").partition(".")
            counts.setdefault(attribute, {})[value] = int(of[exposed].sum()), float(of[members].mean())
    made: list[ExposedGroup] = []
    for attribute, its in counts.items():
        hidden = any(count < FEWEST for count, _ in its.values())  # all of them: the others would give a small one away
        for value, (count, share) in its.items():
            low, high = (math.nan, math.nan) if hidden else clopper_pearson(count, total)
            name, shown = f"{attribute}: {value}", None if hidden else count
            made.append(ExposedGroup(name=name, count=shown, low=low, high=high, share=share))
    return tuple(made)
