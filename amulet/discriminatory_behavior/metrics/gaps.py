"""Demographic parity, true and false positive parity, equalized odds and the p-rule, as functions of counts.

The tests compare them with fairlearn's.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amulet.discriminatory_behavior.metrics.intervals import Rates


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


class GroupRates(NamedTuple):
    """The rates of the groups that are large enough for them: successes and trials."""

    selected: Rates
    """Favourable answers among all records."""
    hits: Rates
    """Among the records of the favourable label: true positives."""
    alarms: Rates
    """Among the others: false positives."""


PARTS: dict[str, tuple[str, ...]] = {
    "demographic_parity_difference": ("selected",),
    "equalized_odds_difference": ("hits", "alarms"),
    "true_positive_rate_difference": ("hits",),
    "false_positive_rate_difference": ("alarms",),
    "p_rule": ("selected",),
}
"""The rates that each metric compares between groups: fields of `GroupRates`."""


def count(answers: Tensor, labels: Tensor, group: Tensor, groups: int) -> Counts:
    """Counts of boolean answers and labels (n,) by group (n,) in [0, groups)."""
    cell = (labels.long() * 2 + answers.long()) * groups + group
    table = torch.bincount(cell, minlength=4 * groups).reshape(2, 2, groups).numpy()
    return Counts(table[1, 1], table[0, 1], table[1, 0], table[0, 0])


def large_enough(counts: Counts, min_records: int = 1, min_positives: int = 1) -> dict[str, np.ndarray]:
    """Which groups have each rate, (g,) booleans by field of `GroupRates`.

    Args:
        counts: by group.
        min_records: groups with fewer records have none.
        min_positives: groups with fewer records of the favourable label have no true positive rate, with fewer of the
            other no false positive rate.
    """
    tp, fp, fn, tn = counts
    large, least = counts.records >= max(min_records, 1), max(min_positives, 1)
    return {"selected": large, "hits": large & (tp + fn >= least), "alarms": large & (fp + tn >= least)}


def rates(counts: Counts, min_records: int = 1, min_positives: int = 1) -> GroupRates:
    """The rates of the groups that are `large_enough`."""
    tp, fp, fn, tn = (np.asarray(part, dtype=np.float64) for part in counts)
    whole = {"selected": (tp + fp, tp + fp + fn + tn), "hits": (tp, tp + fn), "alarms": (fp, fp + tn)}
    kept = large_enough(counts, min_records, min_positives)
    return GroupRates(**{name: (part[kept[name]], of[kept[name]]) for name, (part, of) in whole.items()})


def gaps(counts: Counts, min_records: int = 1, min_positives: int = 1) -> dict[str, float]:
    """The five metrics, all in [0, 1]; NaN with fewer than two groups that have the rate.

    With the predicted-positive rate s, the true positive rate t and the false positive rate f of each group:

    - `demographic_parity_difference` max s - min s,
    - `true_positive_rate_difference` max t - min t, `false_positive_rate_difference` max f - min f,
    - `equalized_odds_difference` the larger of the last two (Hardt et al., NeurIPS 2016; fairlearn's worst case),
    - `p_rule` min s / max s (Zafar et al., AISTATS 2017): of all five the only one where lower is worse; NaN if no
      group has a favourable answer.

    The arguments are those of `large_enough`.
    """
    found = rates(counts, min_records, min_positives)
    return {metric: float(of_rates(metric, [getattr(found, part) for part in PARTS[metric]])) for metric in PARTS}


def of_rates(metric: str, comparisons: list[Rates]) -> np.ndarray:
    """A metric over one or more comparisons, each with successes (..., g) and trials (g,); NaN where it has none."""
    shape = np.broadcast_shapes(*(part.shape[:-1] for part, _ in comparisons))
    if any(len(whole) < 2 for _, whole in comparisons):
        return np.full(shape, np.nan)
    shares = [part / whole for part, whole in comparisons]
    if metric != "p_rule":
        return np.max([share.max(axis=-1) - share.min(axis=-1) for share in shares], axis=0)
    (low, high), ratio = (shares[0].min(axis=-1), shares[0].max(axis=-1)), np.full(shape, np.nan)
    np.divide(low, high, out=ratio, where=high > 0)
    return ratio
