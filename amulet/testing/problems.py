"""How a check says what is wrong: everything at once, and whose fault it is."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from amulet.core.errors import IncompatibleError


def settle(who: str, problems: Iterable[str]) -> None:
    """Raise `AssertionError` with all problems of a component, if there are any."""
    found = list(dict.fromkeys(problems))
    if found:
        raise AssertionError("\n- ".join([f"{who} does not keep to its contract:", *found]))


@contextmanager
def blamed(who: str, what: str, *, may_refuse: bool = False) -> Iterator[None]:
    """Whatever goes wrong in this block is the component's doing.

    Args:
        who: the component.
        what: when it happens, for the message.
        may_refuse: whether a combination may be refused here; the refusal then goes on to the caller.
    """
    try:
        yield
    except AssertionError:
        raise
    except IncompatibleError as error:
        if may_refuse:
            raise
        raise AssertionError(f"{who} is refused only when {what}, which is too late: {error}") from error
    except Exception as error:  # somebody else's component: anything can go wrong in it
        raise AssertionError(f"{who} fails when {what}: {type(error).__name__}: {error}") from error
