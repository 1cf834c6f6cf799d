"""Commands as a user waits for them: processor seconds of a new process, and the main job by the clock."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.helpers.made_up_results import choices, typical, write

MAIN_JOB = ("defense=adv_training", "attack=model_extraction", "dataset=census")
MANY, SOME = 2000, 500


class Spent(NamedTuple):
    """What a command took."""

    command: str
    processor: float
    clock: float


def measured() -> Iterator[Spent]:
    """The least of three turns of each command; the main job runs once, from an empty folder on all cores."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (SOME, MANY):
            made = folder / str(count)
            for number in range(count):
                chosen = choices(attack=f"attack_{number // 100}")
                write(made, typical(number), seed=number % 100, chosen=chosen)
        for words in (("--help",), ("list",), ("validate", *MAIN_JOB)):
            yield _least(words, folder, f"amulet {words[0]}")
        for count in (SOME, MANY):
            yield _least(("report", str(folder / str(count))), folder, f"amulet report, {count:,} runs")
        yield _once(("run", *MAIN_JOB), folder, "amulet run, the main job")


def _least(words: tuple[str, ...], folder: Path, title: str) -> Spent:
    return min((_once(words, folder, title) for _ in range(3)), key=lambda spent: spent.processor)


def _once(words: tuple[str, ...], folder: Path, title: str) -> Spent:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    root = str(Path(__file__).parents[2])
    subprocess.run(
        [sys.executable, "-m", "amulet_cli.cli", *words],
        cwd=folder,
        env=environment | {"PYTHONPATH": root},
        check=True,
        capture_output=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(title, processor, time.monotonic() - began)
