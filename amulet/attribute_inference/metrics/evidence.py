"""What attribute inference is measured by: the evidence, and the facts of its metrics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from amulet.core.evidence import Evidence
from amulet.core.facts import Metric, metrics_of

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
    Metric("advantage", "balanced accuracy gained over the baseline", "higher", range=(-1, 1)),
    Metric(
        "training_balanced_accuracy",
        "training records whose attribute is inferred, its values weighted equally",
        "higher",
    ),
    Metric("training_advantage", "balanced accuracy gained on training records", "higher", range=(-1, 1)),
    Metric("training_gap", "balanced accuracy on training records minus that on test records", "higher", range=(-1, 1)),
)


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
    training_truth: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(m,) by attribute: as `truth`, of records that the victim was trained on; empty where they are unknown."""
    training_answers: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    """(m,): as `answers`, of these."""
    reference: str = "predicted_label"
    """The baseline with the adversary's knowledge: of the victim's answers it has at most the predicted class."""
    decides: str = "balanced_accuracy"
    """The metric that decides."""
    name: str = "victim"
    """For warnings."""
