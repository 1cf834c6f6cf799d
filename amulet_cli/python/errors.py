"""What a user did wrong, as an exception of the library that says everything in its text."""

from collections.abc import Iterator
from contextlib import contextmanager

from amulet.core.errors import SettingError
from amulet_cli.base.errors import UsageError


@contextmanager
def told() -> Iterator[None]:
    """Turn the runner's own error into `SettingError`: there is no panel here to show the rest of it."""
    try:
        yield
    except UsageError as error:
        raise SettingError(in_full(error)) from error


def in_full(error: UsageError) -> str:
    """One text.

    >>> in_full(UsageError("`epochs` must be an integer, got few", expected="such as 20"))
    '`epochs` must be an integer, got few; expected: such as 20'
    """
    parts = {"where": error.where, "your code": error.code, "expected": error.expected, "try": error.try_}
    if error.meant:
        parts["did you mean"] = " or ".join(error.meant)
    return "; ".join((error.what, *(f"{name}: {text}" for name, text in parts.items() if text)))
