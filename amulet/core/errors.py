"""The errors that Amulet raises on purpose; anything else is a bug."""

import math
from collections.abc import Iterable


class AmuletError(Exception):
    """Base of all errors raised on purpose; the text is for the user."""


class SettingError(AmuletError, ValueError):
    """A setting that cannot work; the text says what, where, and what was expected."""


class IncompatibleError(AmuletError):
    """A combination that makes no sense, refused before training; the text gives the reason."""


def needs_attributes(what: str) -> IncompatibleError:
    """The error for something that needs sensitive attributes, on data without any."""
    return IncompatibleError(
        f"{what} needs a sensitive attribute, and the data set has none; take one that has, such as census or lfw, or "
        "name columns in `dataset.sensitive` where it has that setting"
    )


class DataError(AmuletError):
    """Data that are missing, damaged or not what they should be; the text says what to do."""


class Diverged(AmuletError):
    """Training reached a loss that is not finite; the text says what to change."""


def in_range(
    name: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    optional: bool = False,
) -> None:
    """Raise `SettingError` unless ``low <= value <= high`` and ``above < value < below``.

    >>> in_range("epsilon", 8, 0, 1)
    Traceback (most recent call last):
    amulet.core.errors.SettingError: `epsilon` must satisfy 0 <= epsilon <= 1, got 8
    """
    if value is None:
        if optional:
            return
        raise SettingError(f"`{name}` must be a number, got None")
    fine = (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
        and not math.isnan(value)
    )
    if not fine:
        left = f"{low:g} <= " if low is not None else f"{above:g} < " if above is not None else ""
        right = f" <= {high:g}" if high is not None else f" < {below:g}" if below is not None else ""
        raise SettingError(f"`{name}` must satisfy {left}{name}{right}, got {value}")


def one_of(name: str, value: object, choices: Iterable[object]) -> None:
    """Raise `SettingError` unless `value` is one of `choices`."""
    choices = list(choices)
    if value not in choices:
        raise SettingError(f"`{name}` must be one of {', '.join(map(str, choices))}; got {value}")
