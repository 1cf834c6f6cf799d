"""Imputation with the model's help: an MLP on what is known of a record and the answers to its completions."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.attribute_inference.attacks.base import ATTACK, Features, Inference
from amulet.attribute_inference.attacks.completions import CompletionAttack
from amulet.attribute_inference.attacks.features import principal_axes
from amulet.core.access import Access
from amulet.core.errors import one_of
from amulet.datasets.records import Records
from amulet.datasets.variables import Variable


class AidedImputation(CompletionAttack):
    """Imputes a missing input from the other inputs, the label and the victim's answers with each value in its place.

    The guesser without the model is the same MLP without the answers, so the gain over it is what the model gives away
    to an adversary that can impute (Jayaraman and Evans, CCS 2022, section 3, combine the two by hand).

    Args:
        outputs: the victim's answers: `probabilities`, or `labels`.
        attributes: categorical inputs by name; None: the sensitive attributes among them, else all.
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
        variables: Mapping[str, Variable] | None = None,
        *,
        outputs: Literal["probabilities", "labels"] = "probabilities",
        attributes: list[str] | None = None,
        hidden: Sequence[int] = (64, 32),
        epochs: int = 20,
        batch_size: int = 256,
        lr: float = 0.001,
        held_out: float = 0.2,
    ) -> None:
        super().__init__(
            target_model,
            adversary_records,
            test_records,
            device,
            variables,
            attributes=attributes,
            hidden=hidden,
            epochs=epochs,
            batch_size=batch_size,
            lr=lr,
            held_out=held_out,
        )
        one_of("outputs", outputs, ("probabilities", "labels"))
        self.outputs = outputs
        if outputs == "labels":
            self.needs = Access.LABELS | Access.QUERIES

    def manifest(self) -> dict[str, Any]:
        """Which outputs it sees."""
        return {"outputs": self.outputs}

    def views(self, one: Inference) -> dict[str, Features]:
        """The answers, along directions in which they are uncorrelated, beside what is known without them."""
        known = self.baselines(one)
        axes = principal_axes(self._seen(one.asked.adversary, one))

        def helped(records: Records) -> Tensor:
            return torch.cat([known["inputs"](records), self._seen(records, one) @ axes], dim=1)

        return {ATTACK: helped, **known}

    def _seen(self, records: Records, one: Inference) -> Tensor:
        """(n, k * classes)."""
        answers = self.completed(records, one)
        if self.outputs == "labels":
            return F.one_hot(answers.argmax(dim=2), answers.shape[2]).flatten(1).float()
        return answers.double().softmax(dim=2).flatten(1).float()
