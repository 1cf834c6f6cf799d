"""Demographic parity, true and false positive parity, equalized odds and the p-rule.

As functions of counts, so that a bootstrap is one multinomial draw; the tests compare them with fairlearn's.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amulet.core.evidence import Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence

METRICS = metrics_of(
    "discriminatory_behavior",
    Metric("demographic_parity_difference", "gap between groups in favourable answers", "higher"),
    Metric("true_positive_rate_difference", "gap between groups in true positive rate", "higher"),
    Metric("false_positive_rate_difference", "gap between groups in false positive rate", "higher"),
    Metric(
        "equalized_odds_difference",
        "larger gap between groups in true or false positive rate",
        "higher",
        decides=True,
    ),
    Metric("p_rule", "smallest over largest share of favourable answers", "lower"),
    Metric("worst_group_accuracy", "accuracy for the group answered worst", "lower"),
)


class Counts(NamedTuple):
    """Records by label and answer for each of g groups, arrays (..., g)."""

    true_positive: np.ndarray
    false_positive: np.ndarray
    false_negative: np.ndarray
    true_negative: np.ndarray

    @property
    def records(self) -> np.ndarray:
        """The number of records of each group."""
        return np.asarray(sum(self))


def _gap(rates: np.ndarray) -> np.ndarray:
    """The largest rate minus the smallest; NaN if fewer than two groups have one."""
    enough = (~np.isnan(rates)).sum(axis=-1) >= 2
    filled_high, filled_low = np.where(np.isnan(rates), -np.inf, rates), np.where(np.isnan(rates), np.inf, rates)
    gap = np.full(enough.shape, np.nan)
    np.subtract(filled_high.max(axis=-1), filled_low.min(axis=-1), out=gap, where=enough)
    return gap


def _ratio(rates: np.ndarray) -> np.ndarray:
    """The smallest rate over the largest; NaN if fewer than two groups have one, or none is positive."""
    high = np.where(np.isnan(rates), -np.inf, rates).max(axis=-1)
    low = np.where(np.isnan(rates), np.inf, rates).min(axis=-1)
    defined = ((~np.isnan(rates)).sum(axis=-1) >= 2) & (high > 0)
    ratio = np.full(defined.shape, np.nan)
    np.divide(low, high, out=ratio, where=defined)
    return ratio


def _rate(part: np.ndarray, whole: np.ndarray, least: int) -> np.ndarray:
    rate = np.full(np.broadcast_shapes(part.shape, whole.shape), np.nan)
    np.divide(part, whole, out=rate, where=whole >= max(least, 1))
    return rate


def gaps(counts: Counts, min_records: int = 1, min_positives: int = 1) -> dict[str, np.ndarray]:
    """The five metrics, each of the counts' leading shape; all in [0, 1].

    With the predicted-positive rate s, the true positive rate t and the false positive rate f of each group:

    - `demographic_parity_difference` max s - min s,
    - `true_positive_rate_difference` max t - min t, `false_positive_rate_difference` max f - min f,
    - `equalized_odds_difference` the larger of the last two (Hardt et al., NeurIPS 2016; fairlearn's worst case),
    - `p_rule` min s / max s (Zafar et al., AISTATS 2017): of all five the only one where lower is worse.

    Args:
        counts: by group.
        min_records: groups with fewer records have no s.
        min_positives: groups with fewer records of the favourable label have no t, with fewer of the other no f.
    """
    tp, fp, fn, tn = counts
    n = counts.records
    large = n >= max(min_records, 1)
    selected = _rate(tp + fp, n, min_records)
    hits = np.where(large, _rate(tp, tp + fn, min_positives), np.nan)
    alarms = np.where(large, _rate(fp, fp + tn, min_positives), np.nan)
    tpr, fpr = _gap(hits), _gap(alarms)
    return {
        "demographic_parity_difference": _gap(selected),
        "true_positive_rate_difference": tpr,
        "false_positive_rate_difference": fpr,
        "equalized_odds_difference": np.where(np.isnan(tpr) | np.isnan(fpr), np.nan, np.maximum(tpr, fpr)),
        "p_rule": _ratio(selected),
    }


def count(answers: Tensor, labels: Tensor, group: Tensor, groups: int) -> Counts:
    """Counts of boolean answers and labels (n,) by group (n,) in [0, groups)."""
    cell = (labels.long() * 2 + answers.long()) * groups + group
    table = torch.bincount(cell, minlength=4 * groups).reshape(2, 2, groups).numpy()
    return Counts(table[1, 1], table[0, 1], table[1, 0], table[0, 0])


def measure(evidence: BehaviorEvidence) -> Measurement:
    """The five metrics of each attribute as `<attribute>.<metric>`, with bootstrap intervals.

    The baseline of demographic parity and the p-rule is that of the labels themselves: what a model that makes no
    mistake would have.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    for name, columns in _groupings(evidence).items():
        values, group = torch.unique(columns, dim=0, return_inverse=True)
        _measure_attribute(measured, evidence, name, group, values)
    return measured


def _groupings(evidence: BehaviorEvidence) -> dict[str, Tensor]:
    found = {name: evidence.groups[:, i : i + 1] for i, name in enumerate(evidence.attributes)}
    if evidence.intersections and len(evidence.attributes) > 1:
        found["intersection"] = evidence.groups
    return found


def favourable(evidence: BehaviorEvidence) -> list[int]:
    """The classes that count as the favourable answer, each against the rest: the one that is set, class 1 of two, or,
    with more classes, every one in turn."""
    if evidence.positive is not None:
        return [evidence.positive]
    return [1] if evidence.num_classes == 2 else list(range(evidence.num_classes))


def _measure_attribute(
    measured: Measurement, evidence: BehaviorEvidence, name: str, group: Tensor, values: Tensor
) -> None:
    k = len(values)
    sizes = torch.bincount(group, minlength=k)
    left_out = [tuple(values[i].tolist()) for i in (sizes < evidence.min_records).nonzero().flatten().tolist()]
    if left_out:
        measured.warnings.append(
            f"{name}: groups {left_out} have under {evidence.min_records} records in the test split and are left out "
            "of every gap"
        )
    limits = evidence.min_records, evidence.min_positives
    of_classes: list[dict[str, tuple[float, float, float]]] = []
    of_labels: list[dict[str, float]] = []
    for positive in favourable(evidence):
        answers, labels = evidence.answers == positive, evidence.labels == positive
        counts = count(answers, labels, group, k)
        of_classes.append(_with_intervals(counts, *limits, evidence, name, positive))
        truth = gaps(count(labels, labels, group, k), *limits)
        of_labels.append({metric: float(truth[metric]) for metric in ("demographic_parity_difference", "p_rule")})
    for metric in of_classes[0]:
        pick = min if metric == "p_rule" else max
        found = [c[metric] for c in of_classes if not np.isnan(c[metric][0])]
        value, low, high = pick(found) if found else (float("nan"),) * 3
        baseline = pick(c[metric] for c in of_labels) if metric in of_labels[0] else None
        interval = (low, high) if found else None
        measured.record(METRICS[metric], value, {"attribute": name}, interval=interval, baseline=baseline)
    missing = [m for m in of_classes[0] if np.isnan(measured.metrics[f"{name}.{m}"])]
    if missing:
        measured.warnings.append(
            f"{name}: no {', '.join(missing)}: fewer than two groups with {evidence.min_records} records and "
            f"{evidence.min_positives} of each label, or nobody is answered favourably"
        )
    right = torch.bincount(group, (evidence.answers == evidence.labels).double(), minlength=k) / sizes
    kept = right[sizes >= evidence.min_records]
    worst = float(kept.min()) if len(kept) else float("nan")
    measured.record(METRICS["worst_group_accuracy"], worst, {"attribute": name})


def _with_intervals(
    counts: Counts, min_records: int, min_positives: int, evidence: BehaviorEvidence, name: str, positive: int
) -> dict[str, tuple[float, float, float]]:
    """Each metric with a 95 % percentile bootstrap interval over records."""
    table = np.stack(counts)
    n = int(table.sum())
    random = (evidence.stream / "bootstrap" / name / positive).numpy()
    drawn = random.multinomial(n, table.ravel() / n, size=evidence.bootstrap).reshape(-1, *table.shape)
    resampled = gaps(Counts(*np.moveaxis(drawn, 1, 0)), min_records, min_positives)
    result: dict[str, tuple[float, float, float]] = {}
    for metric, value in gaps(counts, min_records, min_positives).items():
        draws = resampled[metric][~np.isnan(resampled[metric])]
        low, high = np.quantile(draws, [0.025, 0.975]) if len(draws) else (np.nan, np.nan)
        result[metric] = float(value), float(low), float(high)
    return result
