"""CSMIA: the confidence of the answers to each completion (Mehnaz et al., USENIX Security 2022)."""

import torch
from torch import Tensor

from amulet.attribute_inference.attacks.base import ATTACK, Features, Inference
from amulet.attribute_inference.attacks.completions import CompletionAttack
from amulet.core.access import Access
from amulet.datasets.records import Records


class CSMIA(CompletionAttack):
    """The value with which the victim is right and surest; where it is wrong with all, the one with which it is least.

    The three cases of Mehnaz et al. (2022, section 4.2): one value gives the record's label: that one. Several do: the
    one with the highest confidence. None does: the one with the lowest. Nothing is learned; the adversary's records
    serve the guesser without the model. Of equal values the first is taken: where the victim does not look at the
    attribute, the balanced accuracy is 1 / values.

    Args:
        attributes: categorical inputs by name; None: the sensitive attributes among them, else all.
        hidden: widths of the hidden layers of the guesser without the model.
        epochs: its passes over the adversary's records.
        batch_size: records per update.
        lr: Adam's learning rate.
        held_out: share of the adversary's records on which its thresholds are chosen, (0, 1).
    """

    title = "CSMIA (confidence-score model inversion)"
    needs = Access.PROBABILITIES | Access.QUERIES

    def views(self, one: Inference) -> dict[str, Features]:
        """The confidences."""
        return {ATTACK: lambda records: self._scores(records, one), **self.baselines(one)}

    def _scores(self, records: Records, one: Inference) -> Tensor:
        """(n, k): the confidence of a right answer; that of a wrong one below zero."""
        confidence, answer = self.completed(records, one).double().softmax(dim=2).max(dim=2)
        return torch.where(answer == records.y.cpu()[:, None], confidence, -confidence)

    def estimate(self, view: str, features: Features, one: Inference) -> Tensor:
        """The confidences as they are."""
        return one.rows(features)[1] if view == ATTACK else super().estimate(view, features, one)

    def thresholds(self, view: str, scores: Tensor, one: Inference) -> Tensor:
        """None: the attack as published chooses the largest."""
        return torch.zeros(one.count) if view == ATTACK else super().thresholds(view, scores, one)
