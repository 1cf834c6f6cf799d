"""Architectures whose records do not see each other: BatchNorm must go where single records are protected."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from amulet.core.component import Factory, code_digest

# A model's parts rarely depend on the size of its inputs, so that one of these shows whether it has BatchNorm.
_PROBES = ((3, 64, 64), (1, 28, 28), (32,))


def batch_norms(model: nn.Module) -> int:
    """How many BatchNorm layers a model has."""
    return sum(isinstance(module, _BatchNorm) for module in model.modules())


def has_batch_norm(architecture: Factory) -> bool | None:
    """Whether the models of an architecture have BatchNorm; None where that cannot be seen without its data."""
    for shape in _PROBES:
        try:
            with torch.device("meta"):
                model = architecture.build(input_shape=shape, num_classes=2)
        except Exception:  # noqa: BLE001 -- whatever a model of somebody's does with a shape that it does not take
            continue
        if isinstance(model, nn.Module):
            return batch_norms(model) > 0
    return None


class WithGroupNorm(Factory):
    """An architecture with GroupNorm wherever it has BatchNorm (opacus' `ModuleValidator.fix`)."""

    @classmethod
    def of(cls, architecture: Factory) -> "WithGroupNorm":
        """That architecture without BatchNorm."""
        return cls(architecture.path, **architecture.settings)

    def build(self, *args: Any, **more: Any) -> Any:
        """Build the model and replace its BatchNorm layers; `replaced_batch_norms` of the model counts them."""
        model = super().build(*args, **more)
        if isinstance(model, nn.Module) and (count := batch_norms(model)):
            from opacus.validators import ModuleValidator

            model = ModuleValidator.fix(model)
            object.__setattr__(model, "replaced_batch_norms", count)  # neither a weight nor a module
        return model

    def with_settings(self, **settings: Any) -> "WithGroupNorm":
        """A copy with some settings changed."""
        return WithGroupNorm(self.path, **{**self.settings, **settings})

    def describe(self) -> dict[str, Any]:
        """As of the architecture, and that its BatchNorm is replaced."""
        return {**super().describe(), "batch_norm": f"group_norm {code_digest(__name__)}"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithGroupNorm) and super().__eq__(other)

    __hash__ = None  # as its base
