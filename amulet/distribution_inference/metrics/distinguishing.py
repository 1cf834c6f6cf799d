"""Distinguishing accuracy."""

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
    """(2n, size) the same of the adversary's models."""
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


def measure(evidence: DistributionEvidence) -> Measurement:
    """Distinguishing accuracy of the chosen test, and of the others under their names, with their exact intervals."""
    measured = Measurement(warnings=list(evidence.warnings))
    n = len(evidence.population)
    for test, scores in evidence.scores.items():
        right = round(distinguishing_accuracy(scores, evidence.population) * n)
        decides = test == evidence.test
        prefix = [] if decides else [test]
        metric = METRICS["distinguishing_accuracy"]
        name = measured.proportion(metric, right, n, {"test": test}, prefix=prefix, decides=decides)
        measured.baselines[name] = 0.5
    low, high = measured.intervals["distinguishing_accuracy"]
    if high - low > 0.3:
        measured.warnings.append(
            f"{evidence.name}: {n} models leave distinguishing_accuracy an interval of {100 * (high - low):.0f} points "
            f"({low:.2f} to {high:.2f}). Raise attack.n_models ({n // 2} now); those trained so far are kept"
        )
    return measured
