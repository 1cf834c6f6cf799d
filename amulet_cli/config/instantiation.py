"""From a `_target_` in a configuration to an object: one check, one way to build.

A class's signature is its schema: the names, types and defaults of its keyword-only arguments.
"""

import importlib
import inspect
import json
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin

from amulet.core.errors import AmuletError
from amulet_cli.base.errors import UsageError, similar

Node = Mapping[str, Any]


def load(path: str, key: str) -> Callable[..., Any]:
    """The class or function that `_target_` of the group `key` names."""
    module, _, name = path.rpartition(".")
    where = f"`{key}._target_`"
    try:
        found = importlib.import_module(module) if module else None
    except ModuleNotFoundError as error:
        absent = error.name or module
        if module == absent or module.startswith(f"{absent}."):
            hint = "a module beside the command's working directory, or an installed package"
            raise UsageError(
                f"there is no module `{absent}` to take `{path}` from", where=where, expected=hint
            ) from error
        raise UsageError(
            f"`{path}` needs the package `{absent}`, which is not installed", where=where, try_=f"pip install {absent}"
        ) from error
    except (Exception, SystemExit) as error:  # the user's module may fail in any way
        raise UsageError(f"`{module}` cannot be imported: {_said(error)}", where=where) from error
    if not name or not hasattr(found, name):
        near = [f"{module}.{other}" for other in similar(name, dir(found))] if found else []
        what = f"`{module}` has no `{name}`" if module else f"`{path}` is not the path of a class or function"
        raise UsageError(what, where=where, expected="package.module.Class", meant=near)
    target = getattr(found, name)
    if not callable(target):
        raise UsageError(f"`{path}` must be a class or a function, got {type(target).__name__}", where=where)
    return cast(Callable[..., Any], target)


def settings_of(node: Node) -> dict[str, Any]:
    """A node's arguments: all except `_target_`."""
    return {name: value for name, value in node.items() if name != "_target_"}


def check(node: Node, key: str, *, keywords_only: bool = False, given_later: Sequence[str] = ()) -> None:
    """Raise `UsageError` unless the node's arguments have names and types that its target takes.

    Args:
        node: ``{"_target_": path, **arguments}``.
        key: the position of the node in the configuration, for the message.
        keywords_only: positional arguments of the target are the objects it works on, not settings.
        given_later: arguments that are added when the object is built.
    """
    target = load(str(node["_target_"]), key)
    parameters = _parameters(target)
    if parameters is None:
        return
    hints, kinds = _hints(target), [inspect.Parameter.KEYWORD_ONLY]
    if not keywords_only:
        kinds.append(inspect.Parameter.POSITIONAL_OR_KEYWORD)
    known = {name: p for name, p in parameters.items() if p.kind in kinds and name not in given_later}
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for name, value in settings_of(node).items():
        if name not in known and not open_ended:
            raise UsageError(
                f"`{key}` has no setting `{name}`",
                expected=f"{', '.join(known)} (the settings of {_short(target)})" if known else None,
                meant=[f"{key}.{other}" for other in similar(name, known)],
            )
        inner = cast(Node, value) if isinstance(value, Mapping) else {}
        if "_target_" in inner:
            check(inner, f"{key}.{name}")
        elif inner and all(isinstance(one, Mapping) and "_target_" in one for one in inner.values()):
            for part, one in inner.items():
                check(one, f"{key}.{name}.{part}", keywords_only=keywords_only)
        elif name in hints and not fits(value, hints[name]):
            raise UsageError(
                f"`{key}.{name}` must be {phrase(hints[name])}, got {shown(value)}", expected=quotes(value, hints[name])
            )
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in node:
            raise UsageError(f"`{key}.{name}` must be given: {_short(target)} has no default for it")


def build(node: Node, key: str, *args: Any, **more: Any) -> Any:
    """The object that a checked node describes; every `_target_` of a configuration is called only here.

    Raises:
        UsageError: the target refused a value, and the message names the full key; or it failed.
    """
    target = load(str(node["_target_"]), key)
    arguments = {name: _built(value, f"{key}.{name}") for name, value in settings_of(node).items()}
    try:
        return target(*args, **arguments, **more)
    except (ValueError, TypeError) as error:
        raise UsageError(full_key(str(error), key, arguments)) from error
    except (AmuletError, UsageError, OSError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # the user's code may fail in any way
        raise UsageError(f"`{node['_target_']}` failed: {_said(error)}", where=f"`{key}._target_`") from error


def full_key(message: str, key: str, arguments: Mapping[str, Any]) -> str:
    """A message about `` `epsilon` `` as one about `` `defense.epsilon` ``.

    >>> full_key("`epsilon` must satisfy 0 <= epsilon <= 1, got 8", "defense", {"epsilon": 8})
    '`defense.epsilon` must satisfy 0 <= epsilon <= 1, got 8'
    """
    return re.sub(r"`(\w+)`", lambda m: f"`{key}.{m[1]}`" if m[1] in arguments else m[0], message, count=1)


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of a configuration has the type in a signature; nothing is converted.

    >>> fits(1, float), fits("ten", float), fits(True, int), fits([1, 2], tuple[int, int])
    (True, False, False, True)
    """
    from pydantic import TypeAdapter, ValidationError
    from pydantic.errors import PydanticUserError

    if isinstance(value, str) and get_origin(hint) in (types.UnionType, typing.Union):
        kinds = get_args(hint)
        if str not in kinds and any(kind in (int, float) for kind in kinds):  # no text is a number, or a tensor
            return any(fits(value, kind) for kind in kinds if kind in (int, float, bool, type(None)) or get_args(kind))
    try:
        # As JSON: a list can stand for a tuple, a whole number for a float, but nothing else for anything else.
        TypeAdapter(hint).validate_json(json.dumps(value), strict=True)
    except ValidationError:
        return False
    except (PydanticUserError, TypeError):  # a type that JSON does not have: the target must check the value itself
        return True
    return True


def phrase(hint: Any) -> str:
    """A type in words.

    >>> phrase(float | None), phrase(Literal["lowest", "highest"])
    ('a number or null', 'one of lowest, highest')
    """
    words: dict[Any, str] = {
        float: "a number",
        int: "a whole number",
        bool: "true or false",
        str: "a text",
        type(None): "null",
        None: "null",
    }
    origin, args = get_origin(hint), list(get_args(hint))
    if hint in words:
        return words[hint]
    if origin is typing.Annotated:
        return phrase(args[0])
    if origin is Literal:
        return f"one of {', '.join(map(str, args))}" if args[1:] else str(args[0])
    if origin in (types.UnionType, typing.Union):
        return " or ".join(phrase(arg) for arg in args)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if isinstance(origin, type) and issubclass(origin, (Sequence, set, frozenset)):
        return f"a list, each {phrase(args[0])}" if args else "a list"
    return getattr(hint, "__name__", str(hint))


def shown(value: Any) -> str:
    """A value as in a configuration, texts in quotes."""
    words = {None: "null", True: "true", False: "false"}
    return words[value] if value is None or isinstance(value, bool) else repr(value)


def quoted(value: Any) -> str:
    """A value as a text on the command line, where it would be read as something else without quotes.

    >>> print(quoted(4), quoted(float("inf")), quoted([True, "age"]))
    '"4"' '"inf"' '["true","age"]'
    """
    texts = (
        [json.dumps(one if isinstance(one, str) else shown(one)) for one in value] if isinstance(value, list) else []
    )
    return f"'[{','.join(texts)}]'" if texts else f"'{json.dumps(shown(value))}'"


def quotes(value: Any, hint: Any) -> str | None:
    """What to type where a value would fit as a text; None where it would not."""
    as_text = [str(one) for one in cast(list[Any], value)] if isinstance(value, list) else str(value)
    simple = value is not None and not isinstance(value, (str, Mapping))
    return f"in quotes where it is a text: {quoted(value)}" if simple and fits(as_text, hint) else None


def _said(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"it ends the process (sys.exit({'' if error.code is None else error.code!r}))"
    return f"{type(error).__name__}: {error}"


def _built(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        inner = cast(Node, value)
        return build(inner, key) if "_target_" in inner else {n: _built(v, f"{key}.{n}") for n, v in inner.items()}
    return value


def _short(target: Callable[..., Any]) -> str:
    return getattr(target, "__name__", str(target))


def _parameters(target: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):  # built in
        return None


@cache
def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    function = target.__init__ if inspect.isclass(target) else target
    try:
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):  # unresolvable annotations: the target checks the value itself
        return {}
