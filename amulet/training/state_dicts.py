"""What training scripts save around a state dict: the entry and the names in it that fit a model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from amulet.core.errors import SettingError

_DEEPEST = 4  # levels of entries within entries
_NAMED = 3  # differences that an error message lists, of each kind
_LAZY = ("UninitializedParameter", "UninitializedBuffer")


@dataclass(frozen=True)
class Fit:
    """A state dict with the names and shapes of a model's."""

    weights: Mapping[str, Tensor]
    entry: str
    """Where it was found, as ``model`` or ``checkpoint.state_dict``; empty: it was not within anything."""
    prefix: str
    """What was in front of every name: ``module.``."""
    others: tuple[str, ...]
    """Names beside them that do not begin so, and are no part of the model."""

    @property
    def said(self) -> str:
        """How it was taken, for people; empty where there was nothing to choose."""
        parts = [f"the entry `{self.entry}`"] if self.entry else []
        parts += [f"the names without `{self.prefix}`"] if self.prefix else []
        parts += [f"nothing of {_listed(list(self.others))}"] if self.others else []
        return ", ".join(parts)


def state_dicts(content: object, entry: str = "", depth: int = 0) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """Every mapping of names to tensors in what a file holds, with the names of the entries that lead to it.

    >>> [entry for entry, _ in state_dicts({"epoch": 3, "model": {"weight": torch.zeros(2)}})]
    ['model']
    """
    if not isinstance(content, Mapping) or not content or depth > _DEEPEST:
        return
    items = cast(Mapping[Any, Any], content)
    if not all(isinstance(name, str) for name in items):
        return
    if all(isinstance(value, Tensor) and not value.is_meta for value in items.values()):
        yield entry, items
        return
    for name, value in items.items():
        yield from state_dicts(value, f"{entry}.{name}" if entry else name, depth + 1)


def fitting(content: Mapping[str, Any], wanted: Mapping[str, Tensor]) -> Fit:
    """The one state dict within `content` that has the names and shapes of `wanted`, whatever is in front of its names.

    Args:
        content: a state dict, or what a training script saved around one.
        wanted: the model's own state dict.

    Raises:
        SettingError: none fits, and the message says what is different; several do, with other values; or values are
            not finite.
    """
    candidates = [one for entry, state in state_dicts(content) for one in _parts(entry, state, wanted)]
    if not candidates:
        raise SettingError("it has no state dict")
    found = [one for one in candidates if not _difference(wanted, one.weights)]
    found = [one for one in found if not one.others] or found
    if not found:
        nearest = max(candidates, key=lambda one: (len(wanted.keys() & one.weights.keys()), not one.prefix))
        place = f" (in {nearest.said})" if nearest.said else ""
        raise SettingError(f"{_difference(wanted, nearest.weights)}{place}")
    first, *others = found
    for other in others:
        if not all(torch.equal(value, other.weights[name]) for name, value in first.weights.items()):
            raise SettingError(f"{first.said} and {other.said} both fit: save the one that you mean by itself")
    for name, value in first.weights.items():
        if not bool(torch.isfinite(value).all()):
            raise SettingError(f"its values are not finite in {name}")
    return first


def _parts(entry: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[Fit]:
    """The state dict as it is, and what is below each prefix after which a name of the model follows."""
    prefixes = {name.removesuffix(own) for own in wanted for name in state if name == own or name.endswith(f".{own}")}
    for prefix in sorted({"", *prefixes}, key=len):
        part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        yield Fit(part, entry, prefix, tuple(name for name in state if not name.startswith(prefix)))


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


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
