"""Evidence and measurements: equal or not, in shape, about the records that they name."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import numpy as np

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Harm, MetricFacts
from amulet.datasets.base import AmuletDataset


def difference(first: Evidence, second: Evidence) -> str:
    """The first thing in which two pieces of evidence differ; empty if they are the same."""
    one, other = first.arrays(), second.arrays()
    for name in sorted(one.keys() | other.keys()):
        if name not in one or name not in other or not _equal(one[name], other[name]):
            return f"`{name}`"
    for entry in ("manifest", "warnings"):
        if _text(getattr(first, entry)) != _text(getattr(second, entry)):
            return f"`{entry}`"
    return ""


def evidence_problems(evidence: Any, data: AmuletDataset) -> Iterator[str]:
    """Is it evidence, can it be kept, and is what it says of records true of the records that it names?"""
    if not isinstance(evidence, Evidence):
        yield f"its protocol returns {type(evidence).__name__}, which is no amulet Evidence"
        return
    arrays = evidence.arrays()
    for name, array in arrays.items():
        if array.dtype == object:
            yield f"its evidence has objects in `{name}`: they cannot be kept"
    try:
        json.dumps(evidence.manifest)
    except TypeError as error:
        yield f"its evidence's manifest is no JSON: {error}"
    if "ids" in arrays:
        yield from _alignment(arrays, data)


def _alignment(arrays: Mapping[str, np.ndarray], data: AmuletDataset) -> Iterator[str]:
    """The truth about records, where evidence has it, must be that of the records with these ids."""
    ids = arrays["ids"]
    if ids.dtype != np.int64 or ids.ndim != 1:
        yield f"its evidence's ids must be (n,) int64, they are {ids.shape} {ids.dtype}"
        return
    if len(np.unique(ids)) != len(ids):
        yield "its evidence names records twice"
    known = {part: np.concatenate([_column(records, part) for records in (data.train, data.test)]) for part in _TRUTH}
    place = {int(number): row for row, number in enumerate(known["ids"])}
    if any(int(number) not in place for number in ids if number >= 0):
        yield "its evidence names records that are not in the data set"
        return
    rows = np.array([place.get(int(number), -1) for number in ids])
    real = rows >= 0
    truths = {"labels": known["y"], "groups": known["z"]}
    truths |= {f"truth.{name}": known["z"][:, i] for i, name in enumerate(data.attributes)}
    for name, truth in truths.items():
        if name in arrays and len(arrays[name]) == len(ids) and not _equal(arrays[name][real], truth[rows[real]]):
            yield f"its evidence mixes records: `{name}` is not what the records with these ids have"


_TRUTH = ("ids", "y", "z")


def _column(records: Any, name: str) -> np.ndarray:
    return getattr(records, name).cpu().numpy()


def measurement_problems(measured: Any, warnings: tuple[str, ...] = (), risk: str = "") -> Iterator[str]:
    """Floats, explained where they cannot be had, with intervals that hold them, each with true facts."""
    if not isinstance(measured, Measurement):
        yield f"its metrics are {type(measured).__name__}, no amulet Measurement"
        return
    yield from number_problems(measured.metrics, (*measured.warnings, *warnings))
    for name in measured.intervals.keys() - measured.metrics.keys():
        yield f"there is an interval of `{name}`, and no such metric"
    for name, (low, high) in measured.intervals.items():
        if low > high:
            yield f"the interval of `{name}` is upside down: [{low}, {high}]"
    for name, value in measured.metrics.items():
        yield from _facts_problems(name, value, measured.facts.get(name), risk)
    deciding = [name for name in measured.metrics if name in measured.facts and measured.facts[name].decides]
    if risk and not deciding:
        yield f"no metric decides {risk}: one says so in its facts"


def _facts_problems(name: str, value: float, facts: MetricFacts | None, risk: str) -> Iterator[str]:
    if facts is None:
        yield f"nothing is stated of `{name}`: record it with its Metric"
        return
    if not facts.label:
        yield f"`{name}` has no label"
    if risk and facts.risk != risk:
        yield f"`{name}` says that it is of {facts.risk or 'no risk'}, and is measured for {risk}"
    if facts.harm not in get_args(Harm):
        yield f"`{name}` must say which way is worse: {', '.join(get_args(Harm))}; it says {facts.harm!r}"
    if facts.decides and facts.harm == "none":
        yield f"`{name}` decides its risk, and says of no way that it is worse"
    if facts.fraction and math.isfinite(value) and not -1 <= value <= 1:
        yield f"`{name}` must be a share in [0, 1] or a difference of shares, it is {value}; else it states its unit"


def number_problems(metrics: Mapping[str, Any], warnings: tuple[str, ...]) -> Iterator[str]:
    """Each a float; where it is not finite, a warning must say why."""
    if not metrics:
        yield "nothing was measured"
    for name, value in metrics.items():
        if not isinstance(value, float):
            yield f"`{name}` must be a float, it is {type(value).__name__}"
        elif not math.isfinite(value) and not explained(name, warnings):
            yield f"`{name}` is {value}, and no warning says why"


def explained(name: str, warnings: tuple[str, ...]) -> bool:
    """Whether a warning speaks of a metric, or of all of its kind."""
    stem = name.rpartition(".")[2].split("_at_")[0]
    return any(stem in warning or "TPR" in warning for warning in warnings)


def _equal(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other, equal_nan=one.dtype.kind == "f"))


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
