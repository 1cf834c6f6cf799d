"""Weights that were trained elsewhere: a pretrained victim."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.training.base_recipe import Trained
from amulet.training.recipe import Recipe

_NAMED = 3  # differences that an error message lists, of each kind


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A trained model's state dict.

    Its training data are unknown. Its recipe may be known: then anything that trains the victim again uses the recipe
    of the plan; otherwise it is refused.
    """

    weights: Mapping[str, Tensor]
    digest: str
    """SHA-256 of their source, as an identifier."""
    recipe_known: bool = False
    """Were they made with the plan's recipe?"""
    accuracy: float | None = None
    """Their accuracy on test records, as their owner knows it."""

    def restored(self, recipe: Recipe, shape: tuple[int, ...]) -> Trained:
        """The recipe's architecture with these weights, in eval mode on its device.

        Raises:
            SettingError: they do not fit: each weight must exist with its shape, and no other.
        """
        model = recipe.build(shape, Stream(0))
        try:
            model.load_state_dict(dict(self.weights), strict=True)
        except RuntimeError as error:
            difference = _difference(model.state_dict(), self.weights) or str(error).splitlines()[-1].strip()
            raise SettingError(f"`checkpoint` does not fit `model` ({type(model).__name__}): {difference}") from error
        report = {"checkpoint": self.digest[:16], "recipe": "given" if self.recipe_known else "unknown"}
        return Trained(model.to(recipe.runtime.device).eval(), report, {}, f"given-{self.digest}", loaded=True)


def _difference(wanted: Mapping[str, Tensor], got: Mapping[str, Tensor]) -> str:
    shapes = [
        f"{name} {tuple(got[name].shape)} instead of {tuple(value.shape)}"
        for name, value in wanted.items()
        # A lazy layer has no shape yet, and accepts any.
        if name in got and type(value).__name__ not in _LAZY and value.shape != got[name].shape
    ]
    parts = {
        "it lacks": [name for name in wanted if name not in got],
        "it has in excess": [name for name in got if name not in wanted],
        "it has": shapes,
    }
    return "; ".join(f"{what} {_listed(names)}" for what, names in parts.items() if names)


_LAZY = ("UninitializedParameter", "UninitializedBuffer")


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
