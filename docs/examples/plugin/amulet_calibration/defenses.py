"""Label smoothing."""

from typing import Any

from amulet.core.errors import in_range
from amulet.datasets import Records
from amulet.training import Hook, Loss, LossFunction, Training
from amulet.training.standalone import TrainingDefense


class LabelSmoothing(TrainingDefense):
    """Learn softened labels, which keeps a model from being surer than it is right (Szegedy et al., CVPR 2016).

    Args:
        share: of each label that is spread evenly over all classes, [0, 1).
    """

    risk = "calibration"
    per_record = True  # a record's softened label depends on no other record

    def __init__(self, *given: Any, share: float = 0.1) -> None:
        super().__init__(*given)
        in_range("share", share, 0, below=1)
        self.share = share

    def hook(self) -> Hook:
        """A fresh hook for one training."""
        return _Smoothing(self.share)


class _Smoothing(Hook):
    def __init__(self, share: float) -> None:
        self.share = share

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        """Müller et al., NeurIPS 2019, Section 2: cross-entropy with (1 - share) y + share / classes."""
        found = inner(batch)
        spread = -found.logits.log_softmax(dim=1).mean(dim=1)
        return Loss((1 - self.share) * found.values + self.share * spread, found.logits)
