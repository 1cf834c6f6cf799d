"""Training objectives: the loss of each record of a batch."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from amulet.datasets.records import Records


def cross_entropy(logits: Tensor, batch: Records) -> Tensor:
    """Cross-entropy with the labels, (b,)."""
    return F.cross_entropy(logits, batch.y, reduction="none")


def logit_mse(logits: Tensor, batch: Records) -> Tensor:
    """Mean squared difference to the teacher's logits, (b,) (Tramer et al., 2016, as in ML-Doctor)."""
    return (logits - _targets(batch)).square().mean(dim=1)


def kl(logits: Tensor, batch: Records) -> Tensor:
    """KL divergence from the teacher's class probabilities to the student's, (b,)."""
    taught = F.log_softmax(_targets(batch), dim=1)
    return F.kl_div(F.log_softmax(logits, dim=1), taught, reduction="none", log_target=True).sum(dim=1)


def hard_labels(logits: Tensor, batch: Records) -> Tensor:
    """Cross-entropy with the teacher's most likely class, (b,)."""
    return F.cross_entropy(logits, _targets(batch).argmax(dim=1), reduction="none")


def _targets(batch: Records) -> Tensor:
    if batch.targets is None:
        raise ValueError("`targets` must hold the teacher's logits, got None")
    return batch.targets


OBJECTIVES: dict[str, Callable[[Tensor, Records], Tensor]] = {
    function.__name__: function for function in (cross_entropy, logit_mse, kl, hard_labels)
}


def right(logits: Tensor, batch: Records) -> Tensor:
    """The number of correct answers in a batch: equal to the label, or to the teacher's answer; a 0-d tensor."""
    wanted = batch.y if batch.targets is None else batch.targets.argmax(dim=1)
    return (logits.argmax(dim=1) == wanted).sum()
