"""The metrics of discriminatory behavior, their intervals, what a fair model would show, and each record's part."""

import math
from typing import NamedTuple

import numpy as np
import torch

from amulet.core.evidence import Measurement
from amulet.core.influence import Influence, of_cells
from amulet.discriminatory_behavior.metrics.definitions import METRICS
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
from amulet.discriminatory_behavior.metrics.groupings import Grouping, groupings
from amulet.discriminatory_behavior.metrics.intervals import Rates, difference_interval, ratio_interval
from amulet.discriminatory_behavior.metrics.within import DRAWS, calibration, consistency, equal, worst_group


class _Class(NamedTuple):
    """The records with one class as the favourable answer."""

    positive: int
    counts: Counts
    found: GroupRates


def measure(evidence: BehaviorEvidence) -> Measurement:
    """The metrics of each attribute as `<attribute>.<metric>`, with intervals that hold equality where it is true.

    The baseline is what a perfectly fair model would show on these records: the mean of the metric where all groups
    have the same rate and chance does the rest. `<attribute>.labels.<metric>` is the labels' own demographic parity
    difference and p-rule: those of a model that makes no mistake.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    for grouping in groupings(evidence):
        _measure_grouping(measured, evidence, grouping)
    consistency(measured, evidence)
    return measured


def favourable(evidence: BehaviorEvidence) -> list[int]:
    """The classes that count as the favourable answer, each against the rest: the one that is set, class 1 of two, or,
    with more classes, every one in turn."""
    if evidence.positive is not None:
        return [evidence.positive]
    return [1] if evidence.num_classes == 2 else list(range(evidence.num_classes))


def _measure_grouping(measured: Measurement, evidence: BehaviorEvidence, grouping: Grouping) -> None:
    name, k = grouping.name, len(grouping.names)
    limits = evidence.min_records, evidence.min_positives
    left_out = [grouping.names[i] for i in (grouping.sizes < limits[0]).nonzero().flatten().tolist()]
    if left_out:
        measured.warnings.append(
            f"{name}: groups {', '.join(left_out)} have under {limits[0]} records in the test split "
            "and are left out of every gap"
        )
    if len(left_out) == k:
        measured.warnings.append(
            f"{name}: no group has {limits[0]} records in the test split, so there is no worst_group_accuracy, "
            "worst_group_records or calibration_error"
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
    worst_group(measured, evidence, grouping, chance)
    calibration(measured, evidence, grouping, favourable(evidence), chance)


def _record(
    measured: Measurement,
    metric: str,
    classes: list[_Class],
    evidence: BehaviorEvidence,
    grouping: Grouping,
    chance: np.random.Generator,
) -> None:
    """A metric over the classes: the worst value of those that have one."""
    about, smaller = {"attribute": grouping.name}, metric == "p_rule"
    comparisons = [[_rates(one, part) for part in PARTS[metric]] for one in classes]
    values = np.array([float(of_rates(metric, parts)) for parts in comparisons])
    kept = [i for i, value in enumerate(values) if not math.isnan(value)]
    if not kept:
        measured.record(METRICS[metric], math.nan, about, decides=None if grouping.single else False)
        return
    worst = int(np.nanargmin(values) if smaller else np.nanargmax(values))
    fair = [of_rates(metric, [equal(part, chance) for part in comparisons[i]]) for i in kept]
    flat = [part for i in kept for part in comparisons[i]]
    fair_values = (np.fmin if smaller else np.fmax).reduce(fair, axis=0)
    measured.record(
        METRICS[metric],
        float(values[worst]),
        about,
        decides=None if grouping.single else False,
        interval=ratio_interval(flat) if smaller else difference_interval(flat),
        baseline=float(fair_values[~np.isnan(fair_values)].mean()),
        influence=_influence(metric, [classes[i] for i in kept], evidence, grouping, chance),
    )


def _rates(one: _Class, part: str) -> Rates:
    return getattr(one.found, part)


def _influence(
    metric: str, classes: list[_Class], evidence: BehaviorEvidence, grouping: Grouping, chance: np.random.Generator
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
    drawn = values + errors * chance.standard_normal((DRAWS, len(found)))
    worst = drawn.argmin(axis=1) if metric == "p_rule" else drawn.argmax(axis=1)
    often = np.bincount(worst, minlength=len(found)) / DRAWS
    mixed = np.sum([share * influence.values for share, (_, influence) in zip(often, found, strict=True)], axis=0)
    return Influence(found[0][1].ids, mixed)


def _of_comparison(
    metric: str, one: _Class, part: str, evidence: BehaviorEvidence, grouping: Grouping
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


def _labels(measured: Measurement, evidence: BehaviorEvidence, grouping: Grouping) -> None:
    """The demographic parity difference and the p-rule of the labels themselves."""
    k, limits = len(grouping.names), (evidence.min_records, evidence.min_positives)
    true = [evidence.labels == positive for positive in favourable(evidence)]
    own = [gaps(count(labels, labels, grouping.of, k), *limits) for labels in true]
    for metric, worst in (("demographic_parity_difference", max), ("p_rule", min)):
        found = [one[metric] for one in own if not math.isnan(one[metric])]
        if found:
            measured.baselines[f"{grouping.name}.labels.{metric}"] = worst(found)
