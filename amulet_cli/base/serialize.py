"""Values as plain JSON and CSV: equal values, equal bytes."""

import csv
import io
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import yaml

_DEEPEST = 50  # levels of a YAML text
_MOST_VALUES = 50_000  # in a YAML text, its aliases filled in


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and shortest exact floats: equal values, equal bytes. No NaN, no infinity."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: Any, name: str = "", lost: list[str] | None = None, *, finite: bool = True) -> Any:
    """`value` as plain JSON types; floats that are not finite become None, and `lost` gets their names."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {str(key): plain(item, f"{name}.{key}", lost, finite=finite) for key, item in items}
    if isinstance(value, (list, tuple, set, frozenset)):
        many = cast(Iterable[Any], sorted(value, key=str) if isinstance(value, (set, frozenset)) else value)
        return [plain(item, f"{name}[{i}]", lost, finite=finite) for i, item in enumerate(many)]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if hasattr(value, "tolist"):  # numpy's and torch's scalars and arrays
        return plain(value.tolist(), name, lost, finite=finite)
    if isinstance(value, float):
        if finite and not math.isfinite(value):
            if lost is not None:
                lost.append(name)
            return None
        return float(value)
    return str(value)


def tidy_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, columns in the order in which they first appear; exact floats, NaN and None empty.

    >>> tidy_csv([{"metric": "auc", "value": 0.1}, {"metric": "mse", "value": float("nan"), "seed": 1}])
    'metric,value,seed\\nauc,0.1,\\nmse,,1\\n'
    """
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(map(_inert, columns))
    table.writerows([[_inert(as_text(row.get(column))) for column in columns] for row in rows])
    return text.getvalue()


def _inert(text: str) -> str:
    """Text that a spreadsheet would take for a formula begins with an apostrophe; numbers and plain words do not.

    >>> _inert("=1+1"), _inert("-0.5"), _inert("+experiment"), _inert("+A1(B2)")
    ("'=1+1", '-0.5', '+experiment', "'+A1(B2)")
    """
    formula = text[:1] in ("=", "@", "\t", "\r") or (text[:1] in ("+", "-") and re.search(r"[|!('\"]", text))
    return f"'{text}" if formula else text


def as_text(value: Any) -> str:
    """A setting or a number as users type it: strings unchanged, the rest as JSON; empty for NaN and None.

    >>> as_text(0.05), as_text("pgd"), as_text([1, 2]), as_text(True), as_text(float("nan"))
    ('0.05', 'pgd', '[1, 2]', 'true', '')
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def flat(config: Mapping[str, Any], prefix: str = "", *, nodes: bool = False) -> dict[str, Any]:
    """A nested configuration with dotted keys: what its settings are, or the nodes that hold them as well.

    >>> flat({"attack": {"steps": 40}, "epochs": 30})
    {'attack.steps': 40, 'epochs': 30}
    """
    found: dict[str, Any] = {}
    for key, value in config.items():
        inner = isinstance(value, Mapping)
        if nodes or not inner:
            found[f"{prefix}{key}"] = value
        if inner:
            found |= flat(cast(Mapping[str, Any], value), f"{prefix}{key}.", nodes=nodes)
    return found


def differing(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The keys whose values, as text, are not the same in all of some flat mappings; an absent key is empty text.

    >>> differing([{"a": 1, "b": "2"}, {"a": 1, "b": "3"}])
    ['b']
    """
    keys = dict.fromkeys(key for config in configs for key in config)
    return [key for key in keys if len({as_text(config.get(key)) for config in configs}) > 1]


class TooMuchYaml(yaml.YAMLError):
    """A text that would take all time or memory: nested too deeply, or with aliases of aliases."""


def from_yaml(text: str) -> Any:
    """What a YAML text describes, plain types alone; by libyaml where PyYAML has it, which takes an eighth of the time.

    Raises:
        TooMuchYaml: it is nested too deeply, or grows beyond all reason where its aliases are filled in.
        yaml.YAMLError: it is no YAML.
    """
    try:
        found = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe
    except RecursionError:
        raise TooMuchYaml("nested too deeply") from None
    except ValueError as error:  # a number of thousands of digits, a date that there is not
        raise yaml.YAMLError(str(error)) from error
    _size(found, {}, _DEEPEST)
    return found


def _size(value: Any, known: dict[int, int], depth: int) -> int:
    """How many values there are with all aliases filled in; each is looked at once."""
    if not isinstance(value, (dict, list)):
        return 1
    if depth < 0:
        raise TooMuchYaml("nested too deeply")
    many = cast("dict[Any, Any] | list[Any]", value)
    if id(many) not in known:
        inner = many.values() if isinstance(many, dict) else many
        known[id(many)] = 1 + sum(_size(item, known, depth - 1) for item in inner)
    if known[id(many)] > _MOST_VALUES:
        raise TooMuchYaml("its aliases stand for far too many values")
    return known[id(many)]
