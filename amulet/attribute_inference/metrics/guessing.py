"""Balanced accuracy, AUC and accuracy of inferred attributes, compared with inference without the model."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.ranking import one_vs_rest_auc

METRICS = metrics_of(
    "attribute_inference",
    Metric(
        "balanced_accuracy",
        "records whose attribute is inferred, its values weighted equally",
        "higher",
        decides=True,
    ),
    Metric("auc", "AUC of inferring the attribute", "higher"),
    Metric("attack_accuracy", "records whose attribute is inferred", "higher"),
    Metric("advantage", "balanced accuracy gained over a guess without the model", "higher"),
)
_95 = 1.959964  # normal quantile of a two-sided 95 % interval


@dataclass(frozen=True, kw_only=True)
class AttributeEvidence(Evidence):
    """The inferred attributes of n records of the test split.

    `log_probabilities` and `answers` have one entry for the attack on each attribute (`race`) and one for each
    baseline (`race.label`).
    """

    ids: Tensor
    """(n,) record ids."""
    truth: Mapping[str, Tensor]
    """(n,) by attribute: the index of each record's value among the attribute's values."""
    log_probabilities: Mapping[str, Tensor]
    """(n, k): the estimated log probability of each value."""
    answers: Mapping[str, Tensor]
    """(n,): the inferred value, by thresholds that were chosen on the adversary's records."""
    reference: str = "label"
    """The baseline that knows all that the adversary knows, except the victim's answers."""
    name: str = "victim"
    """For warnings."""


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


def _balanced_with_interval(right: Tensor, truth: Tensor) -> tuple[float, tuple[float, float]]:
    """Mean over values of the mean of `right`, and its normal interval with the values' groups independent."""
    total, variance, groups = 0.0, 0.0, 0
    for value in truth.unique():
        group = right[truth == value].double()
        groups += 1
        total += group.mean().item()
        variance += group.var(correction=0).item() / len(group)
    mean, half = total / groups, _95 * math.sqrt(variance) / groups
    return mean, (mean - half, mean + half)


def measure(evidence: AttributeEvidence) -> Measurement:
    """All metrics of every attribute, with the baselines, and the advantage over inference without the model.

    The baseline of `race.balanced_accuracy` is what the adversary could have inferred without the victim's answers;
    further baselines have separate names: `race.prior.balanced_accuracy`. `race.advantage` is the difference
    of balanced accuracies, in [-1, 1], with the interval of the paired difference.
    """
    measured = Measurement(warnings=list(evidence.warnings))
    for attribute, truth in evidence.truth.items():
        about = {"attribute": attribute}
        if len(truth.unique()) < 2:
            for metric in ("balanced_accuracy", "auc"):
                measured.record(METRICS[metric], math.nan, about)
            measured.warnings.append(
                f"{evidence.name}: all test records have the same {attribute}, so there is nothing to guess: "
                "balanced accuracy and AUC cannot be had. Raise dataset.limit or leave the attribute out"
            )
            continue
        scores, guessed = evidence.log_probabilities[attribute], evidence.answers[attribute]
        value, interval = _balanced_with_interval(guessed == truth, truth)
        interval = max(0.0, interval[0]), min(1.0, interval[1])
        measured.record(METRICS["balanced_accuracy"], value, about, interval=interval)
        measured.record(METRICS["auc"], one_vs_rest_auc(scores, truth), about)
        hits = int((scores.argmax(dim=1) == truth).sum())
        measured.proportion(METRICS["attack_accuracy"], hits, len(truth), about)
        for key, other in evidence.log_probabilities.items():
            if key.startswith(f"{attribute}."):
                baseline = key.removeprefix(f"{attribute}.")
                _baseline(measured, attribute, baseline, other, evidence.answers[key], truth)
                if baseline == evidence.reference:
                    measured.baselines |= {
                        f"{attribute}.{metric}": measured.baselines[f"{key}.{metric}"]
                        for metric in ("balanced_accuracy", "auc", "attack_accuracy")
                    }
        _advantage(measured, evidence, attribute)
    return measured


def _baseline(
    measured: Measurement, attribute: str, baseline: str, scores: Tensor, guessed: Tensor, truth: Tensor
) -> None:
    prefix = f"{attribute}.{baseline}"
    measured.baselines[f"{prefix}.balanced_accuracy"] = balanced_accuracy(guessed, truth)
    measured.baselines[f"{prefix}.auc"] = one_vs_rest_auc(scores, truth)
    measured.baselines[f"{prefix}.attack_accuracy"] = attack_accuracy(scores, truth)


def _advantage(measured: Measurement, evidence: AttributeEvidence, attribute: str) -> None:
    key = f"{attribute}.{evidence.reference}"
    if key not in evidence.answers:
        return
    truth = evidence.truth[attribute]
    difference = (evidence.answers[attribute] == truth).double() - (evidence.answers[key] == truth).double()
    value, interval = _balanced_with_interval(difference, truth)
    measured.record(METRICS["advantage"], value, {"attribute": attribute}, interval=interval)
    if interval[0] <= 0:
        known = {"label": "the task label alone", "inputs": "the inputs alone"}.get(evidence.reference, key)
        measured.warnings.append(
            f"{evidence.name}: guessing {attribute} from the model's answers is not better than from {known} "
            f"(balanced accuracy {measured.metrics[f'{attribute}.balanced_accuracy']:.3f} against "
            f"{measured.baselines[f'{attribute}.balanced_accuracy']:.3f}): the model gives nothing away that the "
            "adversary does not know. Do not read the number as a leak"
        )
