"""Does training give attributes away, or does the distribution? Records of the training beside others."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from amulet.attribute_inference.metrics.evidence import METRICS, AttributeEvidence
from amulet.attribute_inference.metrics.intervals import balanced_interval, paired_interval, unpaired_interval
from amulet.core.evidence import Measurement


def measure_training(measured: Measurement, evidence: AttributeEvidence, attribute: str) -> None:
    """What is inferred of the records that the victim was trained on, and how much more than of test records.

    The training and the test records are different ones, so the interval of `training_gap` is unpaired (MOVER). Its
    baseline is the same difference for the guesser without the model: what is left of it is due to the records. An
    attribute that has one value in the training records gets no such numbers, and a value that only one side has does
    not count for the gap.
    """
    truth, test = evidence.training_truth[attribute], evidence.truth[attribute]
    key, about, k = f"{attribute}.{evidence.reference}", {"attribute": attribute}, int(max(truth.max(), test.max())) + 1
    trained, others = _count(truth, k), _count(test, k)
    if (trained > 0).sum() < 2 or ((trained > 0) & (others > 0)).sum() < 2:
        return
    names = [attribute, key] if key in evidence.training_answers else [attribute]
    right = {name: evidence.training_answers[name] == truth for name in names}
    had, both = trained > 0, (trained > 0) & (others > 0)
    share: dict[str, float] = {}
    gap: dict[str, float] = {}
    for name in names:
        hits, others_hits = _count(truth[right[name]], k), _count(test[evidence.answers[name] == test], k)
        share[name] = float((hits[had] / trained[had]).mean())
        gap[name] = float((hits[both] / trained[both] - others_hits[both] / others[both]).mean())
    hits, others_hits = _count(truth[right[attribute]], k), _count(test[evidence.answers[attribute] == test], k)
    measured.record(
        METRICS["training_balanced_accuracy"],
        share[attribute],
        about,
        interval=balanced_interval(hits[had], trained[had]),
        baseline=share.get(key),
    )
    if key in share:
        gained, lost = (
            _count(truth[only], k)[had] for only in (right[attribute] & ~right[key], right[key] & ~right[attribute])
        )
        measured.record(
            METRICS["training_advantage"],
            share[attribute] - share[key],
            about,
            interval=paired_interval(gained, lost, trained[had]),
        )
    measured.record(
        METRICS["training_gap"],
        gap[attribute],
        about,
        interval=unpaired_interval(hits[both], trained[both], others_hits[both], others[both]),
        baseline=gap.get(key),
    )


def _count(values: Tensor, k: int) -> NDArray[np.int64]:
    """How many records have each value."""
    return values.bincount(minlength=k).numpy()
