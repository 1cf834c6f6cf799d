"""Many jobs in one process: its memory must stay flat."""

import os
from pathlib import Path
from typing import Any

import psutil

from tests.helpers.torture.common import TINY, Failure, Tried, empty_folder, ended, forked, said

_FIRST = 50
"""The job from which on memory counts: until then caches fill."""
_MOST = 10.0
"""MB that it may grow by."""


def soaked(count: int, seed: int) -> Tried:
    """A sweep of so many seeds in one process: how much its memory grows after job 50."""
    first, sizes = min(_FIRST, max(1, count // 6)), Path("sizes")
    words = ("run", "-m", f"seed=range({seed},{seed + count})", "attack=evasion_pgd", *TINY)
    with empty_folder() as folder:
        code = ended(forked(words, folder / "soak.log", _measuring))
        seen = [float(line) for line in said(folder / sizes)]
        log = said(folder / "soak.log")
    how, lost = f"--soak {count} --seed {seed}", list[Failure]()
    if code or len(seen) != count:
        return Tried(count, [(f"exit code {code} after {len(seen)} jobs: {' / '.join(log[-12:])}", how)])
    # Single readings jump with what is freed when; the medians of two spans do not.
    span = max(1, (count - first) // 5)
    begin, end = (sorted(part)[len(part) // 2] for part in (seen[first : first + span], seen[-span:]))
    if end - begin > _MOST:
        lost.append((f"memory grew from {begin:.1f} to {end:.1f} MB", how))
    return Tried(count, lost, f"memory {end - begin:+.1f} MB from job {first} to {count}")


def _measuring() -> None:
    """Write the memory of this process into `sizes` after each job, in MB."""
    from amulet_cli.execution.job import Task

    real, process = Task.__call__, psutil.Process(os.getpid())

    def run(self: Task, cfg: Any) -> int:
        code = real(self, cfg)
        with Path("sizes").open("a") as file:
            file.write(f"{process.memory_info().rss / 1e6}\n")
        return code

    Task.__call__ = run
