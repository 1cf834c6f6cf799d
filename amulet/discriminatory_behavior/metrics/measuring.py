"""The metrics of discriminatory behavior, their intervals, what a fair model would show, and each record's part."""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amulet.core.evidence import Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.influence import Influence, of_cells
from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence
from amulet.discriminatory_behavior.metrics.gaps import (
    PARTS,
    Counts,
    GroupRates,
    count,
    gaps,
    large_enough,
    of_rates,
    rates,
)
from amulet.discriminatory_behavior.metrics.intervals import (
    Rates,
    difference_interval,
    lowest_interval,
    ratio_interval,
)

METRICS = metrics_of(
    "discriminatory_behavior",
    Metric("demographic_parity_difference", "gap between groups in favourable answers", "higher", decides=True),
    Metric(
        "equalized_odds_difference",
        "larger gap between groups in true or false positive rate",
        "higher",
        decides=True,
    ),
    Metric("true_positive_rate_difference", "gap between groups in true positive rate", "higher"),
    Metric("false_positive_rate_difference", "gap between groups in false positive rate", "higher"),
    Metric("p_rule", "smallest over largest share of favourable answers", "lower"),
    Metric("worst_group_accuracy", "accuracy for the group answered worst", "lower"),
)
_DRAWS = 4000  # the mean of a gap is then known to a sixtieth of its standard deviation


class _Class(NamedTuple):
    """The records with one class as the favourable answer."""

    positive: int
    counts: Counts
    found: GroupRates


class _Grouping(NamedTuple):
    """How the records divide into the groups of an attribute."""

    name: str
    of: Tensor
    """(n,): the group of each record."""
    values: Tensor
    """(k, attributes): what the groups have in common."""


def measure(evidence: BehaviorEvidence) -> Measurement:
    """The metrics of each attribute as `<attribute>.<metric>`, with intervals that hold equality where it is true.

    The baseline is what a perfectly fair model would show on these records: the mean of the metric where all groups
    have the same rate and chance does the rest. `<attribute>.labels.<metric>` is the labels' own demographic parity
    difference and p-rule: those of a model that makes no mistake.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    for name, columns in _groupings(evidence).items():
        values, group = torch.unique(columns, dim=0, return_inverse=True)
        _measure_attribute(measured, evidence, _Grouping(name, group, values))
    return measured


def favourable(evidence: BehaviorEvidence) -> list[int]:
    """The classes that count as the favourable answer, each against the rest: the one that is set, class 1 of two, or,
    with more classes, every one in turn."""
    if evidence.positive is not None:
        return [evidence.positive]
    return [1] if evidence.num_classes == 2 else list(range(evidence.num_classes))


def _groupings(evidence: BehaviorEvidence) -> dict[str, Tensor]:
    found = {name: evidence.groups[:, i : i + 1] for i, name in enumerate(evidence.attributes)}
    if evidence.intersections and len(evidence.attributes) > 1:
        found["intersection"] = evidence.groups
    return found


def _measure_attribute(measured: Measurement, evidence: BehaviorEvidence, grouping: _Grouping) -> None:
    name, k = grouping.name, len(grouping.values)
    limits = evidence.min_records, evidence.min_positives
    sizes = torch.bincount(grouping.of, minlength=k)
    left_out = [_name(evidence, grouping, i) for i in (sizes < limits[0]).nonzero().flatten().tolist()]
    if left_out:
        measured.warnings.append(
            f"{name}: groups {', '.join(left_out)} have under {limits[0]} records in the test split "
            "and are left out of every gap"
        )
    classes: list[_Class] = []
    for positive in favourable(evidence):
        counts = count(evidence.answers == positive, evidence.labels == positive, grouping.of, k)
        classes.append(_Class(positive, counts, rates(counts, *limits)))
    chance = (evidence.stream / "fair" / name).numpy()
    for metric in PARTS:
        _record(measured, metric, classes, evidence, grouping, chance)
    missing = [metric for metric in PARTS if math.isnan(measured.metrics[f"{name}.{metric}"])]
    if missing:
        measured.warnings.append(
            f"{name}: no {', '.join(missing)}: fewer than two groups with {limits[0]} records and "
            f"{limits[1]} of each label, or nobody is answered favourably"
        )
    _labels(measured, evidence, grouping)
    _worst_group(measured, evidence, grouping, chance)


def _name(evidence: BehaviorEvidence, grouping: _Grouping, place: int) -> str:
    """A group in words: `Black`, or `Black and Female` of an intersection."""
    known = dict(zip(evidence.attributes, evidence.value_names, strict=False))
    of = [grouping.name] if grouping.name in evidence.attributes else evidence.attributes
    words: list[str] = []
    for attribute, value in zip(of, grouping.values[place].tolist(), strict=True):
        names = known.get(attribute, ())
        words.append(names[value] if 0 <= value < len(names) else f"{attribute} {value}")
    return " and ".join(words)


def _record(
    measured: Measurement,
    metric: str,
    classes: list[_Class],
    evidence: BehaviorEvidence,
    grouping: _Grouping,
    chance: np.random.Generator,
) -> None:
    """A metric over the classes: the worst value of those that have one."""
    about, smaller = {"attribute": grouping.name}, metric == "p_rule"
    comparisons = [[_rates(one, part) for part in PARTS[metric]] for one in classes]
    values = np.array([float(of_rates(metric, parts)) for parts in comparisons])
    kept = [i for i, value in enumerate(values) if not math.isnan(value)]
    if not kept:
        measured.record(METRICS[metric], math.nan, about)
        return
    worst = int(np.nanargmin(values) if smaller else np.nanargmax(values))
    fair = [of_rates(metric, [_equal(part, chance) for part in comparisons[i]]) for i in kept]
    flat = [part for i in kept for part in comparisons[i]]
    fair_values = (np.fmin if smaller else np.fmax).reduce(fair, axis=0)
    measured.record(
        METRICS[metric],
        float(values[worst]),
        about,
        interval=ratio_interval(flat) if smaller else difference_interval(flat),
        baseline=float(fair_values[~np.isnan(fair_values)].mean()),
        influence=_influence(metric, [classes[i] for i in kept], evidence, grouping, chance),
    )


def _rates(one: _Class, part: str) -> Rates:
    return getattr(one.found, part)


def _equal(observed: Rates, chance: np.random.Generator) -> Rates:
    """Successes (draws, g) of groups of these sizes that all have the rate of all of them together."""
    part, whole = observed
    drawn = chance.binomial(whole.astype(np.int64), part.sum() / whole.sum(), size=(_DRAWS, len(whole)))
    return drawn.astype(np.float64), whole


def _influence(
    metric: str, classes: list[_Class], evidence: BehaviorEvidence, grouping: _Grouping, chance: np.random.Generator
) -> Influence:
    """The part of each record in the metric.

    The largest of several gaps, in true and in false positive rates, may be another one in another sample: each counts
    by how often it is the largest (the derivative of the metric's mean over samples; Efron, 2014).
    """
    found = [_of_comparison(metric, one, part, evidence, grouping) for one in classes for part in PARTS[metric]]
    values = np.array([value for value, _ in found])
    if len(found) == 1:
        return found[0][1]
    errors = np.array([influence.error for _, influence in found])
    drawn = values + errors * chance.standard_normal((_DRAWS, len(found)))
    worst = drawn.argmin(axis=1) if metric == "p_rule" else drawn.argmax(axis=1)
    often = np.bincount(worst, minlength=len(found)) / _DRAWS
    mixed = np.sum([share * influence.values for share, (_, influence) in zip(often, found, strict=True)], axis=0)
    return Influence(found[0][1].ids, mixed)


def _of_comparison(
    metric: str, one: _Class, part: str, evidence: BehaviorEvidence, grouping: _Grouping
) -> tuple[float, Influence]:
    """The gap or ratio of the highest and the lowest group in one rate, and the part of each record in it."""
    answers, labels = evidence.answers == one.positive, evidence.labels == one.positive
    inside = {"selected": torch.ones_like(labels), "hits": labels, "alarms": ~labels}[part]
    shares = np.divide(*_rates(one, part))
    groups = np.flatnonzero(large_enough(one.counts, evidence.min_records, evidence.min_positives)[part])
    top = int(np.argmax(shares))
    bottom = int(np.argmin(np.where(np.arange(len(groups)) == top, np.inf, shares)))
    cells = torch.zeros_like(grouping.of)  # 0: neither group; else 1, 2: the group with the high rate; 3, 4: the other
    for first, group in ((1, int(groups[top])), (3, int(groups[bottom]))):
        cells = torch.where(inside & (grouping.of == group), first + answers.long(), cells)

    def statistic(shares: np.ndarray) -> float:
        high, low = shares[2] / (shares[1] + shares[2]), shares[4] / (shares[3] + shares[4])
        return float(low / high if metric == "p_rule" else high - low)

    value = shares[bottom] / shares[top] if metric == "p_rule" else shares[top] - shares[bottom]
    return float(value), of_cells(evidence.ids, cells, statistic, kinds=5)


def _labels(measured: Measurement, evidence: BehaviorEvidence, grouping: _Grouping) -> None:
    """The demographic parity difference and the p-rule of the labels themselves."""
    k, limits = len(grouping.values), (evidence.min_records, evidence.min_positives)
    true = [evidence.labels == positive for positive in favourable(evidence)]
    own = [gaps(count(labels, labels, grouping.of, k), *limits) for labels in true]
    for metric, worst in (("demographic_parity_difference", max), ("p_rule", min)):
        found = [one[metric] for one in own if not math.isnan(one[metric])]
        if found:
            measured.baselines[f"{grouping.name}.labels.{metric}"] = worst(found)


def _worst_group(
    measured: Measurement, evidence: BehaviorEvidence, grouping: _Grouping, chance: np.random.Generator
) -> None:
    right = evidence.answers == evidence.labels
    hits = torch.bincount(grouping.of, right.double(), minlength=len(grouping.values)).numpy()
    sizes = torch.bincount(grouping.of, minlength=len(grouping.values)).double().numpy()
    groups, about = np.flatnonzero(sizes >= evidence.min_records), {"attribute": grouping.name}
    if not len(groups):
        measured.record(METRICS["worst_group_accuracy"], math.nan, about)
        return
    found = hits[groups], sizes[groups]
    worst = int(groups[np.argmin(found[0] / found[1])])
    cells = torch.where(grouping.of == worst, 1 + right.long(), 0)
    drawn, whole = _equal(found, chance)
    measured.record(
        METRICS["worst_group_accuracy"],
        float(hits[worst] / sizes[worst]),
        about,
        interval=lowest_interval(found),
        baseline=float((drawn / whole).min(axis=-1).mean()),
        influence=of_cells(evidence.ids, cells, lambda shares: float(shares[2] / (shares[1] + shares[2])), kinds=3),
    )
