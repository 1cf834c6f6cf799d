"""What stands in for a function of the house in a test."""

from collections.abc import Callable
from typing import Any


def gives(value: object) -> Callable[..., Any]:
    """A function that gives the same whatever it is asked."""

    def function(*_: object, **__: object) -> Any:
        return value

    return function
