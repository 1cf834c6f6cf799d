"""What is measured within groups and between similar records: accuracy, calibration, consistency."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from amulet.core.evidence import Measurement
from amulet.core.influence import of_cells, of_mean
from amulet.core.intervals import NORMAL_95
from amulet.discriminatory_behavior.metrics.calibration import Calibration, worst_calibration
from amulet.discriminatory_behavior.metrics.definitions import METRICS
from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence
from amulet.discriminatory_behavior.metrics.groupings import Grouping
from amulet.discriminatory_behavior.metrics.intervals import Rates, lowest_interval

DRAWS = 4000
"""Samples of what chance does; the mean of a gap is then known to a sixtieth of its standard deviation."""


def equal(observed: Rates, chance: np.random.Generator) -> Rates:
    """Successes (draws, g) of groups of these sizes that all have the rate of all of them together."""
    part, whole = observed
    drawn = chance.binomial(whole.astype(np.int64), part.sum() / whole.sum(), size=(DRAWS, len(whole)))
    return drawn.astype(np.float64), whole


def worst_group(
    measured: Measurement, evidence: BehaviorEvidence, grouping: Grouping, chance: np.random.Generator
) -> None:
    """The lowest accuracy of any group that is large enough, and how large that group is."""
    right, about = evidence.answers == evidence.labels, {"attribute": grouping.name}
    hits = torch.bincount(grouping.of, right.double(), minlength=len(grouping.names)).numpy()
    sizes = grouping.sizes.double().numpy()
    groups = np.flatnonzero(sizes >= evidence.min_records)
    if not len(groups):
        measured.record(METRICS["worst_group_accuracy"], math.nan, about)
        return
    found = hits[groups], sizes[groups]
    worst = int(groups[np.argmin(found[0] / found[1])])
    cells = torch.where(grouping.of == worst, 1 + right.long(), 0)
    drawn, whole = equal(found, chance)
    measured.record(
        METRICS["worst_group_accuracy"],
        float(hits[worst] / sizes[worst]),
        about,
        interval=lowest_interval(found),
        baseline=float((drawn / whole).min(axis=-1).mean()),
        influence=of_cells(evidence.ids, cells, lambda shares: float(shares[2] / (shares[1] + shares[2])), kinds=3),
    )
    measured.record(METRICS["worst_group_records"], float(sizes[worst]), about)


def calibration(
    measured: Measurement,
    evidence: BehaviorEvidence,
    grouping: Grouping,
    favourable: Sequence[int],
    chance: np.random.Generator,
) -> None:
    """The largest calibration error of any group that is large enough, where the model gives probabilities."""
    groups = np.flatnonzero(grouping.sizes.numpy() >= evidence.min_records)
    if evidence.probabilities is None or not len(groups):
        return
    found: list[Calibration] = []
    for positive in favourable:
        p, happened = evidence.probabilities[:, positive].double().numpy(), (evidence.labels == positive).numpy()
        found.append(worst_calibration(p, happened, grouping.of.numpy(), groups, chance))
    worst = max(found, key=lambda one: one.error)
    measured.record(
        METRICS["calibration_error"],
        worst.error,
        {"attribute": grouping.name},
        interval=(max(one.interval[0] for one in found), max(one.interval[1] for one in found)),
        baseline=max(one.chance for one in found),
    )


def consistency(measured: Measurement, evidence: BehaviorEvidence) -> None:
    """The mean agreement of records with those nearest to them; its baseline is that of answers at random."""
    if evidence.agreement is None:
        return
    values = evidence.agreement.double()
    mean, error = values.mean().item(), of_mean(range(len(values)), values).error
    shares = evidence.answers.bincount(minlength=evidence.num_classes).double() / len(evidence.answers)
    measured.record(
        METRICS["consistency"],
        mean,
        interval=(max(0.0, mean - NORMAL_95 * error), min(1.0, mean + NORMAL_95 * error)),
        baseline=shares.square().sum().item(),
        influence=of_mean(evidence.anchor_ids, values),
    )
