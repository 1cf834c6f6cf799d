"""Objects that are passed by position are of the kind that their annotations say, so that a wrong order is seen."""

import functools
import inspect
import numbers
import types
import typing
from collections.abc import Callable
from functools import cache
from typing import Any, ParamSpec, TypeVar, get_args, get_origin

from amulet.core.errors import SettingError

_WIDER: dict[type, type] = {int: numbers.Integral, float: numbers.Real}


P = ParamSpec("P")
R = TypeVar("R")


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """The function, which refuses an argument by position of another kind than its annotation says.

    Raises:
        SettingError: the message has the argument, what was expected and passed, and the order of all.
    """

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        kinds = _kinds(function)
        given = dict(zip(kinds, args, strict=False)) | {name: kwargs[name] for name in kinds.keys() & kwargs.keys()}
        for name, value in given.items():
            if (allowed := kinds[name]) and not isinstance(value, allowed):
                raise SettingError(
                    f"`{name}` must be {_listed(allowed)}, got {type(value).__name__}; the order is "
                    f"{function.__qualname__.removesuffix('.__init__')}({', '.join(n for n in kinds if n != 'self')})"
                )
        return function(*args, **kwargs)

    return call


@cache
def _kinds(function: Callable[..., Any]) -> dict[str, tuple[type, ...]]:
    """By name in order, the classes that each argument by position may have; none where all may be passed."""
    parameters = inspect.signature(function).parameters.values()
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError, AttributeError):  # annotations for type checkers alone
        hints = {}
    return {one.name: _classes(hints.get(one.name, Any)) for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD}


def _classes(hint: Any) -> tuple[type, ...]:
    """The classes of an annotation; none if it has a part that is no class."""
    parts = get_args(hint) if get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    found: list[type] = []
    for part in parts:
        kind = get_origin(part) or part
        unknown = not isinstance(kind, type) or kind in (Any, object) or getattr(kind, "_is_protocol", False)
        # Whatever takes a loader takes a data set too, and says itself what it cannot read.
        if unknown or kind.__name__ == "DataLoader":
            return ()
        found.append(_WIDER.get(kind, kind))
    return tuple(found)


def _listed(kinds: tuple[type, ...]) -> str:
    words = {type(None): "None", numbers.Integral: "a whole number", numbers.Real: "a number", str: "a text"}
    return " or ".join(words.get(kind, kind.__name__) for kind in kinds)
