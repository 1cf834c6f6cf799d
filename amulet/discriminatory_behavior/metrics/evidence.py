"""The evidence: answers, labels and groups of each record."""

from dataclasses import dataclass

from torch import Tensor

from amulet.core.evidence import Evidence
from amulet.core.stream import Stream


@dataclass(frozen=True, kw_only=True)
class BehaviorEvidence(Evidence):
    """A model's answers for n records of people who belong to groups."""

    ids: Tensor
    """(n,) record ids."""
    answers: Tensor
    """(n,) predicted classes."""
    labels: Tensor
    """(n,) true classes."""
    groups: Tensor
    """(n, k) the value of each sensitive attribute."""
    attributes: tuple[str, ...]
    value_names: tuple[tuple[str, ...], ...] = ()
    """For each attribute the meaning of 0, 1 ... in words, if anybody said."""
    num_classes: int
    probabilities: Tensor | None = None
    """(n, num_classes) the model's probabilities; None if it does not give them."""
    anchor_ids: Tensor | None = None
    """(a,) ids of the records whose nearest records were looked at; None if none were."""
    agreement: Tensor | None = None
    """(a,) the share of each one's nearest records that get its answer."""
    positive: int | None = None
    intersections: bool = True
    min_records: int = 30
    min_positives: int = 10
    stream: Stream
    """For what chance alone would show."""
