"""Shadow models: the halves of the pool on which they are trained, and their answers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.membership_inference.attacks.signals import membership_signal
from amulet.models.inspect import predict
from amulet.training.parallel.memory_budget import fit_in_portions
from amulet.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the adversary sees: signals of n records and of a population, without the membership."""

    target: np.ndarray
    """(n,) signals of the attacked model."""
    shadows: np.ndarray
    """(shadows, n) signals of the shadow models."""
    inside: np.ndarray
    """(shadows, n) bool: was the shadow model trained on the record? Each record is in half of them."""
    population_target: np.ndarray
    """(z,) signals of the attacked model for records on which no model was trained."""
    population_shadows: np.ndarray
    """(shadows, z) signals of the shadow models for the same."""

    def split(self) -> tuple[np.ndarray, np.ndarray]:
        """The shadows' signals of each record, those trained on it and those not: two arrays (shadows / 2, n)."""
        half = len(self.shadows) // 2
        order = np.argsort(~self.inside, axis=0, kind="stable")
        ordered = np.take_along_axis(self.shadows, order, axis=0)
        return ordered[:half], ordered[half:]


def halves(labels: Tensor, count: int, stream: Stream) -> Tensor:
    """The records on which each of `count` shadow models is trained, (count, n) bool.

    Models 2j and 2j + 1 are trained on complementary halves with equal shares of each class, drawn from a separate
    stream for each pair: each record is in exactly half of the models, and additional models do not change the
    others.
    """
    n = len(labels)
    inside = torch.zeros(count, n, dtype=torch.bool)
    for pair in range(count // 2):
        for side, part in enumerate(half_split(labels, stream / "pair" / pair)):
            inside[2 * pair + side, part] = True
    return inside


def half_split(labels: Tensor, stream: Stream) -> list[Tensor]:
    """Two disjoint random halves of an even number of records, stratified; their order is random too."""
    half = len(labels) // 2
    generator = stream.generator()
    parts = stratified_split(labels, [half, len(labels) - half], generator)
    # A class of odd size has one more record in one part: neither part is preferred.
    return parts[::-1] if torch.rand((), generator=generator) < 0.5 else parts


def ask_shadows(
    recipe: Recipe, views: Sequence[Records], others: Sequence[Records], inside: Tensor, stream: Stream, label: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Train a model for each row of `inside` on the first view of the records, and ask it about every view.

    Args:
        views: the records, and changed versions of them with the same labels.
        others: the same views of a population.

    Returns:
        For each view the signals of the records, (shadows, n), and of the population, (shadows, z).
    """
    streams = [stream / "model" / k for k in range(len(inside))]
    shape = (len(views), len(inside))
    on_records = np.empty((*shape, len(views[0])))
    on_others = [np.empty((len(inside), len(other))) for other in others]
    for k, model in enumerate(fit_in_portions(recipe, views[0], list(inside), streams, label)):
        for i, (view, other) in enumerate(zip(views, others, strict=True)):
            on_records[i, k] = membership_signal(predict(model, view), view.y.cpu())
            on_others[i][k] = membership_signal(predict(model, other), other.y.cpu())
    return list(zip(on_records, on_others, strict=True))
