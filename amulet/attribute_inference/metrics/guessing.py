"""Balanced accuracy, AUC and accuracy of inferred attributes, compared with inference without the model."""

import math

import numpy as np
import torch
from torch import Tensor

from amulet.attribute_inference.metrics.evidence import METRICS, AttributeEvidence
from amulet.attribute_inference.metrics.intervals import Floats, balanced_interval, paired_interval
from amulet.attribute_inference.metrics.training import measure_training
from amulet.core.evidence import Measurement
from amulet.core.influence import Influence, of_auc, of_cells, of_mean
from amulet.core.ranking import auc_interval, one_vs_rest_auc

_WITHOUT = {
    "prior": "the frequencies of its values alone: the answered class tells nothing of it",
    "predicted_label": "the predicted class alone: the confidence of the answers gives nothing more away",
    "label": "the task label alone: the model gives nothing away that the adversary does not know",
    "inputs": "the inputs alone: the model gives nothing away that the adversary does not know",
}


def recalls(answers: Tensor, truth: Tensor, values: int) -> Tensor:
    """Share of correct answers among the records of each value, (values,); NaN for a value that no record has."""
    right = truth[answers == truth].bincount(minlength=values).double()
    return right / truth.bincount(minlength=values).double()


def balanced_accuracy(answers: Tensor, truth: Tensor) -> float:
    """Mean over the values that occur of the share of correct answers, in [0, 1]; higher is worse for the victim.

    Chance is 1 / values, whatever their shares (paper, Table 3; `Acc_att` of its Tables 4 and 6).

    Args:
        answers: (n,) guessed values.
        truth: (n,) true values.

    >>> (
    ...     balanced_accuracy(torch.tensor([1, 1, 1, 0]), torch.tensor([1, 1, 1, 1])),
    ...     balanced_accuracy(torch.tensor([1, 1, 1, 1]), torch.tensor([0, 1, 1, 1])),
    ... )
    (0.75, 0.5)
    """
    each = recalls(answers, truth, int(torch.maximum(answers, truth).max()) + 1)
    return each[~each.isnan()].mean().item()


def attack_accuracy(log_probabilities: Tensor, truth: Tensor) -> float:
    """Share of records whose most likely value is the true one, in [0, 1]; higher is worse for the victim."""
    return (log_probabilities.argmax(dim=1) == truth).double().mean().item()


def measure(evidence: AttributeEvidence) -> Measurement:
    """All metrics of every attribute, with the baselines, and the advantage over the baseline that counts.

    The baseline of `race.balanced_accuracy` is what the adversary could have inferred from the predicted class alone,
    or where it has more than the victim's answers, from that; further baselines have separate names:
    `race.prior.balanced_accuracy`. `race.advantage` is the difference of balanced accuracies, in [-1, 1], with the
    interval of the paired difference.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    for attribute, truth in evidence.truth.items():
        about = {"attribute": attribute}
        if len(truth.unique()) < 2:
            for metric in dict.fromkeys(("balanced_accuracy", "auc", evidence.decides)):
                measured.record(METRICS[metric], math.nan, about, decides=metric == evidence.decides)
            measured.warnings.append(
                f"{evidence.name}: all test records have the same {attribute}, so there is nothing to guess: "
                "balanced accuracy, AUC and advantage cannot be had. Raise dataset.limit or leave the attribute out"
            )
            continue
        for key, other in evidence.log_probabilities.items():
            if key.startswith(f"{attribute}."):
                measured.baselines[f"{key}.balanced_accuracy"] = balanced_accuracy(evidence.answers[key], truth)
                measured.baselines[f"{key}.auc"] = one_vs_rest_auc(other, truth)
                measured.baselines[f"{key}.attack_accuracy"] = attack_accuracy(other, truth)
        _attack(measured, evidence, attribute)
        _advantage(measured, evidence, attribute)
        if attribute in evidence.training_truth:
            measure_training(measured, evidence, attribute)
    return measured


def _attack(measured: Measurement, evidence: AttributeEvidence, attribute: str) -> None:
    truth, scores, about = evidence.truth[attribute], evidence.log_probabilities[attribute], {"attribute": attribute}
    right, ids = evidence.answers[attribute] == truth, evidence.ids
    records = truth.bincount()
    had = records > 0
    base = {metric: measured.baselines.get(f"{attribute}.{evidence.reference}.{metric}") for metric in METRICS}
    measured.record(
        METRICS["balanced_accuracy"],
        balanced_accuracy(evidence.answers[attribute], truth),
        about,
        interval=balanced_interval(truth[right].bincount(minlength=len(records))[had].numpy(), records[had].numpy()),
        baseline=base["balanced_accuracy"],
        influence=_of_recalls(ids, truth, right),
        decides=evidence.decides == "balanced_accuracy",
    )
    measured.record(
        METRICS["auc"],
        one_vs_rest_auc(scores, truth),
        about,
        interval=auc_interval((truth == 1).numpy(), scores[:, 1].numpy()) if scores.shape[1] == 2 else None,
        baseline=base["auc"],
        influence=_of_auc(ids, scores, truth),
    )
    hit = scores.argmax(dim=1) == truth
    measured.proportion(
        METRICS["attack_accuracy"],
        int(hit.sum()),
        len(truth),
        about,
        baseline=base["attack_accuracy"],
        influence=of_mean(ids, hit),
    )


def _of_recalls(ids: Tensor, truth: Tensor, right: Tensor) -> Influence:
    """Of the mean of the values' shares of right answers."""

    def recall(shares: Floats) -> float:
        wrong, correct = shares.reshape(-1, 2).T
        had = wrong + correct > 0
        return float((correct[had] / (wrong + correct)[had]).mean())

    return of_cells(ids, 2 * truth + right, recall, kinds=2 * int(truth.max() + 1))


def _of_auc(ids: Tensor, scores: Tensor, truth: Tensor) -> Influence:
    """Of `one_vs_rest_auc`: the mean over the values that occur; of two values both are the same."""
    values = [1] if scores.shape[1] == 2 else [int(value) for value in truth.unique()]
    each = [of_auc(ids, scores[:, value], truth == value) for value in values]
    return Influence(each[0].ids, np.mean([one.values for one in each], axis=0))


def _advantage(measured: Measurement, evidence: AttributeEvidence, attribute: str) -> None:
    key = f"{attribute}.{evidence.reference}"
    if key not in evidence.answers:
        return
    truth = evidence.truth[attribute]
    ours, theirs = evidence.answers[attribute] == truth, evidence.answers[key] == truth
    records = truth.bincount()
    had = records > 0
    gained, lost = (
        truth[only].bincount(minlength=len(records))[had].numpy() for only in (ours & ~theirs, theirs & ~ours)
    )
    with_ours, with_theirs = (_of_recalls(evidence.ids, truth, right) for right in (ours, theirs))
    value = measured.metrics[f"{attribute}.balanced_accuracy"] - measured.baselines[f"{key}.balanced_accuracy"]
    interval = paired_interval(gained, lost, records[had].numpy())
    measured.record(
        METRICS["advantage"],
        value,
        {"attribute": attribute},
        interval=interval,
        influence=Influence(with_ours.ids, with_ours.values - with_theirs.values),
        decides=evidence.decides == "advantage",
    )
    if interval[0] <= 0:
        measured.warnings.append(
            f"{evidence.name}: guessing {attribute} from the model's answers is not shown to be better than from "
            f"{_WITHOUT.get(evidence.reference, key)} "
            f"(balanced accuracy {measured.metrics[f'{attribute}.balanced_accuracy']:.3f} against "
            f"{measured.baselines[f'{attribute}.balanced_accuracy']:.3f}, interval of the difference "
            f"{interval[0]:+.3f} to {interval[1]:+.3f}). Do not read the number as a leak; if the interval is wide, "
            "use more data (dataset.limit, adversary_fraction)"
        )
