"""What a defence is: a change to a recipe at one stage."""

from __future__ import annotations

from typing import ClassVar, Self

from amulet.core.component import Factory
from amulet.datasets.base import AmuletDataset
from amulet.training.hook import Hook
from amulet.training.recipe import RecipeStep


class Defense(RecipeStep):
    """A defence knows the risk it is made for and its stage; it does not know the attacks.

    A subclass overrides `prepare` (stage `before`) or `hook` (stage `in`); a defence of stage `after` leaves the
    training alone and offers what its own risk's protocol asks for, such as `verify`.
    """

    risk: ClassVar[str]
    """The package of the risk that the defence is made for."""
    family: ClassVar[str] = ""
    """Its family in the literature's table (`amulet.assessment.literature`); empty where it has none."""
    pursues: ClassVar[tuple[str, ...]] = ()
    """The metrics that it sets out to improve, where these are not what decides its risk."""
    survives_retraining: ClassVar[bool] = False
    """Is it to work on whatever becomes of the victim's model? Where an attack acts on the victim's training, its own
    risk is then measured on the model that comes out, too."""

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
