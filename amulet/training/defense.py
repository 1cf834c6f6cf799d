"""What a defence is: a change to a recipe at one stage."""

from __future__ import annotations

from typing import ClassVar, Self

from amulet.core.component import Factory
from amulet.datasets.base import AmuletDataset
from amulet.training.hook import Hook
from amulet.training.recipe import RecipeStep


class Defense(RecipeStep):
    """A defence knows the risk it is made for and its stage; it does not know the attacks.

    A subclass overrides `prepare` (stage `before`) or `hook` (stage `in`); a defence of stage `after` does not change
    the training and offers what the protocol of its risk asks for, such as `verify`.
    """

    risk: ClassVar[str]
    """The package of the risk that the defence is made for."""
    family: ClassVar[str] = ""
    """Its family in the literature's table (`amulet.assessment.literature`); empty where it has none."""
    pursues: tuple[str, ...] = ()
    """The metrics that it sets out to improve, where several decide its risk; may depend on its hyper-parameters."""
    survives_retraining: ClassVar[bool] = False
    """Should it also work after the victim's model was trained again? If an attack acts on the victim's training, the
    risk of this defence is then also measured on the resulting model."""

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
