"""What a defence is: a change to a recipe at one stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np

from amulet.core.component import Component, Factory
from amulet.training.hook import Hook

if TYPE_CHECKING:
    from amulet.core.stream import Stream
    from amulet.datasets.base import AmuletDataset
    from amulet.datasets.records import Records
    from amulet.training.recipe import Recipe

DefenseStage = Literal["before", "in", "after"]


@dataclass(frozen=True)
class Prepared:
    """The training records that a defence prepared before training."""

    records: Records
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    """What was done, as JSON: counts, thresholds."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """The decision for each record, with the ids of the records."""


class Defense(Component):
    """A defence knows its risk and its stage; it does not know the attacks.

    A subclass overrides `prepare` (stage `before`) or `hook` (stage `in`); a defence of stage `after` does not change
    the training and offers what the protocol of its risk asks for, such as `verify`.
    """

    risk: ClassVar[str]
    """The package of the risk that the defence is made for."""
    stage: ClassVar[DefenseStage]
    family: ClassVar[str] = ""
    """Its family in the literature's table (`amulet.assessment.literature`); empty where it has none."""
    pursues: ClassVar[tuple[str, ...]] = ()
    """The metrics that it sets out to improve, where these are not what decides its risk."""
    per_record: ClassVar[bool] = False
    """Does it treat each training record independently? True promises that a record does not change what `prepare` or
    the hook does to another one, and that the hook neither learns from the records nor selects them. A guarantee about
    the influence of single records (DP-SGD's epsilon) holds only together with such defences."""
    survives_retraining: ClassVar[bool] = False
    """Should it also work after the victim's model was trained again? If an attack acts on the victim's training, the
    risk of this defence is then also measured on the resulting model."""

    @property
    def name(self) -> str:
        """The class name in lower case: the name of the defence's stream and of its entry in reports."""
        return type(self).__name__.lower()

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        """Change the training records.

        Args:
            records: what the victim would train on.
            recipe: the recipe without any defence, for a model on which decisions are based.
            stream: the model's stream, so that such a model is the undefended one with the same weights.
        """
        return Prepared(records)

    def hook(self) -> Hook | None:
        """A new hook for one training run."""
        return None

    def tune(self, optimizer: Factory) -> Factory:
        """The optimizer that suits this defence; the undefended victim keeps the original one."""
        return optimizer

    def clashes(self, other: Defense) -> str | None:
        """Why this defence cannot be in one recipe with `other`; None if it can. Use its properties, not its name."""
        hooks = self.hook(), other.hook()
        if all(type(hook).backward is not Hook.backward for hook in hooks if hook) and all(hooks):
            return "both compute the gradients themselves"
        return None

    def adapt(self, architecture: Factory) -> Factory:
        """The architecture that this defence can protect; the undefended victim of a comparison gets the same."""
        return architecture

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def bound(self, data: AmuletDataset) -> Self:
        """This defence, or a copy of it, that may use other records than the training records.

        Called once, before any model is trained. A defence that keeps something of `data` adds its digest to
        `describe`.
        """
        return self

    def warnings(self) -> list[str]:
        """Warnings for every result with these hyper-parameters, each with what to do about it."""
        return []
