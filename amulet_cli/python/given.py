"""A user's own model and records, in this process: what the options that `audit` writes stand for."""

import copy
import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from amulet.core.errors import SettingError
from amulet.datasets.base import AmuletDataset
from amulet.victims import Carrier, GivenVictim, View
from amulet_cli.python.records import Assembled, Given

_data: dict[str, AmuletDataset] = {}
_models: dict[str, "Template"] = {}
_carried: dict[str, tuple[Carrier, View]] = {}


class InItsOwnUnits(nn.Module):
    """A model behind the scale that its inputs have: attacks see them in [0, 1]."""

    low: Tensor
    span: Tensor

    def __init__(self, model: nn.Module, low: Tensor, span: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("low", low.clone())
        self.register_buffer("span", span.clone())

    def forward(self, x: Tensor) -> Any:
        """The model's answers."""
        return self.model(self.low + x * self.span)


@dataclass(frozen=True, eq=False)
class Template:
    """A model, and how another one like it is made, without what it has learned."""

    model: nn.Module
    architecture: Callable[[], nn.Module] | None
    given: Given

    def fresh(self) -> nn.Module:
        """One with initial weights."""
        made = self.architecture() if self.architecture else reset(copy.deepcopy(self.model))
        return self.scaled(made)

    def scaled(self, model: nn.Module) -> nn.Module:
        """A model behind the data's scale, where there is one."""
        if bool((self.given.low == 0).all()) and bool((self.given.span == 1).all()):
            return model
        return InItsOwnUnits(model, self.given.low, self.given.span)


def reset(model: nn.Module) -> nn.Module:
    """Draw all weights anew, as the layers' own `reset_parameters` do.

    Raises:
        SettingError: a layer with weights has no such method.
    """
    for name, layer in model.named_modules():
        method = getattr(layer, "reset_parameters", None) or getattr(layer, "_reset_parameters", None)
        if method is not None:
            method()
        elif next(layer.parameters(recurse=False), None) is not None:
            raise SettingError(
                f"`model`: {type(layer).__name__} {name or 'itself'} has weights and no `reset_parameters`, so no "
                "other model like it can be made, as attacks need; say how: architecture=lambda: MyNet(...)"
            )
    return model


def keep(template: Template) -> str:
    """Keep a model and its data for the options of a command; the digest that they are named by."""
    digest = hashlib.sha256(repr(template.model).encode())
    for name, value in template.model.state_dict().items():
        digest.update(name.encode() + value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    _data[template.given.digest] = template.given.data
    _models[digest.hexdigest()] = template
    return digest.hexdigest()


def keep_data(digest: str, made: AmuletDataset) -> None:
    """Keep a data set by its digest."""
    _data[digest] = made


def keep_carried(carrier: Carrier, view: View, made: Assembled) -> str:
    """Keep what carries a victim, what it takes, and its data; the digest that it is named by."""
    digest = hashlib.sha256(f"{carrier.digest} {made.digest}".encode()).hexdigest()
    keep_data(made.digest, made.data)
    _carried[digest] = carrier, view
    return digest


@dataclass(frozen=True, kw_only=True)
class Kept(Carrier):
    """What `amulet.audit` was given, by its digest: `model._target_`."""

    named: str = ""

    def check(self) -> None:
        """Is it in this process?"""
        _known(_carried, self.named)

    def on(self, data: AmuletDataset, view: View | None = None) -> GivenVictim:
        """The victim, in its own columns."""
        carrier, own = _known(_carried, self.named)
        return dataclasses.replace(carrier, accuracy=self.accuracy or carrier.accuracy).on(data, view or own)

    @property
    def digest(self) -> str:
        """The one that names it."""
        return self.named


def data(*, digest: str) -> AmuletDataset:
    """The records with this digest: `dataset._target_`."""
    return _known(_data, digest)


def model(*, digest: str) -> nn.Module:
    """A new model like the one with this digest: `model._target_`."""
    return _known(_models, digest).fresh()


def _known(kept: dict[str, Any], digest: str) -> Any:
    if digest not in kept:
        raise SettingError(f"what `amulet.audit` was given ({digest[:8]}) is not in this process: call it again")
    return kept[digest]
