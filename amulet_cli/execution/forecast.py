"""What a command would do, `--dry-run`: its jobs, the trainings that they share, and the time they take."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from amulet_cli.base.console import hanging, out, print_json
from amulet_cli.base.format_numbers import duration, plural
from amulet_cli.base.serialize import canonical_json, plain
from amulet_cli.config.composition import Job, RunRequest
from amulet_cli.execution.launchers import at_once
from amulet_cli.execution.preflight import check_jobs
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result, config_hash, shaping

_OF_THE_ATTACK = ("attack", "metric")
_OF_THE_DEFENSE = ("defense", "second_defense")


@dataclass(frozen=True)
class Forecast:
    """What is to be expected of a command."""

    states: Mapping[str, int]
    """Jobs by `to do`, `done` and `refused`."""
    victims: int
    """Models that the jobs to do are about; one that is given counts once."""
    trainings: int
    """Different ones among them: each is trained once, or was before."""
    given: int
    """Others, which are given: nothing trains them."""
    timed: int
    """Jobs to do like which one was run on this machine before."""
    seconds: float
    """What these will take, several at once where the launcher does that; NaN if there is none."""


def foretell(request: RunRequest, hardware: str) -> Forecast:
    """Check a command, and look up how long earlier runs like its jobs took.

    Args:
        request: its jobs.
        hardware: what this machine is called in results.
    """
    from amulet_cli.execution.plan import is_given

    refused = check_jobs(request, request.jobs)
    states = {job: "refused" if job in refused else "to do" if job.to_do else "done" for job in request.jobs}
    todo = [job for job, state in states.items() if state == "to do"]
    given = {_model(job): is_given(job.config) for job in todo}
    trained = [victim for job in todo for victim in _victims(job)[given[_model(job)] :]]
    ready = sum(given.values())
    folders = {Path(job.config["output_dir"]) for job in todo}
    known = _durations(todo, find_results(filter(Path.is_dir, folders)), hardware)
    total = sum(known) / min(at_once(request), len(known)) if known else math.nan
    return Forecast(Counter(states.values()), ready + len(trained), len(set(trained)), ready, len(known), total)


def show_forecast(request: RunRequest, *, as_json: bool) -> int:
    """Print what a command would do; nothing is trained and nothing written."""
    from amulet_cli.execution.environment import processor

    found = foretell(request, processor())
    if as_json:
        print_json(vars(found))
        return 0
    states = ", ".join(f"{count} {state}" for state, count in found.states.items())
    out.print(Text.assemble((plural(len(request.jobs), "job"), "bold"), f": {states}"))
    shared = found.victims - found.trainings - found.given
    given = f"{found.given} given; " if found.given else ""
    text = f"{given}{found.trainings} to train, or in the store; {shared} more are shared between jobs"
    out.print(hanging("models   ", text))
    out.print(hanging("time     ", _time(found)))
    return 0


def _time(found: Forecast) -> str:
    count = found.states.get("to do", 0)
    if not count:
        return "nothing to do"
    if not found.timed:
        return "unknown: nothing like it was run on this machine into this folder; --limit 1000 tries it out"
    rest = f"; {count - found.timed} more are like none that was run here" if found.timed < count else ""
    return f"about {duration(found.seconds)} for {plural(found.timed, 'job')}, as earlier runs took{rest}"


def _victims(job: Job) -> list[str]:
    """What each of a job's victims depends on."""
    made = {key: value for key, value in shaping(job.config).items() if key not in _OF_THE_ATTACK}
    undefended = {key: value for key, value in made.items() if key not in _OF_THE_DEFENSE}
    defended = any(job.config[key]["_target_"] for key in _OF_THE_DEFENSE)
    return [
        canonical_json(plain([job.config["seed"], one])) for one in ([undefended, made] if defended else [undefended])
    ]


def _model(job: Job) -> str:
    """By what a job's undefended victim is given, if it is."""
    return canonical_json(plain([job.config["checkpoint"], job.config["model"]]))


def _durations(jobs: Sequence[Job], results: Sequence[Result], hardware: str) -> list[float]:
    """The seconds of those jobs like which one was run: with another seed, or else other settings of its choices."""
    same: defaultdict[str, list[float]] = defaultdict(list)
    alike: defaultdict[tuple[Any, ...], list[float]] = defaultdict(list)
    for result in results:
        if result.finished and result.environment.get("hardware") == hardware:
            took = sum(result.timings.values())
            same[config_hash(result.config)].append(took)
            alike[_kind(result.choices, result.config)].append(took)
    known = (same.get(config_hash(job.config)) or alike.get(_kind(job.choices, job.config)) for job in jobs)
    return [sum(took) / len(took) for took in known if took]


def _kind(choices: Mapping[str, str], config: Mapping[str, Any]) -> tuple[Any, ...]:
    return (*sorted(choices.items()), config.get("trial"))
