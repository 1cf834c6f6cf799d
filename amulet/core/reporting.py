"""Progress and notes as the library reports them; whoever runs it decides how they look."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import TracebackType


class Stage:
    """One stretch of work with a known length; a context manager."""

    def __init__(self, name: str, total: int | None = None, unit: str = "") -> None:
        self.name, self.total, self.unit = name, total, unit

    def advance(self, steps: int = 1, **figures: float) -> None:
        """`steps` more of `total` are done; `figures` are worth showing (loss, accuracy)."""

    def __enter__(self) -> "Stage":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End of the stage, also when it failed."""


class Reporter:
    """Where the library says what it does. This one is silent; override what you want to see."""

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        """Begin a stage: ``with reporter.stage("train undefended", 30, "epoch") as stage: stage.advance()``."""
        return Stage(name, total, unit)

    def note(self, text: str) -> None:
        """Something worth knowing: a model was loaded instead of trained."""

    def warn(self, text: str) -> None:
        """Something that went wrong and was dealt with: a damaged file was set aside."""


_current: ContextVar[Reporter | None] = ContextVar("reporter", default=None)


def current_reporter() -> Reporter:
    """The reporter of whoever called, for code that is built from a configuration and handed none: loaders of data."""
    return _current.get() or Reporter()


@contextmanager
def reporting_to(reporter: Reporter) -> Iterator[None]:
    """Let `current_reporter` be this one inside the block."""
    token = _current.set(reporter)
    try:
        yield
    finally:
        _current.reset(token)
