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
    """What a defence made of the training records before training."""

    records: Records
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    """What it did, JSON: counts, thresholds."""
    arrays: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    """What it decided record by record, with the ids the decisions belong to."""


class Defense(Component):
    """A defence knows the risk it is made for and its stage; it does not know the attacks.

    A subclass overrides `prepare` (stage `before`) or `hook` (stage `in`); a defence of stage `after` leaves the
    training alone and offers what its own risk's protocol asks for, such as `verify`.
    """

    risk: ClassVar[str]
    """The package of the risk that the defence is made for."""
    stage: ClassVar[DefenseStage]
    family: ClassVar[str] = ""
    """Its family in the literature's table (`amulet.assessment.literature`); empty where it has none."""
    pursues: ClassVar[tuple[str, ...]] = ()
    """The metrics that it sets out to improve, where these are not what decides its risk."""
    per_record: ClassVar[bool] = False
    """Does it treat each training record by itself? True promises that a record changes nothing of what `prepare` or
    the hook does to another one, and that the hook neither learns nor chooses by the records. A guarantee that counts
    the influence of single records (DP-SGD's epsilon) holds beside such defences alone."""
    survives_retraining: ClassVar[bool] = False
    """Is it to work on whatever becomes of the victim's model? Where an attack acts on the victim's training, its own
    risk is then measured on the model that comes out, too."""

    @property
    def name(self) -> str:
        """The class name in lower case: the defence's stream and its entry in reports."""
        return type(self).__name__.lower()

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        """Change the training records.

        Args:
            records: what the victim would train on.
            recipe: the recipe without this defence and those after it, for a model to decide by.
            stream: the model's own stream, so that such a model is the undefended one with the same weights.
        """
        return Prepared(records)

    def hook(self) -> Hook | None:
        """A fresh hook for one training."""
        return None

    def tune(self, optimizer: Factory) -> Factory:
        """The optimizer that this defence trains well with; the undefended victim keeps its own."""
        return optimizer

    def clashes(self, other: Defense) -> str | None:
        """Why this defence cannot be in one recipe with `other`; None if it can. Ask what `other` is, not its name."""
        hooks = self.hook(), other.hook()
        if all(type(hook).backward is not Hook.backward for hook in hooks if hook) and all(hooks):
            return "both compute the gradients themselves"
        return None

    def adapt(self, architecture: Factory) -> Factory:
        """The architecture this defence can protect; the undefended victim of a comparison gets the same."""
        return architecture

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def bound(self, data: AmuletDataset) -> Self:
        """This defence, or a copy of it, that may look at other records than those it is given to train on.

        Called once, before any model is trained. A defence that keeps something of `data` adds its digest to
        `describe`.
        """
        return self

    def warnings(self) -> list[str]:
        """What a reader of any result with these hyper-parameters must know, each with what to do about it."""
        return []
