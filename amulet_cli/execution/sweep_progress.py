"""The progress of a whole sweep, from the folders of its runs: the same for every launcher and every machine."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from amulet_cli.base import format_numbers
from amulet_cli.config.composition import Job
from amulet_cli.execution.progress import Beat, live_display
from amulet_cli.results.reading import reason_of
from amulet_cli.results.seal import read_mapping

_STYLES = {"done": "green", "failed": "bold red", "refused": "yellow"}
_EVERY = 60.0  # seconds after which a plain line says that the sweep is still alive
_POLL = 0.5
_FILES_PER_SECOND = 1000  # checked at most: the folders can be on a network
_SHOWN = 4  # running jobs on a terminal


class SweepWatch:
    """Counts the runs that have ended, and estimates how long the others will take.

    Args:
        jobs: the jobs to do; none of them has a `status.json` yet.
        swept: the keys that distinguish the jobs.
        before: the number of further jobs of the sweep, which were done or refused before it began.
        console: the console to print to.
        aloud: whether to announce each run and show progress, because the jobs run silently in other processes.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        swept: Sequence[str],
        before: int,
        console: Console,
        *,
        aloud: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pending: dict[Path, str] = {job.folder: job.label(swept) for job in jobs}
        similar = [key for key in swept if key != "seed"]
        self._kinds: dict[Path, str] = {job.folder: job.label(similar) for job in jobs}
        self.total, self.finished = before + len(jobs), before
        self._console, self._aloud, self._clock = console, aloud, clock
        self._running: dict[Path, float] = {}
        self._durations: defaultdict[str, list[float]] = defaultdict(list)
        self._most = 1
        self._began = self._latest = self._spoken = clock()
        self._lock = threading.RLock()
        self._beat: Beat | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        self._began = self._latest = self._spoken = self._clock()
        self._live = live_display(self._console, self._draw, 2) if self._aloud else None
        self._beat = Beat(self.look, lambda: max(_POLL, len(self._pending) / _FILES_PER_SECOND))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._beat is not None:
            self._beat.stop()
            self._beat.join()
        self.look()
        if self._live is not None:
            self._live.stop()

    def look(self) -> None:
        """Check which runs have begun and which have ended since the last check."""
        with self._lock:
            now = self._clock()
            for folder, label in list(self._pending.items()):
                status = read_mapping(folder / "status.json")
                state = status.get("state")
                if state == "running":
                    self._running.setdefault(folder, now)
                elif state in _STYLES:
                    self._end(folder, label, status, now)
            self._most = max(self._most, len(self._running))
            if self._aloud and self._live is None and now - self._spoken >= _EVERY:
                self._spoken = now
                self._console.print(f"{'':8}{self.standing()}", soft_wrap=True)

    def standing(self) -> str:
        """The progress of the sweep: `12/60 runs, 31 min left`."""
        with self._lock:
            left = self.left()
            return f"{self.finished}/{self.total} runs" + (f", {left}" if left else "")

    def left(self) -> str:
        """The estimated time left at the pace so far; empty before the first run has ended, and at the end.

        A run takes as long as those that differ from it only in the seed; if none of them has ended, as long as all
        runs so far.
        """
        with self._lock:
            if not self._durations or not self._pending:
                return ""
            now = self._clock()
            every = fmean([took for its in self._durations.values() for took in its])
            means = {kind: fmean(its) for kind, its in self._durations.items()}
            rest = 0.0
            for folder in self._pending:
                elapsed = now - self._running.get(folder, now)
                rest += max(means.get(self._kinds[folder], every) - elapsed, 0.0)
            return f"{_roughly(rest / min(self._most, len(self._pending)))} left"

    def _end(self, folder: Path, label: str, status: dict[str, Any], now: float) -> None:
        took = now - self._running.pop(folder, self._latest)
        del self._pending[folder]
        self.finished += 1
        self._durations[self._kinds[folder]].append(took)
        self._latest = now
        if not self._aloud:
            return
        what = reason_of(status).strip() or f"in {format_numbers.duration(took)}"
        left = self.left() if self._live is None else ""
        name = numbered(self.finished, self.total, label)
        announce(self._console, str(status["state"]), name, what.splitlines()[0], left)
        self._spoken = now

    def _draw(self) -> RenderableType:
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(no_wrap=True, overflow="ellipsis", max_width=60)
        grid.add_column(no_wrap=True)
        with self._lock:
            now = self._clock()
            running = [(self._pending[folder], now - since) for folder, since in self._running.items()]
            for label, age in running[:_SHOWN]:
                grid.add_row(Text(f"  {label}", style="dim"), Text(format_numbers.duration(age), style="dim"))
            if len(running) > _SHOWN:
                grid.add_row(Text(f"  and {len(running) - _SHOWN} more", style="dim"), Text())
            bar = ProgressBar(total=self.total, completed=self.finished, width=30)
            grid.add_row(bar, Text(self.standing(), style="bold"))
        return grid


def numbered(number: int, total: int, label: str) -> str:
    """A job by its place among all of them and by what distinguishes it."""
    return f"{number:>{len(str(total))}}/{total}  {label}"


def announce(console: Console, state: str, name: str, what: str, left: str = "") -> None:
    """One line: the state of a job, which one it is, what became of it, and how long the others will take."""
    style = _STYLES.get(state, "bold" if state == "run" else "dim")
    line = Text.assemble((f"{state:8}", style), (f"{name}  " if name and what else name, "bold"), what)
    line.append(f", {left}" if left else "", "dim")
    console.print(line, soft_wrap=not console.is_terminal)


def _roughly(seconds: float) -> str:
    """An estimate, in whole minutes if it is more than two.

    >>> _roughly(31.4 * 60), _roughly(90), _roughly(7000)
    ('31 min', '1 min 30 s', '1 h 57 min')
    """
    if 120 <= seconds < 3570:
        return f"{round(seconds / 60)} min"
    return format_numbers.duration(max(seconds, 1.0))
