"""The assessment of a model's behavior towards groups, in place of an attack."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.component import Attack
from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.discriminatory_behavior.metrics.consistency import agreement, nearest
from amulet.discriminatory_behavior.metrics.evidence import BehaviorEvidence
from amulet.models.inspect import predict


class DiscriminatoryBehavior(Attack):
    """How a model treats the groups of each sensitive attribute (paper: F).

    Args:
        model: the model to evaluate, for `attack()`.
        records: the records to evaluate it on; they need sensitive attributes.
        device: the device to use.
        positive: the class that is the favourable answer. None: class 1 of two; with more classes a difference is the
            largest over the classes, each against the rest.
        intersections: also evaluate the groups that all attributes together define, under the name `intersection`; they
            do not decide the verdict.
        min_records: a group with fewer records is left out.
        min_positives: so is one with fewer records of the favourable label, or of the other.
        neighbors: for consistency, the number of nearest records whose answers a record's is compared with.
        compared: the number of records that are compared with their nearest ones, drawn at random; with fewer, all are.
    """

    risk = "discriminatory_behavior"
    needs = Access.LABELS

    def __init__(
        self,
        model: nn.Module | None = None,
        records: "Records | DataLoader[object] | None" = None,
        device: str | torch.device = "cpu",
        *,
        positive: int | None = None,
        intersections: bool = True,
        min_records: int = 30,
        min_positives: int = 10,
        neighbors: int = 5,
        compared: int = 2000,
    ) -> None:
        self.model, self.records, self.device = model, records, torch.device(device)
        in_range("positive", positive, 0, optional=True)
        in_range("min_records", min_records, 1)
        in_range("min_positives", min_positives, 1)
        in_range("neighbors", neighbors, 1)
        in_range("compared", compared, 2)
        self.positive = positive
        self.intersections = intersections
        self.min_records = min_records
        self.min_positives = min_positives
        self.neighbors = neighbors
        self.compared = compared

    def look(
        self,
        answers: torch.Tensor,
        records: Records,
        num_classes: int,
        stream: Stream,
        probabilities: torch.Tensor | None = None,
        *,
        comparable: bool = True,
    ) -> BehaviorEvidence:
        """The evidence from a model's answers (n,) int64 to the records.

        Args:
            answers: the classes it answers.
            records: what it answered.
            num_classes: how many classes there are.
            stream: chooses the records that are compared with their nearest, and says what chance alone would show.
            probabilities: (n, num_classes); without them there is no calibration.
            comparable: whether the inputs say how alike records are; without them there is no consistency.
        """
        if not records.attributes:
            raise SettingError("`records` must have sensitive attributes")
        anchors = torch.randperm(len(records), generator=(stream / "compared").generator())[: self.compared]
        anchors = anchors.sort().values
        enough = comparable and len(records) > self.neighbors
        return BehaviorEvidence(
            ids=records.ids,
            answers=answers,
            labels=records.y,
            groups=records.z,
            attributes=records.attributes,
            value_names=records.value_names,
            num_classes=num_classes,
            probabilities=probabilities,
            anchor_ids=records.ids.cpu()[anchors] if enough else None,
            agreement=agreement(answers, anchors, nearest(records, anchors, self.neighbors)) if enough else None,
            positive=self.positive,
            intersections=self.intersections,
            min_records=self.min_records,
            min_positives=self.min_positives,
            stream=stream,
        )

    def attack(self) -> BehaviorEvidence:
        """Evaluate the model passed to the constructor."""
        if self.model is None or self.records is None:
            raise SettingError("`DiscriminatoryBehavior` must be built with a model and records to run `attack()`")
        records = Records.from_loader(self.records)
        logits = predict(self.model.to(self.device), records)
        stream = Stream(0) / "attack" / self.risk
        return self.look(logits.argmax(dim=1), records, logits.shape[1], stream, logits.softmax(dim=1))
