"""Training curves, recorded from the progress reports of training."""

from collections.abc import Mapping, Sequence
from types import TracebackType

from amulet.core.reporting import Reporter, Stage


class Recorder(Reporter):
    """Forwards everything to another reporter and records the figures of stages that are counted in epochs."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._curves: dict[str, dict[str, list[float]]] = {}

    @property
    def curves(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """For each stage and figure one number per epoch so far; a repeated stage name gets a number."""
        return {name: curve for name, curve in self._curves.items() if curve}

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        """The other reporter's stage, recorded."""
        stage = self._reporter.stage(name, total, unit)
        if unit != "epoch":
            return stage
        number = 1 + sum(known == name or known.startswith(f"{name} #") for known in self._curves)
        curve = self._curves.setdefault(name if number == 1 else f"{name} #{number}", {})
        return _Overheard(stage, curve)

    def note(self, text: str) -> None:
        """Handed on."""
        self._reporter.note(text)

    def reused(self, what: str, text: str, count: int = 1) -> None:
        """Handed on."""
        self._reporter.reused(what, text, count)

    def warn(self, text: str) -> None:
        """Handed on."""
        self._reporter.warn(text)


class _Overheard(Stage):
    def __init__(self, stage: Stage, curve: dict[str, list[float]]) -> None:
        super().__init__(stage.name, stage.total, stage.unit)
        self._stage, self._curve = stage, curve

    def advance(self, steps: int = 1, **figures: float) -> None:
        """Forward and record."""
        self._stage.advance(steps, **figures)
        for name, value in figures.items():
            self._curve.setdefault(name, []).append(float(value))

    def __enter__(self) -> Stage:
        self._stage.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stage.__exit__(kind, error, trace)
