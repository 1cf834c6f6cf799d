"""Progress and notes that the library reports; its caller decides how they are shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType


class Stage:
    """A stage of work with a known length; a context manager."""

    def __init__(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.name, self.total, self.unit = name, total, unit

    def advance(self, steps: int = 1, **figures: float) -> None:
        """`steps` more of `total` are done; `figures` are to be shown (loss, accuracy)."""

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End of the stage, also after a failure."""


class Reporter:
    """Receives what the library reports. This one is silent; override the methods that you need."""

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        """Begin a stage: ``with reporter.stage("train undefended", 30, "epoch") as stage: stage.advance()``."""
        return Stage(name, total, unit)

    def note(self, text: str) -> None:
        """Something useful to know: a run waits for another process."""

    def reused(self, what: str, text: str, count: int = 1) -> None:
        """`count` things of a kind (`model`, `measurement`) came from the store. A note, unless they are counted."""
        self.note(text)

    def warn(self, text: str) -> None:
        """Something that went wrong and was handled: a damaged file was set aside."""


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current_reporter() -> Reporter:
    """The caller's reporter, for code that is built from a configuration and gets none as an argument: data loaders."""
    return _current.get() or Reporter()


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Make `current_reporter` return this one inside the block."""
    token = _current.set(reporter)
    try:
        yield
    finally:
        _current.reset(token)
