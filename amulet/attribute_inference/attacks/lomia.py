"""LOMIA: from labels alone, by records that one value alone explains (Mehnaz et al., USENIX Security 2022)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from amulet.attribute_inference.attacks.base import ATTACK, Features, Inference
from amulet.attribute_inference.attacks.completions import CompletionAttack, only_right
from amulet.core.access import Access
from amulet.datasets.records import Records

_ENOUGH = 30  # records that show one value
_SURE = 100.0
"""Logit of the value with which alone the victim is right, above those of the MLP."""


class LOMIA(CompletionAttack):
    """Where one value alone gives a record its label, that one; elsewhere what an MLP learned from such records.

    The adversary asks about its own records with each value in turn, keeps those for which one value alone gives their
    label, and fits an MLP from the other inputs and the label to that value (Mehnaz et al., 2022, section 4.3: it does
    so with the records it attacks). It does not use what it knows of its records' attribute; the guesser without the
    model does.

    Args:
        attributes: categorical inputs by name; None: the sensitive attributes among them, else all.
        hidden: widths of the MLP's hidden layers.
        epochs: passes over the records that it is fitted to.
        batch_size: records per update.
        lr: Adam's learning rate.
        held_out: share of the adversary's records on which the thresholds of the guesser are chosen, (0, 1).
    """

    title = "LOMIA (label-only model inversion)"
    needs = Access.LABELS | Access.QUERIES

    def views(self, one: Inference) -> dict[str, Features]:
        """What the victim's answers show, in the last column, behind what is known without them."""
        known = self.baselines(one)

        def shown(records: Records) -> Tensor:
            answers = self.completed(records, one).argmax(dim=2)
            return torch.cat([known["inputs"](records), only_right(answers, records.y.cpu())[:, None].float()], dim=1)

        return {ATTACK: shown, **known}

    def estimate(self, view: str, features: Features, one: Inference) -> Tensor:
        """Fit to the adversary's records that show one value; those of the targets that do so have it."""
        if view != ATTACK:
            return super().estimate(view, features, one)
        mine, wanted = one.rows(features)
        shows, shown = mine[:, -1] >= 0, wanted[:, -1].long()
        logits = torch.zeros(len(wanted), one.count)
        if shows.any():
            logits = self.guess(
                mine[shows, :-1],
                mine[shows, -1].long(),
                wanted[:, :-1],
                one.count,
                stream=one.stream / view,
                runtime=one.asked.runtime,
                label=f"infer {one.attribute} from {one.asked.victim}",
            )
        sure = F.one_hot(shown.clamp_min(0), one.count) * (shown >= 0)[:, None]
        return logits + _SURE * sure

    def thresholds(self, view: str, scores: Tensor, one: Inference) -> Tensor:
        """None: the attack as published chooses the most likely."""
        return torch.zeros(one.count) if view == ATTACK else super().thresholds(view, scores, one)

    def doubts(self, one: Inference) -> list[str]:
        """Few records to learn from."""
        answers = self.completed(one.asked.adversary, one).argmax(dim=2)
        shown = int((only_right(answers, one.asked.adversary.y.cpu()) >= 0).sum())
        if shown >= _ENOUGH:
            return []
        text = (
            f"{one.asked.victim}: {shown} of the adversary's records get their label with one value of {one.attribute} "
            "alone, so LOMIA has next to nothing to learn from: the victim hardly looks at it. Try aided_imputation, "
            "which also uses the other records"
        )
        return [text]
