"""The victim of an assessment, and the splits it is assessed on."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from amulet.core.errors import IncompatibleError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.base_recipe import Trained
from amulet.training.defense import Defense
from amulet.training.pretrained import Pretrained
from amulet.training.recipe import Recipe
from amulet.training.runtime import Runtime


@dataclass(frozen=True)
class Victim:
    """Whoever trains and serves a model: a recipe, records and a random stream. Trained when it is first needed."""

    name: str
    """`undefended` or `defended`, for people to read."""
    recipe: Recipe
    records: Records
    """What its model is trained on, before any defence of the recipe changes it."""
    stream: Stream
    """The same for both victims, so that they share initial weights and batches."""
    pretrained: Pretrained | None = None
    """The trained weights where they are given: then `recipe` is only how the model would be trained anew."""
    _answers: dict[str, Tensor] = field(default_factory=dict[str, Tensor], repr=False, compare=False)

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
        if records.digest not in self._answers:
            self._answers[records.digest] = predict(self.model, records)
        return self._answers[records.digest]

    def on(self, records: Records, suffix: str = "") -> Victim:
        """The same victim, had it other records: same recipe, same stream, trained anew."""
        if self.pretrained is not None and not self.pretrained.recipe_known:
            raise IncompatibleError(f"{self.name} cannot be trained on other records: how it was trained is unknown")
        return Victim(f"{self.name} {suffix}".strip(), self.recipe, records, self.stream)


@dataclass(frozen=True, kw_only=True)
class DataSplits:
    """Who owns what when a risk is assessed. The same for the undefended and the defended victim."""

    data: AmuletDataset
    victim_records: Records
    """What the victims train on."""
    adversary_records: Records
    """What the adversary owns: of the training split, disjoint from the victims'."""
    stream: Stream
    """The run's stream; an attack draws from `splits.stream / "attack" / ...`."""
    runtime: Runtime
    defenses: tuple[Defense, ...] = ()
    """The defences under assessment, also when the victim at hand is the undefended one."""
    plain_recipe: Recipe
    """The recipe without any defence: what an adversary who knows of none would train with."""

    @property
    def test_records(self) -> Records:
        """The test split: nobody trains on it."""
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
