"""Utility: reported by every run, whatever the risk."""

import math

import numpy as np
from numpy.typing import NDArray

from amulet.attribute_inference.metrics import balanced_accuracy
from amulet.core.evidence import Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.influence import of_cells, of_mean
from amulet.training.victim import DataSplits, Victim

METRICS = metrics_of(
    "utility",
    Metric("train_accuracy", "accuracy on the training records"),
    Metric("test_accuracy", "accuracy on the test records", "lower"),
    Metric("test_balanced_accuracy", "accuracy on the test records, classes weighted equally", "lower"),
)


def measure_utility(victim: Victim, splits: DataSplits) -> Measurement:
    """Accuracy on the victim's training records and on the test split; the baseline is the majority class.

    On the test split also the balanced accuracy, the mean over the classes of the share of their records that are
    classified correctly: it shows what accuracy hides if one class is rare. Its baseline is 1 / classes.

    The training data of a pretrained model are unknown: it has no training accuracy.
    """
    measured = Measurement()
    tables = {"train_accuracy": victim.records, "test_accuracy": splits.test_records}
    if victim.pretrained is not None:
        del tables["train_accuracy"]
    for name, records in tables.items():
        right = victim.logits(records).argmax(dim=1) == records.y
        majority = records.y.bincount().max().item() / len(records)
        measured.proportion(
            METRICS[name],
            int(right.sum()),
            len(records),
            baseline=majority,
            influence=of_mean(records.ids, right) if name == "test_accuracy" else None,
        )
    measured.intervals.pop("train_accuracy", None)  # not a sample: these are all the records
    accuracy, majority = measured.metrics["test_accuracy"], measured.baselines["test_accuracy"]
    answers, labels = victim.logits(splits.test_records).argmax(dim=1), splits.test_records.y
    balanced = balanced_accuracy(answers, labels)
    measured.record(
        METRICS["test_balanced_accuracy"],
        balanced,
        baseline=1 / len(labels.unique()),
        influence=of_cells(
            splits.test_records.ids, 2 * labels + (answers == labels), _recalls, kinds=2 * splits.data.num_classes
        ),
    )
    if len(answers.unique()) == 1:
        measured.warnings.append(
            f"{victim.name}: the model answers class {int(answers[0])} for every test record: what is measured on it "
            f"says nothing about the defence. {_cause(victim)}"
        )
    elif accuracy < 1 / splits.data.num_classes + 0.05:
        measured.warnings.append(
            f"{victim.name}: test accuracy {accuracy:.3f} is within 5 points of chance: the model has not learned the "
            "task. Train longer (epochs) or weaken the defence"
        )
    elif accuracy < majority:
        measured.warnings.append(
            f"{victim.name}: test accuracy {accuracy:.3f} is below that of always answering the majority class "
            f"({majority:.3f})"
        )
    return measured


def _recalls(shares: NDArray[np.float64]) -> float:
    """The mean recall over classes, from the shares of records that are wrong and right, class by class."""
    by_class = shares[: len(shares) // 2 * 2].reshape(-1, 2)
    known = by_class[by_class.sum(axis=1) > 0]
    return float((known[:, 1] / known.sum(axis=1)).mean())


def _cause(victim: Victim) -> str:
    """Why a model answers one class, by the loss of its last epoch, and what helps."""
    loss, epochs = (victim.trained.report.get(name) for name in ("loss", "epochs"))
    if loss is not None and loss <= math.log(victim.recipe.num_classes):
        return (
            f"Its loss after {epochs} epochs, {loss:.3f}, is no worse than chance: it has learned how frequent the "
            "classes are and no more yet. Train it longer (epochs), or weaken the defence"
        )
    return "Training collapsed: lower optimizer.lr or the defence's strength"
