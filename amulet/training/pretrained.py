"""Weights that were trained elsewhere: a pretrained victim."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.training.base_recipe import Trained
from amulet.training.recipe import Recipe
from amulet.training.state_dicts import fitting


class Given(Protocol):
    """A model that somebody gives: what it was trained on, and how, is known if its owner tells."""

    @property
    def noun(self) -> str:
        """What it is called in messages: `checkpoint`."""
        ...

    @property
    def digest(self) -> str:
        """Identifies it."""
        ...

    @property
    def recipe_known(self) -> bool:
        """Can it be trained again?"""
        ...

    @property
    def accuracy(self) -> float | None:
        """Its accuracy on test records, as its owner knows it."""
        ...

    @property
    def members_known(self) -> bool:
        """Are the records of the training part those that it was trained on?"""
        ...

    @property
    def lasting(self) -> bool:
        """Will it answer the same tomorrow?"""
        ...

    def restored(self, recipe: Recipe, shape: tuple[int, ...]) -> Trained:
        """The model, in eval mode on the recipe's device."""
        ...


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained model's state dict, or what a training script saved around it.

    Its training data and its recipe are unknown unless its owner tells. What trains the victim again uses the recipe of
    the plan, or is refused; membership is measured on the model itself by attacks that need no other models.
    """

    weights: Mapping[str, Any]
    """Of its entries the one that fits the model is used, without what is in front of all its names (`module.`)."""
    digest: str
    """SHA-256 of their source, as an identifier."""
    recipe_known: bool = False
    """Were they made with the plan's recipe?"""
    accuracy: float | None = None
    """Their accuracy on test records, as their owner knows it."""
    members_known: bool = False
    """Are the records of the training part those that they were trained on?"""

    @property
    def noun(self) -> str:
        """What it is called in messages."""
        return "checkpoint"

    @property
    def lasting(self) -> bool:
        """Weights do not change."""
        return True

    def restored(self, recipe: Recipe, shape: tuple[int, ...]) -> Trained:
        """The recipe's architecture with these weights, in eval mode on its device.

        Raises:
            SettingError: they do not fit: each weight must exist with its shape, and no other.
        """
        model = recipe.build(shape, Stream(0))
        try:
            fit = fitting(self.weights, model.state_dict())
            model.load_state_dict(dict(fit.weights), strict=True)
        except (SettingError, RuntimeError) as error:
            difference = str(error).splitlines()[-1].strip()
            raise SettingError(f"`checkpoint` does not fit `model` ({type(model).__name__}): {difference}") from error
        report = {"checkpoint": self.digest[:16], "recipe": "given" if self.recipe_known else "unknown"}
        if fit.said:
            report["taken"] = fit.said
        return Trained(model.to(recipe.runtime.device).eval(), report, {}, f"given-{self.digest}", loaded=True)
