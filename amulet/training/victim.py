"""The victim of an assessment, and the splits it is assessed on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from torch import Tensor, nn

from amulet.core.errors import IncompatibleError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.base_recipe import Trained
from amulet.training.defense import Defense
from amulet.training.pretrained import Given
from amulet.training.recipe import Recipe
from amulet.training.runtime import Runtime

T = TypeVar("T")


@dataclass(frozen=True)
class Victim:
    """The party that trains and serves a model: a recipe, records and a random stream. Trained on first use."""

    name: str
    """`undefended` or `defended`, for messages."""
    recipe: Recipe
    records: Records
    """The training records of its model, before any defence of the recipe changes them."""
    stream: Stream
    """The same for both victims, so that they share initial weights and batches."""
    pretrained: Given | None = None
    """The trained model, if it is given: then `recipe` is only how the model would be trained again."""
    _known: dict[str, Any] = field(default_factory=dict[str, Any], repr=False, compare=False)

    @cached_property
    def trained(self) -> Trained:
        """The model with its training report."""
        if self.pretrained is not None:
            return self.pretrained.restored(self.recipe, self.records.shape)
        return self.recipe.produce(self.records, self.stream, f"train {self.name}")

    @property
    def model(self) -> nn.Module:
        """The model, in eval mode."""
        return self.trained.model

    def logits(self, records: Records) -> Tensor:
        """The model's logits (n, classes), float32 on the CPU; computed once for each table of records."""
        return self.once(f"logits {records.digest}", lambda: predict(self.model, records))

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What `make` returns, made once for each key as long as this victim lives."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def on(self, records: Records, suffix: str = "") -> Victim:
        """The same victim with other records: same recipe, same stream, trained again."""
        if self.pretrained is not None and not self.pretrained.recipe_known:
            raise IncompatibleError(f"{self.name} cannot be trained on other records: how it was trained is unknown")
        return Victim(f"{self.name} {suffix}".strip(), self.recipe, records, self.stream)


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """Which party has which records when a risk is assessed. The same for the undefended and the defended victim."""

    data: AmuletDataset
    victim_records: Records
    """The victims' training records."""
    adversary_records: Records
    """The adversary's records: from the training split, disjoint from the victims'."""
    stream: Stream
    """The run's stream; an attack draws from `splits.stream / "attack" / ...`."""
    runtime: Runtime
    defenses: tuple[Defense, ...] = ()
    """The defences under assessment, also if the current victim is the undefended one."""
    plain_recipe: Recipe
    """The recipe without any defence: that of an adversary who does not know about the defence."""

    @property
    def test_records(self) -> Records:
        """The test split: no model is trained on it."""
        return self.data.test

    def attack_stream(self, *names: str | int) -> Stream:
        """The attack's stream of that name."""
        stream = self.stream / "attack"
        for name in names:
            stream = stream / name
        return stream

    def changed(self, **changes: Any) -> DataSplits:
        """A copy with some parts changed."""
        return dataclasses.replace(self, **changes)
