"""The roles of a user's columns: target, sensitive attributes, inputs, names of image files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from amulet.core.errors import SettingError
from amulet.datasets.custom.table import Table

Name = str | int | float | bool
"""The name of a column as a setting gives it: `4` and `true` are read as a number and a truth value."""
_MOST_LISTED = 30


@dataclass(frozen=True)
class Roles:
    """Names of columns, all of which exist."""

    target: str
    sensitive: tuple[str, ...]
    inputs: tuple[str, ...]
    """Columns that are inputs; empty for images."""
    coded: tuple[str, ...]
    """Columns of numbers among `inputs` that are one-hot encoded."""
    files: str | None = None
    """The column with the names of image files."""
    array: str | None = None
    """The array of images of an NPZ file."""

    @property
    def used(self) -> tuple[str, ...]:
        """Every column that must have a value in every record."""
        return (self.target, *self.sensitive, *self.inputs, *([self.files] if self.files is not None else []))


def assign(
    table: Table,
    *,
    target: Name,
    sensitive: Sequence[Name],
    inputs: Sequence[Name] | None,
    drop: Sequence[Name],
    sensitive_as_input: bool,
    categorical: Sequence[Name],
    bins: Mapping[str, object] | None,
    image_column: Name | None,
) -> Roles:
    """The roles of a table's columns by the settings of `load_custom`.

    Raises:
        SettingError: the table has no such column, or it has two roles that exclude each other.
    """
    _check_once(table, {"target": [target], "sensitive": sensitive, "inputs": inputs or (), "drop": drop})
    (label, *rest) = _named(table, "target", [target])
    if rest:
        raise SettingError(f"`target` must be one column, `{target}` is {1 + len(rest)}: {label} to {rest[-1]}")
    attributes = _named(table, "sensitive", sensitive)
    if label in attributes:
        raise SettingError(f"`sensitive` must not name the target, got {label}")
    for name in bins or {}:
        if name not in attributes:
            raise no_such("bins", name, attributes, "a mapping from sensitive columns")
    if image_column is not None:
        (files,) = _named(table, "image_column", [image_column])
        _refuse(inputs=inputs, drop=drop, sensitive_as_input=sensitive_as_input, categorical=categorical)
        return Roles(label, attributes, (), (), files=files)
    gone = {*_named(table, "drop", drop), label}
    arrays = [str(name) for name in (table.pictures if inputs is None else inputs) if name in table.pictures]
    if arrays := [name for name in arrays if name not in gone]:
        if len(arrays) > 1 or (inputs is not None and len(inputs) > 1):
            raise SettingError(f"`inputs` must be one array of pictures, got {', '.join(map(str, inputs or arrays))}")
        _refuse(sensitive_as_input=sensitive_as_input, categorical=categorical)
        return Roles(label, attributes, (), (), array=arrays[0])
    chosen = _inputs(table, inputs, label, attributes, sensitive_as_input)
    coded = _named(table, "categorical", categorical)
    for name in coded:
        if name not in chosen or name in gone:
            raise SettingError(f"`categorical` must name inputs, {name} is none")
    return Roles(label, attributes, tuple(name for name in chosen if name not in gone), coded)


def _inputs(
    table: Table, inputs: Sequence[Name] | None, label: str, attributes: Sequence[str], sensitive_as_input: bool
) -> list[str]:
    """Columns that are inputs unless they are dropped, in the order of the file."""
    if inputs is None:
        return [name for name in table.columns if sensitive_as_input or name not in attributes]
    named = _named(table, "inputs", inputs)
    if label in named:
        raise SettingError(f"`inputs` must not name the target, got {label}")
    for name in attributes:
        if name in named and not sensitive_as_input:
            raise SettingError(f"`inputs` names the sensitive column {name}: set sensitive_as_input to true")
    return [name for name in table.columns if name in named or (sensitive_as_input and name in attributes)]


def no_such(setting: str, name: object, known: Sequence[str], what: str) -> SettingError:
    """The error for a name that is not in `known`, with similar names."""
    lower = {one.lower(): one for one in reversed(known)}
    near = [f"`{lower[word]}`" for word in get_close_matches(str(name).lower(), lower, n=3)]
    more = f" and {len(known) - _MOST_LISTED} more" if len(known) > _MOST_LISTED else ""
    hint = (
        f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known[:_MOST_LISTED]) or 'none'}{more}"
    )
    return SettingError(f"`{setting}` must be {what}, got {name!r}; {hint}")


def _named(table: Table, setting: str, names: Sequence[Name]) -> tuple[str, ...]:
    """The columns that names refer to, each once; the name of an array of an NPZ file means all of its columns."""
    if isinstance(names, str):
        raise SettingError(f"`{setting}` must be a list of columns, got {names!r}")
    found: list[str] = []
    for name in names:
        known = [*table.columns, *table.groups, *(table.pictures if setting in ("inputs", "drop") else ())]
        spelled = _spelled(name, known)
        if spelled is None:
            what = f"{_WHAT.get(setting, 'columns')} of {table.path.name}"
            raise no_such(setting, name, [*table.columns, *table.groups], what)
        found += table.groups.get(spelled, (spelled,)) if spelled not in table.columns else (spelled,)
    return tuple(dict.fromkeys(found))


def _spelled(name: Name, known: Sequence[str]) -> str | None:
    """How a column is called that a setting names by a text, a number or a truth value."""
    if isinstance(name, str):
        return name if name in known else None
    if isinstance(name, bool):
        return next((one for one in known if one.lower() == str(name).lower()), None)
    return str(name) if str(name) in known else next((one for one in known if _value(one) == name), None)


def _value(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_WHAT = {"target": "a column", "image_column": "a column"}


def _refuse(**settings: object) -> None:
    for setting, value in settings.items():
        if value:
            raise SettingError(f"`{setting}` is for tables: here pictures are the input")


def _check_once(table: Table, asked: Mapping[str, Sequence[Name]]) -> None:
    """Each setting names a column once, and no name that several columns have."""
    for setting, names in asked.items():
        for name in names:
            if list(names).count(name) > 1:
                raise SettingError(f"`{setting}` must name each column once, got {name!r} twice")
            if name in table.repeated and setting != "drop":
                raise SettingError(f"{table.path}: several columns have the name {name!r}; give each a name of its own")
