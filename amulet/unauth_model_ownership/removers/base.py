"""The base of removers: what a thief who has a copy of a model does so that its owner does not recognise it."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import nn

from amulet.core.component import Component, Factory, kind_of
from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.hook import Hook
from amulet.training.loop import build_optimizer, train
from amulet.training.recipe import Recipe


@dataclass(frozen=True)
class Thief:
    """What a thief has beside the copy. It does not know what the owner recognises copies by."""

    records: Records
    """Its own, with their true labels; none of the owner's."""
    recipe: Recipe
    """How it trains: the owner's recipe without a defence, except for what the attack sets."""
    epochs: int
    """How long it trains a copy further."""
    stream: Stream
    """The random stream of one copy."""
    name: str = "copy"
    """What the copy is called, for progress and messages."""

    @property
    def half(self) -> Records:
        """A random half of the records, so that copies differ."""
        order = torch.randperm(len(self.records), generator=(self.stream / "records").generator())
        return self.records.take(order[: (len(self.records) + 1) // 2].sort().values)

    def tune(self, model: nn.Module, records: Records, rate: float = 1.0, hook: Hook | None = None) -> nn.Module:
        """Train the model further on these records, in place, and return it in eval mode.

        Args:
            model: a copy.
            records: what it is trained on.
            rate: the learning rate as a multiple of the recipe's.
            hook: a change of the training.
        """
        recipe, device = self.recipe, self.recipe.runtime.device
        optimizer = recipe.optimizer
        if rate != 1:  # the recipe's may be the optimizer's default
            usual = build_optimizer(optimizer, model.to(device), device).param_groups[0]["lr"]
            optimizer = optimizer.with_settings(lr=rate * usual)
        train(
            model.to(device),
            records,
            optimizer=optimizer,
            epochs=self.epochs,
            batch_size=recipe.batch_size,
            stream=self.stream,
            hooks=[hook] if hook else [],
            device=device,
            precision=recipe.precision,
            label=self.name,
        )
        return model.eval()


class Remover(Component):
    """One way to hide that a model is a copy; `remove` is the one method to write.

    Hyper-parameters are keyword-only, typed, with defaults, as of any component. What it costs the thief is measured as
    the accuracy of its copies.
    """

    random: ClassVar[bool] = True
    """Does it draw anything? Then several copies are made, each from a stream of its own; else one."""

    @abstractmethod
    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """A model that answers like `model`, in eval mode on its device: inputs (b, *shape) to logits (b, classes).

        Args:
            model: a copy of the owner's, in eval mode, to be kept or changed in place.
            thief: its records, and how it trains.
        """


Node = Mapping[str, Any]
"""A remover as in a configuration: ``{"_target_": "package.module.Class", **settings}``."""


def described(removers: Mapping[str, Remover | Node]) -> dict[str, dict[str, Any]]:
    """Removers by name in the form of a configuration, which JSON can hold."""
    found: dict[str, dict[str, Any]] = {}
    for name, one in removers.items():
        if not name.isidentifier() or name in ("exact_copy", "stolen", "independent", "false_claim"):
            raise SettingError(f"`removers` must have names of their own, of letters, digits and _; got {name!r}")
        node = {"_target_": kind_of(one), **one.settings()} if isinstance(one, Remover) else dict(one)
        built(name, node)
        found[name] = node
    return found


def built(name: str, node: Node) -> Remover:
    """The remover that a node describes."""
    if "_target_" not in node:
        raise SettingError(f"`removers.{name}` must name a class in `_target_`, got {dict(node)}")
    made = cast(object, Factory.from_mapping(node).build())
    if not isinstance(made, Remover):
        raise SettingError(f"`removers.{name}` must be a Remover, got {type(made).__name__}")
    return made
