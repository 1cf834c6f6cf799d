"""How far a sweep is: counted from folders, with the time left at the pace so far."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from amulet_cli.config.composition import Job
from amulet_cli.execution.sweep_progress import SweepWatch
from amulet_cli.results.writing import write_status


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def jobs(folder: Path, count: int) -> list[Job]:
    choices = {"dataset": "census", "model": "linearnet", "defense": "none", "attack": "none"}
    configs: list[dict[str, Any]] = [{"seed": seed, "output_dir": str(folder)} for seed in range(count)]
    return [Job(config, choices, {}, ()) for config in configs]


def watching(todo: Sequence[Job], *, before: int = 0, aloud: bool = True) -> tuple[SweepWatch, Clock, io.StringIO]:
    clock, file = Clock(), io.StringIO()
    console = Console(file=file, width=100, color_system=None)
    return SweepWatch(todo, ["seed"], before, console, aloud=aloud, clock=clock), clock, file


def test_counts_runs_and_tells_the_time_left(tmp_path: Path) -> None:
    todo = jobs(tmp_path, 6)
    watch, clock, file = watching(todo, before=4)
    assert watch.standing() == "4/10 runs", "no pace is known yet"
    for job in todo[:2]:
        write_status(job.folder, "running")
    watch.look()
    clock.now = 300
    write_status(todo[0].folder, "done")
    watch.look()
    # Two at a time: four are waiting, and the one that runs took as long as the first already.
    assert watch.standing() == "5/10 runs, 10 min left"
    clock.now = 310
    write_status(todo[1].folder, "refused", reason="makes no sense\nat all")
    watch.look()
    assert watch.standing() == "6/10 runs, 10 min left"
    assert file.getvalue().splitlines() == [
        "done     5/10  seed=0  in 5 min 00 s, 10 min left",
        "refused  6/10  seed=1  makes no sense, 10 min left",
    ]
    for job in todo[2:]:
        write_status(job.folder, "failed", error="the sky fell")
    watch.look()
    assert watch.standing() == "10/10 runs"
    assert file.getvalue().splitlines()[-1] == "failed  10/10  seed=5  the sky fell"


def test_a_run_that_was_never_seen_running_counts_too(tmp_path: Path) -> None:
    todo = jobs(tmp_path, 3)
    watch, clock, _ = watching(todo)
    clock.now = 20
    write_status(todo[0].folder, "done")
    watch.look()
    assert watch.standing() == "1/3 runs, 40 s left"


def test_a_run_takes_as_long_as_those_of_its_kind(tmp_path: Path) -> None:
    todo = [
        Job(
            {"seed": seed, "output_dir": str(tmp_path)},
            {"dataset": "c", "model": "m", "defense": d, "attack": "a"},
            {},
            (),
        )
        for d in ("slow", "fast", "new")
        for seed in range(3)
    ]
    clock = Clock()
    watch = SweepWatch(todo, ["defense", "seed"], 0, Console(file=io.StringIO()), aloud=False, clock=clock)
    for job, now in ((todo[0], 100), (todo[3], 110)):
        clock.now = now
        write_status(job.folder, "done")
        watch.look()
    # Two of 100 s and two of 10 s are left, and three of a kind that is not known yet: 55 s, as all so far.
    assert watch.left() == f"{round((2 * 100 + 2 * 10 + 3 * 55) / 60)} min left"


def test_says_now_and_then_that_it_is_alive_where_nothing_can_be_drawn(tmp_path: Path) -> None:
    todo = jobs(tmp_path, 2)
    watch, clock, file = watching(todo)
    for now in (10, 61, 70, 122):
        clock.now = now
        watch.look()
    assert file.getvalue().split() == ["0/2", "runs"] * 2


def test_is_silent_where_the_jobs_speak_for_themselves(tmp_path: Path) -> None:
    todo = jobs(tmp_path, 2)
    watch, clock, file = watching(todo, aloud=False)
    clock.now = 100
    write_status(todo[0].folder, "done")
    watch.look()
    assert (watch.left(), file.getvalue()) == ("1 min 40 s left", "")


def test_half_a_status_is_none_yet(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, 1)
    watch, _, _ = watching([job])
    job.folder.mkdir(parents=True)
    for text in ('{"state": "do', "[]", '{"state": "?"}'):
        (job.folder / "status.json").write_text(text)
        watch.look()
    assert watch.finished == 0


def test_follows_by_itself_and_draws_on_a_terminal(tmp_path: Path) -> None:
    todo = jobs(tmp_path, 8)
    file = io.StringIO()
    console = Console(file=file, width=100, color_system=None, force_terminal=True)
    for job in todo[:6]:
        write_status(job.folder, "running")
    with SweepWatch(todo, ["seed"], 0, console, aloud=True) as watch:
        watch.look()
        console.print(watch._draw())  # pyright: ignore[reportPrivateUsage]
        write_status(todo[0].folder, "done")
    shown = file.getvalue()
    assert "seed=3" in shown
    assert "and 2 more" in shown
    assert "0/8 runs" in shown
    assert "1/8  seed=0" in shown, "what ended last is told at the end"
