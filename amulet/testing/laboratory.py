"""A small world to try components in: people who belong to groups, a victim with BatchNorm, settings that are quick."""

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from amulet.assessment.plan import Plan
from amulet.core.component import Attack, Component, Factory
from amulet.core.reporting import Reporter, Stage
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset, Modality
from amulet.datasets.records import Records
from amulet.training.defense import Defense
from amulet.training.recipe import Recipe
from amulet.training.runtime import Runtime
from amulet.training.victim import DataSplits, Victim

C = TypeVar("C", bound=Component)


def tiny(component: C) -> C:
    """The same component with the amount of work that a test can wait for.

    >>> from amulet.evasion.attacks import EvasionPGD
    >>> tiny(EvasionPGD(steps=100)).steps
    5
    """
    return component.for_trial()


class Network(nn.Module):
    """A small network for inputs of any shape, with BatchNorm, whose statistics show who forgot to leave them alone."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        size = int(torch.tensor(input_shape).prod())
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(size, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.layers(x)


def people(modality: Modality = "tabular", train: int = 600, test: int = 300) -> AmuletDataset:
    """Made-up people of two classes and two sensitive attributes, all of which show in the inputs.

    The last two columns of the table are the values of a categorical variable, which goes with the class.
    """
    count = train + test
    generator = torch.Generator().manual_seed(0)
    y, sex, race = (torch.randint(0, 2, (count,), generator=generator) for _ in range(3))
    shape = (8,) if modality == "tabular" else (1, 12, 12)
    x = 0.5 + 0.15 * torch.randn(count, *shape, generator=generator)
    flat = x.flatten(1)
    for column, shows in enumerate((y, y, sex, race)):
        flat[:, column] += 0.4 * (shows - 0.5)
    x = flat.clamp(0, 1).view(count, *shape)
    names, groups = (), ()
    if modality == "tabular":
        kind = torch.where(torch.rand(count, generator=generator) < 0.7, y, 1 - y)
        x[:, 6:] = torch.nn.functional.one_hot(kind, 2)
        names, groups = (*(f"column_{i}" for i in range(6)), "kind=a", "kind=b"), ((6, 8),)
    if modality == "image":
        x = (x * 255).round().to(torch.uint8)
    whole = Records.of(x, y, torch.stack([sex, race], dim=1), ("sex", "race"))
    order = torch.arange(count)
    return AmuletDataset(
        name="people",
        modality=modality,
        train=whole.take(order[:train]),
        test=whole.take(order[train:]),
        num_classes=2,
        feature_names=names,
        groups=groups,
    )


class Watchful(Reporter):
    """Notes every stretch of work."""

    def __init__(self) -> None:
        self.stages: list[str] = []

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        """Note the stage."""
        self.stages.append(name)
        return Stage(name, total, unit)


class Laboratory:
    """Where one component is tried: data, and what has been trained so far."""

    def __init__(self, data: AmuletDataset, seed: int = 0) -> None:
        self.data, self.seed, self.runtime = data, seed, Runtime()

    def plan(self, attack: Attack | None, *defenses: Defense, metrics: tuple[str, ...], **more: Any) -> Plan:
        """A plan with a quick training."""
        recipe = self.recipe
        return Plan(
            data=self.data,
            architecture=recipe.architecture,
            optimizer=recipe.optimizer,
            epochs=recipe.epochs,
            batch_size=recipe.batch_size,
            attack=attack,
            defenses=defenses,
            metrics=metrics,
            seed=self.seed,
            runtime=more.pop("runtime", self.runtime),
            **more,
        )

    @property
    def recipe(self) -> Recipe:
        """How its victims are trained, without a defence."""
        return Recipe(
            architecture=Factory("amulet.testing.laboratory.Network"),
            num_classes=self.data.num_classes,
            optimizer=Factory("torch.optim.Adam", lr=1e-2),
            epochs=2,
            batch_size=50,
            runtime=self.runtime,
        )

    def splits(self, *defenses: Defense) -> DataSplits:
        """The victim's half of the training records, and the adversary's."""
        records, half = self.data.train, len(self.data.train) // 2
        order = torch.randperm(len(records), generator=(Stream(self.seed) / "split").generator())
        return DataSplits(
            data=self.data,
            victim_records=records.take(order[:half]),
            adversary_records=records.take(order[half:]),
            stream=Stream(self.seed),
            runtime=self.runtime,
            defenses=defenses,
            plain_recipe=self.recipe,
        )

    def victim(self, splits: DataSplits) -> Victim:
        """The undefended victim."""
        return Victim("undefended", self.recipe, splits.victim_records, splits.stream / "victim")


def kinds_of_data() -> Iterator[AmuletDataset]:
    """What a component is tried on: a table, and pictures where it refuses the table."""
    yield people("tabular")
    yield people("image")
