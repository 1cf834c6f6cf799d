"""Membership inference from labels alone (Choquette-Choo et al., ICML 2021): how far is the decision boundary?"""

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.membership_inference.attacks.candidates import Asked, CandidateAttack, Scored
from amulet.models.inspect import batch_size_for
from amulet.training.recipe import Recipe


class LabelOnly(CandidateAttack):
    """Does the model keep its answer when the record is changed? It does longer for records that it was trained on.

    Each record is asked about itself and about noisy copies, from little noise to much. Score `robustness`: how many of
    the answers are the true label, which estimates the distance to the decision boundary (Choquette-Choo et al., 2021,
    section 4.3); records that are misclassified as they are come last. Only the answered class is used.

    Args:
        queries: noisy copies of each record.
        smallest: standard deviation of the least noise, in units of the inputs' range of 1.
        largest: of the most; those between are spaced evenly on a logarithmic scale.

    The other arguments are those of every membership inference attack: `CandidateAttack`.
    """

    title = "label-only membership inference"
    needs = Access.LABELS | Access.QUERIES

    def __init__(
        self,
        model: nn.Module | None = None,
        recipe: Recipe | None = None,
        records: Records | None = None,
        members: Tensor | None = None,
        population: Records | None = None,
        *,
        pool_size: int | None = None,
        queries: int = 100,
        smallest: float = 0.02,
        largest: float = 0.5,
    ) -> None:
        super().__init__(model, recipe, records, members, population)
        self._set_pool(pool_size)
        in_range("queries", queries, 1)
        in_range("smallest", smallest, above=0)
        in_range("largest", largest, above=0)
        if smallest > largest:
            raise SettingError(f"`smallest` must be at most `largest`, got {smallest} and {largest}")
        self.queries = queries
        self.smallest = smallest
        self.largest = largest

    def manifest(self) -> dict[str, float]:
        """What it costs the victim."""
        return {"queries": self.queries + 1}

    def judge(self, asked: Asked) -> Scored:
        """Ask about all records once, then about noisy copies, one batch of records after the other."""
        records, y = asked.records, asked.records.y.cpu()
        right = asked.answer(records).argmax(dim=1) == y
        noises = np.geomspace(self.smallest, self.largest, self.queries).tolist()
        size = batch_size_for(records.shape)
        kept = [
            self._kept(asked, torch.arange(start, min(start + size, len(records))), noises)
            for start in range(0, len(records), size)
        ]
        score = (torch.cat(kept).double() / self.queries + right.double()).numpy()
        return Scored(scores={"robustness": score}, target_signals=score)

    def _kept(self, asked: Asked, index: Tensor, noises: list[float]) -> Tensor:
        """Of some records, how many noisy copies are given the true label."""
        x, y = asked.records.inputs(index).cpu(), asked.records.y.cpu()[index]
        stream: Stream = asked.stream / "noise" / int(index[0])
        generator = stream.generator()
        count = torch.zeros(len(index), dtype=torch.int64)
        for noise in noises:
            copies = torch.randn(x.shape, generator=generator).mul_(noise).add_(x).clamp_(0, 1)
            count += asked.answer(Records.of(copies, y)).argmax(dim=1) == y
        return count
