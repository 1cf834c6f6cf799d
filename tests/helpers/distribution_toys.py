"""Small tasks for the tests of distribution inference: a label that means another thing in each group."""

import torch

from amulet.core import Factory
from amulet.datasets import Records
from amulet.training import MemoryStore, Recipe, Runtime, Stored


def groups(n: int, seed: int, *, first_id: int = 0, telling: bool = True, share: float = 0.5) -> Records:
    """Records of two groups; in the second the label is the other way round, so a model learns the larger group's."""
    generator = torch.Generator().manual_seed(seed)
    z = (torch.rand(n, generator=generator) < share).long()
    x = torch.rand(n, 2, generator=generator)
    y = (x[:, 0] > 0.5).long()
    y = torch.where((z == 1) & telling, 1 - y, y)
    return Records(x, y, z.unsqueeze(1), torch.arange(n) + first_id, ("group",))


class CountingStore(MemoryStore):
    """Remembers the keys of what was trained, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[str] = []

    def save(self, key: str, stored: Stored) -> None:
        self.trained.append(key)
        super().save(key, stored)


def recipe(store: MemoryStore | None = None, **changes: object) -> Recipe:
    made = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=0.02),
        epochs=5,
        batch_size=32,
        runtime=Runtime(store=store or MemoryStore()),
    )
    return made.changed(**changes)
