"""Architectures in which records do not influence each other: BatchNorm must be replaced to protect single records."""

from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]

from amulet.core.component import Factory, code_digest

# A model's parts rarely depend on the size of its inputs, so that one of these shows whether it has BatchNorm.
_PROBES = ((3, 64, 64), (1, 28, 28), (32,))


def batch_norms(model: nn.Module) -> int:
    """The number of BatchNorm layers of a model."""
    return sum(isinstance(module, _BatchNorm) for module in model.modules())


def has_batch_norm(architecture: Factory) -> bool | None:
    """Whether the models of an architecture have BatchNorm; None if that cannot be determined without its data."""
    for shape in _PROBES:
        try:
            with torch.device("meta"):
                model = architecture.build(input_shape=shape, num_classes=2)
        except Exception:  # noqa: BLE001 -- whatever a model of somebody's does with a shape that it does not take
            continue
        if isinstance(model, nn.Module):
            return batch_norms(model) > 0
    return None


def with_group_norm(model: nn.Module) -> nn.Module:
    """The model, changed in place, with GroupNorm for every BatchNorm, those without weights included.

    With opacus' groups, except that a BatchNorm1d gets one group: over (n, features), up to 32 groups would normalise
    each feature by itself, or with one other, and nothing or only a sign would be left. Opacus' `ModuleValidator.fix`
    would also replace attention, by one whose weights cannot be loaded back.
    """
    from opacus.validators.batch_norm import fix

    replaced: dict[int, nn.Module] = {}
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if isinstance(module, _BatchNorm) and module.num_features:  # a lazy layer has none yet
            groups = 1 if isinstance(module, nn.BatchNorm1d) else None
            new = replaced.setdefault(id(module), fix(module, num_groups=groups))  # pyright: ignore[reportArgumentType]
            if not name:
                return new
            model.set_submodule(name, new)
    return model


def unprotectable(model: nn.Module) -> list[str]:
    """Opacus' errors for layers that DP-SGD cannot train; attention is supported here, unlike in opacus.

    A frozen layer is harmless, unless it keeps statistics of the records.
    """
    from opacus.validators import ModuleValidator

    found: dict[str, None] = {}
    for module in model.modules():
        validate = ModuleValidator.VALIDATORS.get(type(module))
        learns = any(p.requires_grad for p in module.parameters()) or any(True for _ in module.buffers(recurse=False))
        if validate is not None and learns and not isinstance(module, nn.MultiheadAttention):
            found |= dict.fromkeys(str(problem).split(". ")[0] for problem in validate(module))
    return list(found)


class WithGroupNorm(Factory):
    """An architecture with GroupNorm wherever it has BatchNorm."""

    @classmethod
    def of(cls, architecture: Factory) -> "WithGroupNorm":
        """That architecture without BatchNorm."""
        return cls(architecture.path, **architecture.settings)

    def build(self, *args: Any, **more: Any) -> Any:
        """Build the model and replace its BatchNorm layers; `replaced_batch_norms` of the model counts them."""
        model = super().build(*args, **more)
        if isinstance(model, nn.Module) and (count := batch_norms(model)):
            model = with_group_norm(model)
            object.__setattr__(model, "replaced_batch_norms", count)  # neither a weight nor a module
        return model

    def with_settings(self, **settings: Any) -> "WithGroupNorm":
        """A copy with some settings changed."""
        return WithGroupNorm(self.path, **{**self.settings, **settings})

    def describe(self) -> dict[str, Any]:
        """As for the architecture, and that its BatchNorm is replaced."""
        return {**super().describe(), "batch_norm": f"group_norm {code_digest(__name__)}"}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithGroupNorm) and super().__eq__(other)

    __hash__ = None  # like its base
