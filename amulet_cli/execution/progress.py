"""The progress of a run: a live line per stage on a terminal, a few plain lines elsewhere."""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.status import Status
from rich.table import Table
from rich.text import Text

from amulet.core.reporting import Reporter, Stage
from amulet_cli.base import format_numbers

_LONG = 2.0  # seconds: shorter stages leave no line behind
_EVERY = 20.0  # seconds between two plain lines of a stage
_LIVE_PER_SECOND = 4

log = logging.getLogger("amulet")
log.addHandler(logging.NullHandler())  # log records go to a run's file, not to the console


def live_display(console: Console, draw: Callable[[], RenderableType], per_second: float) -> Live | None:
    """What is drawn again and again until it is stopped, and then gone; None where the console is no terminal."""
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    live = Live(
        get_renderable=draw,
        console=console,
        refresh_per_second=per_second,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )
    live.start()
    return live


class RichReporter(Reporter):
    """Shows stages, notes and warnings on a console, and logs them under `amulet`.

    A stage costs almost nothing per step: it counts, and a thread of the console reads the counts a few times a
    second. Stages may be nested and may overlap; when the last one ends, nothing of it remains on the console.
    """

    def __init__(
        self,
        console: Console,
        clock: Callable[[], float] = time.monotonic,
        *,
        aside: Status | None = None,
        whole: Callable[[], str] | None = None,
    ) -> None:
        self.console = console
        self._whole = whole  # the progress of the sweep that this run belongs to
        self._aside = aside  # what is shown while there is no stage
        self.clock = clock
        self._open: list[_Stage] = []
        self._lock = threading.RLock()
        self._display: Live | Beat | None = None
        self._reused: Counter[str] = Counter()
        self._curves: dict[str, dict[str, list[float]]] = {}

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        """A stage that is shown from `with` until its end; the figures of one in epochs are kept."""
        number = 1 + sum(known == name or known.startswith(f"{name} #") for known in self._curves)
        curve = self._curves.setdefault(name if number == 1 else f"{name} #{number}", {}) if unit == "epoch" else None
        return _Stage(self, name, total, unit, curve)

    @property
    def curves(self) -> Mapping[str, Mapping[str, Sequence[float]]]:
        """For each stage and figure one number per epoch so far; a repeated stage name gets a number."""
        return {name: curve for name, curve in self._curves.items() if curve}

    def note(self, text: str) -> None:
        """Print a note."""
        log.info(text)
        self.console.print(Text(text, style="dim"), soft_wrap=not self.console.is_terminal)

    def reused(self, what: str, text: str, count: int = 1) -> None:
        """Log what came from the store, and count it: a run can take a line of every shadow model."""
        log.info(text)
        self._reused[what] += count

    @property
    def from_store(self) -> str:
        """What came from the store so far: `62 models and 1 measurement from the store`; empty if nothing did."""
        counts = [format_numbers.plural(count, what) for what, count in sorted(self._reused.items(), reverse=True)]
        return f"{' and '.join(counts)} from the store" if counts else ""

    def warn(self, text: str) -> None:
        """Print a warning."""
        log.warning(text)
        self.console.print(Text.assemble(("warning: ", "yellow"), text), soft_wrap=not self.console.is_terminal)

    def begin(self, stage: "_Stage") -> None:
        """Show a stage; the first one starts the display."""
        with self._lock:
            self._open.append(stage)
            if len(self._open) > 1:
                return
            if self._aside is not None:
                self._aside.stop()
            self._display = live_display(self.console, self._draw, _LIVE_PER_SECOND) or Beat(self.tick)

    def end(self, stage: "_Stage", *, failed: bool) -> None:
        """Hide a stage; a long one leaves a line."""
        with self._lock:
            self._open.remove(stage)
            last, display = not self._open, self._display
        if last:
            if display is not None:
                display.stop()
            if self._aside is not None:
                self._aside.start()
        log.info("%s: %s", stage.name, stage.ending(failed=failed))
        if stage.elapsed() >= _LONG:
            mark, style = ("stopped", "yellow") if failed else ("done", "green")
            self.console.print(Text.assemble((f"{mark:8}", style), f"{stage.name}: {stage.ending(failed=failed)}"))

    def tick(self) -> None:
        """Print a plain line for every stage without output for a while."""
        with self._lock:
            stages = list(self._open)
        for stage in stages:
            if stage.due():
                self.console.print(f"{'':8}{stage.name}: {stage.standing()}", soft_wrap=True)

    def _draw(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=34)
        grid.add_column()
        grid.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        with self._lock:
            stages = list(self._open)
        for stage in stages:
            bar = ProgressBar(total=stage.total or None, completed=stage.done, width=16, pulse=not stage.total)
            grid.add_row(Text(stage.name), bar, Text(stage.standing()))
        return grid if self._whole is None else Group(grid, Text(self._whole(), style="dim"))


class _Stage(Stage):
    """Counts steps; the display reads everything else from it."""

    def __init__(
        self, reporter: RichReporter, name: str, total: int | None, unit: str, curve: dict[str, list[float]] | None
    ) -> None:
        super().__init__(name, total, unit)
        self.reporter, self.curve = reporter, curve
        self.done = 0
        self.figures: dict[str, float] = {}
        self._started = self._ended = self._spoken = 0.0

    def advance(self, steps: int = 1, **figures: float) -> None:
        """Count; nothing is drawn here."""
        self.done += steps
        if figures:
            self.figures = figures
        if self.curve is not None:
            for name, value in figures.items():
                self.curve.setdefault(name, []).append(float(value))

    def __enter__(self) -> Stage:
        self._started = self.reporter.clock()
        self.reporter.begin(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = self.reporter.clock()
        self.reporter.end(self, failed=kind is not None)

    def elapsed(self) -> float:
        """Seconds since the start, until the end."""
        return (self._ended or self.reporter.clock()) - self._started

    def due(self) -> bool:
        """Whether it is time for a plain line: after two seconds, then at intervals."""
        now = self.elapsed()
        if now - self._spoken < (_EVERY if self._spoken else _LONG):
            return False
        self._spoken = now
        return True

    def standing(self) -> str:
        """The progress, the latest figures, the time left."""
        elapsed = self.elapsed()
        parts = [self._count(), *self._figures()]
        if self.total and 0 < self.done < self.total and elapsed > 1:
            parts.append(f"{format_numbers.duration(elapsed / self.done * (self.total - self.done))} left")
        elif elapsed > 1:
            parts.append(format_numbers.duration(elapsed))
        return ", ".join(part for part in parts if part) or "started"

    def ending(self, *, failed: bool) -> str:
        """What was done, the last figures, how long it took."""
        parts = [self._count() if failed or not self.total else self._amount(self.total), *self._figures()]
        return ", ".join(part for part in (*parts, format_numbers.duration(self.elapsed())) if part)

    def _count(self) -> str:
        if self.total:
            done = format_numbers.size(self.done) if self.unit == "B" else f"{self.done:,}"
            return f"{done}/{self._amount(self.total)}"
        return self._amount(self.done) if self.done else ""

    def _amount(self, count: int) -> str:
        if self.unit == "B":
            return format_numbers.size(count)
        unit = f" {self.unit}{'' if count == 1 else 's'}" if self.unit else ""
        return f"{count:,}{unit}"

    def _figures(self) -> list[str]:
        return [f"{name} {value:.3g}" for name, value in list(self.figures.items())]


class Beat(threading.Thread):
    """Calls `tick` again and again, twice a second or after as many seconds as `pause` says, until it is stopped."""

    def __init__(self, tick: Callable[[], None], pause: Callable[[], float] = lambda: 0.5) -> None:
        super().__init__(daemon=True)
        self._tick, self._pause, self._over = tick, pause, threading.Event()
        self.start()

    def run(self) -> None:
        while not self._over.wait(self._pause()):
            self._tick()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
