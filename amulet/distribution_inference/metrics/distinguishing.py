"""Distinguishing accuracy."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from amulet.core.evidence import Evidence, Measurement
from amulet.core.facts import Metric, metrics_of

METRICS = metrics_of(
    "distribution_inference",
    Metric(
        "distinguishing_accuracy",
        "models whose training distribution is told apart",
        "higher",
        decides=True,
    ),
)
_PRECISE = 0.03  # standard error up to which one seed's accuracy is precise enough


@dataclass(frozen=True, kw_only=True)
class DistributionEvidence(Evidence):
    """Scores of 2n models of a victim: n trained on records of the first ratio, then n on records of the second."""

    population: Tensor
    """(2n,) 0 or 1: the ratio of a model's records."""
    scores: Mapping[str, Tensor]
    """(2n,) by test: above 0 if the attack says the second ratio."""
    test: str
    """The test that decides."""
    query_ids: Tensor
    """(2, queries) ids of the adversary's records with which every model was queried."""
    victim_ids: Tensor
    """(2n, size) ids of the records that each of the victim's models was trained on."""
    adversary_ids: Tensor
    """(2m, size) the same of the adversary's models, m of either ratio."""
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
    """Distinguishing accuracy of the chosen test, and of the others under their names, with their exact intervals."""
    measured = Measurement(warnings=list(evidence.warnings))
    n = len(evidence.population)
    for test, scores in evidence.scores.items():
        right = round(distinguishing_accuracy(scores, evidence.population) * n)
        decides = test == evidence.test
        prefix = [] if decides else [test]
        metric = METRICS["distinguishing_accuracy"]
        measured.proportion(metric, right, n, {"test": test}, prefix=prefix, baseline=0.5, decides=decides)
    chosen = evidence.scores[evidence.test], evidence.population
    error, share = standard_error(*chosen), _middle(*chosen)
    if error > _PRECISE:
        needed = math.ceil((share * (1 - share) / _PRECISE**2 - 4) / 2)
        measured.warnings.append(
            f"{evidence.name}: {n} models leave distinguishing_accuracy a standard error of {100 * error:.0f} points. "
            f"For {100 * _PRECISE:.0f} points set attack.n_models={needed} ({n // 2} now); those trained so far "
            "are kept"
        )
    return measured
