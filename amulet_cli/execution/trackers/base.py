"""The base class of trackers, and what they receive."""

import hashlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from amulet_cli.base.serialize import flat
from amulet_cli.config.composition import Job
from amulet_cli.results.result import CHOICES, Result, config_hash

Curves = Mapping[str, Mapping[str, Sequence[float]]]
"""For each training stage and figure one number per epoch: ``{"train undefended": {"loss": [0.7, 0.5]}}``."""


@dataclass(frozen=True)
class Sweep:
    """What the jobs of one command have in common. The same command again is the same sweep."""

    key: str
    title: str
    jobs: int

    @classmethod
    def of(cls, jobs: Sequence[Job], swept: Sequence[str]) -> "Sweep":
        """The sweep that these jobs make."""
        parts = sorted(f"{config_hash(job.config)} {job.config['seed']}" for job in jobs)
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
        over = f" over {', '.join(swept)}" if swept else ""
        return cls(key, f"{len(jobs)} runs{over}", len(jobs))


@dataclass(frozen=True)
class Run:
    """One finished run, as sent to trackers."""

    result: Result
    curves: Curves = field(default_factory=dict[str, Mapping[str, Sequence[float]]])
    sweep: str = ""
    """The key of the sweep it belongs to; empty for a single run."""

    @property
    def name(self) -> str:
        """Short, for lists: ``adv_training evasion_pgd seed=0``."""
        *_, defense, attack = self.result.setting
        return f"{defense} {attack} seed={self.result.seed}"

    @property
    def metrics(self) -> dict[str, float]:
        """Every finite number: ``undefended/test_accuracy``, and ``undefended/test_accuracy.baseline``."""
        found: dict[str, float] = {}
        for ending, numbers in (("", self.result.metrics), (".baseline", self.result.baselines)):
            for victim, row in numbers.items():
                found |= {f"{victim}/{name}{ending}": value for name, value in row.items() if math.isfinite(value)}
        return found

    @property
    def points(self) -> Iterator[tuple[str, float, int]]:
        """Every number with its step: metrics at the seed, curves by epoch."""
        yield from ((name, value, self.result.seed) for name, value in self.metrics.items())
        for stage, figures in self.curves.items():
            for figure, values in figures.items():
                yield from ((f"{stage}/{figure}", value, epoch) for epoch, value in enumerate(values, start=1))

    @property
    def parameters(self) -> dict[str, str | float | int | bool]:
        """The configuration, flat: ``{"defense.epsilon": 0.05}``; what is not a single value as JSON."""
        config = flat({key: value for key, value in self.result.config.items() if key != "logger"})
        single = (str, float, int, bool)
        return {k: v if isinstance(v, single) else json.dumps(v, default=str) for k, v in config.items()}

    @property
    def tags(self) -> dict[str, str]:
        """The choices, the folder, the software."""
        chosen = {name: str(self.result.choices[name]) for name in CHOICES if name in self.result.choices}
        about = self.result.environment
        made = {name: str(about[name]) for name in ("amulet", "torch", "device", "hardware") if name in about}
        return {
            **chosen,
            "seed": str(self.result.seed),
            "hash": self.result.hash,
            "folder": str(self.result.folder.absolute()),
            "code": _code(),
            **made,
        }

    @property
    def files(self) -> list[Path]:
        """The files besides the numbers."""
        names = ("metrics.json", "metrics.csv", "config.yaml")
        return [path for name in names if (path := self.result.folder / name).is_file()]


class Tracker(ABC):
    """Receives runs. Settings are keyword-only arguments; nothing heavy is imported before it is used.

    Args:
        output_dir: where results go; a tracker that keeps files keeps them there.
    """

    extra: ClassVar[str] = ""
    """The extra of this package that installs what the tracker needs."""
    needs: ClassVar[tuple[str, ...]] = ()
    """The modules that must be installed."""

    def __init__(self, output_dir: Path) -> None:
        self.output_dir = output_dir.absolute()

    @property
    @abstractmethod
    def place(self) -> str:
        """The destination of runs; the same result is not sent twice to the same destination."""

    def begin(self, sweep: Sweep) -> None:  # noqa: B027 - optional
        """Called when a sweep begins, in the command's process, before its jobs."""

    @abstractmethod
    def log(self, run: Run) -> str:
        """Send a run and return its name there; called in the process that computed it, perhaps in parallel."""

    def end(self, sweep: Sweep, states: Mapping[str, int]) -> None:  # noqa: B027
        """Called when a sweep has ended, with the number of jobs in each state."""


def _code() -> str:
    """The digest of the library's source code, as in the keys of measurements."""
    from amulet.assessment.measured import code_of_amulet

    return code_of_amulet()[:12]
