"""Distinguishing accuracy, the error of inferred ratios, and the records that a model leaks in effect."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of
from amulet.core.intervals import NORMAL_95
from amulet.distribution_inference.metrics.leakage import leaked_by_regression, leaked_records, ratio_errors

METRICS = metrics_of(
    "distribution_inference",
    Metric(
        "distinguishing_accuracy",
        "models whose training distribution is told apart",
        "higher",
        decides=True,
    ),
    Metric("leaked_records", "records that would tell the distributions apart as well", "higher", unit="records"),
    Metric("ratio_error", "mean absolute error of the inferred share", "lower"),
    Metric("ratio_leaked_records", "records whose share would be as close", "higher", unit="records"),
)
_PRECISE = 0.03  # standard error up to which one seed's accuracy is precise enough


@dataclass(frozen=True, kw_only=True)
class DistributionEvidence(Evidence):
    """Scores of a victim's models: n trained on records of the first ratio, n of the second, others between."""

    population: Tensor
    """(m,) 0 or 1: the ratio of a model's records; from 2 on the ratios between."""
    scores: Mapping[str, Tensor]
    """(m,) by test: above 0 if the attack says the second ratio."""
    test: str
    """The test that decides."""
    query_ids: Tensor
    """(2, queries) ids of the adversary's records with which every model was queried."""
    victim_ids: Tensor
    """(m, size) ids of the records that each of the victim's models was trained on."""
    adversary_ids: Tensor
    """(a, size) the same of the adversary's models, as many of each ratio."""
    ratios: tuple[float, ...] = ()
    """The two that are told apart, then those between."""
    estimates: Tensor | None = None
    """(m,) the ratios that the attack infers, [0, 1]; None if it only tells two apart."""
    accuracy: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(2, models) accuracy on both query sets, of the `victim`'s and the `adversary`'s models."""
    name: str = "victim"
    """For warnings."""


def distinguishing_accuracy(scores: Tensor, population: Tensor) -> float:
    """Share of models whose ratio is inferred correctly, in [0, 1]; chance is 0.5, higher is worse for the victim.

    Suri et al., SaTML 2023, with the same number of models for each ratio.

    Args:
        scores: (n,) above 0 for the second ratio.
        population: (n,) 0 for the first ratio, 1 for the second.
    """
    return ((scores > 0).long() == population).double().mean().item()


def standard_error(scores: Tensor, population: Tensor) -> float:
    """The standard error of `distinguishing_accuracy`, over draws of models from the same records.

    With two right and two wrong ones added, as Agresti and Coull do (The American Statistician 52, 1998): not 0 where
    all are right.

    >>> round(standard_error(Tensor([1.0, -1.0]), Tensor([1, 1])), 4)
    0.2041
    """
    n, share = len(population) + 4, _middle(scores, population)
    return (share * (1 - share) / n) ** 0.5


def _middle(scores: Tensor, population: Tensor) -> float:
    n = len(population)
    return (distinguishing_accuracy(scores, population) * n + 2) / (n + 4)


def measure(evidence: DistributionEvidence) -> Measurement:
    """Distinguishing accuracy of the chosen test, and of the others under their names, with their exact intervals.

    Beside it the number of records that would tell the two ratios apart as well, and, where ratios were inferred, their
    mean absolute error (each ratio counts the same; the baseline is that of always answering the middle).
    """
    measured = Measurement(warnings=list(evidence.warnings))
    ends = evidence.population < 2
    population, n = evidence.population[ends], int(ends.sum())
    for test, every in evidence.scores.items():
        right = round(distinguishing_accuracy(every[ends], population) * n)
        decides = test == evidence.test
        prefix = [] if decides else [test]
        metric = METRICS["distinguishing_accuracy"]
        measured.proportion(metric, right, n, {"test": test}, prefix=prefix, baseline=0.5, decides=decides)
    chosen = evidence.scores[evidence.test][ends], population
    _leaked(measured, evidence)
    _inferred(measured, evidence)
    error, share = standard_error(*chosen), _middle(*chosen)
    if error > _PRECISE:
        needed = math.ceil((share * (1 - share) / _PRECISE**2 - 4) / 2)
        measured.warnings.append(
            f"{evidence.name}: {n} models leave distinguishing_accuracy a standard error of {100 * error:.0f} points. "
            f"For {100 * _PRECISE:.0f} points set attack.n_models={needed} ({n // 2} now); those trained so far "
            "are kept"
        )
    return measured


def _leaked(measured: Measurement, evidence: DistributionEvidence) -> None:
    """From the chosen test. Where all models are told apart there is only a lower end, which is given instead."""
    if len(evidence.ratios) < 2:
        return
    name = METRICS["distinguishing_accuracy"].name
    accuracy, (low, high) = measured.metrics[name], measured.intervals[name]
    number, least, most = (leaked_records(each, *evidence.ratios[:2]) for each in (accuracy, low, high))
    if math.isfinite(least):  # one record tells ratios of 0 and 1 apart, and equal ones nothing
        value, interval = (number, (least, most)) if math.isfinite(number) else (least, None)
        kept = interval if interval and math.isfinite(most) else None
        measured.record(METRICS["leaked_records"], value, interval=kept, baseline=0.0)


def _inferred(measured: Measurement, evidence: DistributionEvidence) -> None:
    if evidence.estimates is None:
        return
    ratios = torch.tensor(evidence.ratios).double()
    absolute, squared = ratio_errors(evidence.estimates, evidence.population, ratios)
    count = evidence.population.bincount(minlength=len(ratios)).double()
    spread = (squared - absolute**2).clamp_min(0) / count  # of each ratio's mean absolute error
    value, error = absolute.mean().item(), NORMAL_95 * (spread.sum().sqrt() / len(ratios)).item()
    middle = (ratios - ratios[:2].mean()).abs().mean().item()
    interval = max(0.0, value - error), min(1.0, value + error)
    measured.record(METRICS["ratio_error"], value, interval=interval, baseline=middle)
    nothing = leaked_by_regression((ratios - ratios[:2].mean()).square(), ratios)
    if math.isfinite(number := leaked_by_regression(squared, ratios)) and math.isfinite(nothing):
        measured.record(METRICS["ratio_leaked_records"], number, baseline=nothing)
