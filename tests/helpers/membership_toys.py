"""Small tasks for the tests of membership inference: one to memorise, and recipes that do."""

import numpy as np
import torch

from amulet.core import Factory, Stream
from amulet.datasets import AmuletDataset, Records
from amulet.membership_inference.attacks import Observed
from amulet.training import DataSplits, MemoryStore, Recipe, Runtime, Stored, Victim


def noise(n: int, seed: int = 0, first_id: int = 0) -> Records:
    """Labels that have nothing to do with the inputs: whoever knows one has seen it."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, 100, generator=generator) > 0.5).float()
    records = Records.of(x, torch.arange(n) % 2)
    return records.replace(ids=records.ids + first_id)


def toy(n: int = 120) -> AmuletDataset:
    return AmuletDataset(name="toy", modality="tabular", train=noise(n, 1), test=noise(60, 2, 10_000), num_classes=2)


def memorising(store: MemoryStore | None = None, **changes: object) -> Recipe:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[64]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=0.01),
        epochs=20,
        batch_size=16,
        runtime=Runtime(store=store or MemoryStore()),
    )
    return recipe.changed(**changes)


class CountingStore(MemoryStore):
    """Remembers the keys of what was trained, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[str] = []

    def save(self, key: str, stored: Stored) -> None:
        self.trained.append(key)
        super().save(key, stored)


def made_up(n: int = 60, shadows: int = 8, population: int = 40, seed: int = 0) -> Observed:
    """Signals as they might be seen, each record in half of the shadow models."""
    draw = np.random.default_rng(seed)
    inside = np.zeros((shadows, n), dtype=bool)
    for record in range(n):
        inside[draw.permutation(shadows)[: shadows // 2], record] = True
    centre = draw.normal(0, 3, n)
    return Observed(
        target=centre + draw.normal(0.5, 1, n),
        shadows=centre + draw.normal(0, 1, (shadows, n)) + inside,
        inside=inside,
        population_target=draw.normal(0, 3, population),
        population_shadows=draw.normal(0, 3, (shadows, population)),
    )


def made_splits(recipe: Recipe, n: int = 120, seed: int = 0) -> DataSplits:
    data = toy(n)
    return DataSplits(
        data=data,
        victim_records=data.train.take(torch.arange(n) < n // 2),
        adversary_records=data.train.take(torch.arange(n) >= n // 2),
        stream=Stream(seed),
        runtime=recipe.runtime,
        plain_recipe=recipe.plain(),
    )


def victim(recipe: Recipe, here: DataSplits) -> Victim:
    return Victim(
        "undefended" if not recipe.defenses else "defended", recipe, here.victim_records, here.stream / "victim"
    )
