"""An MLP on the victim's outputs (Aalmoes et al., WISE 2024)."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.attribute_inference.attacks.base import ATTACK, Features, Inference
from amulet.attribute_inference.attacks.features import principal_axes
from amulet.attribute_inference.attacks.learner import LearnedAttack
from amulet.core.access import Access
from amulet.core.errors import one_of
from amulet.datasets.records import Records


class OutputAttack(LearnedAttack):
    """Learns from the victim's answers to the records themselves, and from their inputs and labels if it has them."""

    knows_inputs: bool
    knows_label: bool

    @abstractmethod
    def seen(self, logits: Tensor) -> Tensor:
        """What the adversary sees of the victim's answers: features (n, d)."""

    def views(self, one: Inference) -> dict[str, Features]:
        """With the baselines: how frequent each value is, the predicted class, the label, the inputs if it has them."""
        asked = one.asked

        def known(records: Records) -> list[Tensor]:
            parts = [asked.others(one.attribute, records)] if self.knows_inputs else []
            if self.knows_label:
                classes = asked.answer(asked.adversary).shape[1]
                parts.append(F.one_hot(records.y.cpu(), classes).float())
            return parts

        # Directions in which the answers vary little may contain most information, and get lost in correlated features.
        axes = principal_axes(self.seen(asked.answer(asked.adversary)))
        views: dict[str, Features] = {
            ATTACK: lambda records: torch.cat([*known(records), self.seen(asked.answer(records)) @ axes], dim=1),
            "prior": lambda records: torch.zeros(len(records), dtype=torch.int64),
            "label": lambda records: records.y.cpu(),
            "predicted_label": lambda records: asked.answer(records).argmax(dim=1),
        }
        if self.knows_inputs:
            views["inputs"] = lambda records: torch.cat(known(records), dim=1)
        return views

    @property
    def without_answers(self) -> str:
        """The baseline that has the adversary's knowledge of a record, without any answer; empty: it has none."""
        return "inputs" if self.knows_inputs else "label" if self.knows_label else ""


class AttributeInference(OutputAttack):
    """Fits an MLP for each sensitive attribute to the victim's outputs on the adversary's own records (paper: P2).

    The thresholds are chosen on a part of these records that the MLP is not fitted to (Aalmoes et al., WISE 2024,
    adapt them to the attribute's imbalance). The test split decides; the training records stand beside it.

    Args:
        outputs: the victim's answers: `probabilities`, or `logits`, which contain more information.
        knows_inputs: whether the adversary also has the inputs of the records, images as thumbnails. The result is then
            compared with an inference from the inputs alone.
        knows_label: whether it also has their true labels, which is then what the result is compared with.
        attributes: their names; None: all sensitive attributes of the data set.
        hidden: widths of the MLP's hidden layers.
        epochs: passes over the adversary's records.
        batch_size: records per update.
        lr: Adam's learning rate.
        held_out: share of the adversary's records on which the thresholds are chosen, (0, 1).
    """

    needs = Access.PROBABILITIES | Access.QUERIES

    def __init__(
        self,
        target_model: nn.Module | None = None,
        adversary_records: Records | None = None,
        test_records: Records | None = None,
        device: str | torch.device = "cpu",
        *,
        outputs: Literal["probabilities", "logits"] = "probabilities",
        knows_inputs: bool = False,
        knows_label: bool = False,
        attributes: list[str] | None = None,
        hidden: Sequence[int] = (64, 32),
        epochs: int = 20,
        batch_size: int = 256,
        lr: float = 0.001,
        held_out: float = 0.2,
    ) -> None:
        super().__init__(target_model, adversary_records, test_records, device)
        one_of("outputs", outputs, ("probabilities", "logits"))
        self._set_learner(
            attributes=attributes, hidden=hidden, epochs=epochs, batch_size=batch_size, lr=lr, held_out=held_out
        )
        self.outputs = outputs
        self.knows_inputs = knows_inputs
        self.knows_label = knows_label
        # Of the victim's answers the baseline has at most the predicted class.
        self.reference = self.without_answers or "predicted_label"
        if outputs == "logits":
            self.needs = Access.LOGITS | Access.QUERIES

    def seen(self, logits: Tensor) -> Tensor:
        """Probabilities or logits."""
        # In double precision: a float32 softmax is exactly 1 for a confident model, and loses information.
        return logits if self.outputs == "logits" else logits.double().softmax(dim=1).float()

    def manifest(self) -> dict[str, Any]:
        """Which outputs it sees."""
        return {"outputs": self.outputs}


class AttributeLabels(OutputAttack):
    """As `AttributeInference`, from the class that the victim answers and nothing else of its answer.

    With `knows_inputs` or `knows_label` the MLP also learns from those: that the victim errs on a record may say
    something of it. The result is compared with what the same knowledge gives without the class.

    Args:
        knows_inputs: whether the adversary also has the inputs of the records, images as thumbnails.
        knows_label: whether it also has their true labels.
        attributes: their names; None: all sensitive attributes of the data set.
        hidden: widths of the MLP's hidden layers.
        epochs: passes over the adversary's records.
        batch_size: records per update.
        lr: Adam's learning rate.
        held_out: share of the adversary's records on which the thresholds are chosen, (0, 1).
    """

    title = "attribute inference from labels"
    needs = Access.LABELS | Access.QUERIES

    def __init__(
        self,
        target_model: nn.Module | None = None,
        adversary_records: Records | None = None,
        test_records: Records | None = None,
        device: str | torch.device = "cpu",
        *,
        knows_inputs: bool = False,
        knows_label: bool = False,
        attributes: list[str] | None = None,
        hidden: Sequence[int] = (64, 32),
        epochs: int = 20,
        batch_size: int = 256,
        lr: float = 0.001,
        held_out: float = 0.2,
    ) -> None:
        super().__init__(target_model, adversary_records, test_records, device)
        self._set_learner(
            attributes=attributes, hidden=hidden, epochs=epochs, batch_size=batch_size, lr=lr, held_out=held_out
        )
        self.knows_inputs = knows_inputs
        self.knows_label = knows_label
        self.reference = self.without_answers or "prior"

    def seen(self, logits: Tensor) -> Tensor:
        """The answered class, one-hot."""
        return F.one_hot(logits.argmax(dim=1), logits.shape[1]).float()
