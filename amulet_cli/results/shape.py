"""The shape of what `metrics.json` and `status.json` hold: a damaged or foreign file is named before it is used."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

NEEDED = ("seed", "choices", "overrides", "metrics")


def wrong_shape(content: Mapping[str, Any], needed: Sequence[str] = NEEDED) -> str:
    """What is missing or of another type than Amulet writes; empty if nothing is.

    >>> wrong_shape({"seed": 0, "choices": 3, "overrides": {}, "metrics": {}})
    '`choices` is not texts by name'
    """
    missing = [f"`{key}`" for key in needed if key not in content]
    if missing:
        return f"{', '.join(missing)} missing"
    for key, (words, right) in _SHAPES.items():
        if key in content and not right(content[key]):
            return f"`{key}` is not {words}"
    return ""


def _by_name(value: Any, right: Callable[[Any], bool] = lambda item: True) -> bool:
    return isinstance(value, dict) and all(map(right, cast(dict[str, Any], value).values()))


def _numbers(value: Any) -> bool:
    return _by_name(value, _number)


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _interval(value: Any) -> bool:
    return isinstance(value, list) and len(cast(list[Any], value)) == 2 and all(map(_number, cast(list[Any], value)))


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in cast(list[Any], value))


_SHAPES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool)),
    "choices": ("texts by name", lambda value: _by_name(value, _text)),
    "overrides": ("settings by name", _by_name),
    "metrics": ("numbers by victim and metric", lambda value: _by_name(value, _numbers)),
    "baselines": ("numbers by victim and metric", lambda value: _by_name(value, _numbers)),
    "intervals": ("pairs of numbers by victim and metric", lambda v: _by_name(v, lambda row: _by_name(row, _interval))),
    "influences": ("mappings by victim and metric", lambda v: _by_name(v, lambda row: _by_name(row, _by_name))),
    "invalid": ("texts by victim and metric", lambda v: _by_name(v, lambda row: _by_name(row, _text))),
    "manifest": ("a mapping", _by_name),
    "warnings": ("a list of texts", _texts),
    "timings": ("numbers by name", _numbers),
    "environment": ("a mapping", _by_name),
    "facts": ("a mapping", _by_name),
}
