"""A sweep: all jobs checked first, then run by Hydra's launcher, then one table of means made from their folders."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

from rich.text import Text

from amulet.core.facts import RunFacts
from amulet_cli.base.console import err, out, silent
from amulet_cli.base.errors import FAILURE, TIME_IS_UP
from amulet_cli.base.format_numbers import plural
from amulet_cli.config.arguments import Arguments
from amulet_cli.config.composition import Job, RunRequest
from amulet_cli.config.sweeps import beside_swept_groups
from amulet_cli.execution.forecast import show_forecast
from amulet_cli.execution.hydra_run import hand_over
from amulet_cli.execution.interrupt import prompt_end
from amulet_cli.execution.job import Task
from amulet_cli.execution.launchers import own_overrides, prepared, worker_of
from amulet_cli.execution.preflight import check_jobs, check_writable
from amulet_cli.execution.progress import RichReporter
from amulet_cli.execution.sweep_progress import SweepWatch
from amulet_cli.execution.trackers import Sweep, Tracking
from amulet_cli.results.reading import find_results, read_result
from amulet_cli.results.result import Result
from amulet_cli.results.writing import write_status
from amulet_cli.views.result_json import print_runs
from amulet_cli.views.sweep_table import sweep_table

_KILLED = ("TerminatedWorkerError", "BrokenProcessPool")
"""What process pools raise, joblib's and Python's own."""


def carry_out(request: RunRequest, arguments: Arguments, run: Callable[[], int]) -> int:
    """Run what a command asks for, or say what that would be; with `--json` also say what became of it."""
    if "--dry-run" in arguments.flags:
        return show_forecast(request, as_json=arguments.json)
    with prompt_end("what is finished is kept; the same command resumes"), silent(asked=arguments.json):
        code = run()
    if arguments.json:
        print_runs(map(result_of, request.jobs))
    return code


def run_sweep(request: RunRequest, arguments: Arguments, *, table: bool = True) -> int:
    """Run the jobs that are not done; the exit code is 1 if a job failed. A refused combination is not a failure.

    After `--max-time` no job begins, and if some are left the exit code is 124.

    Args:
        request: the jobs.
        arguments: their command.
        table: whether it closes with a table of means, or only with what became of the jobs.
    """
    deadline = time.time() + arguments.max_seconds
    rest = [job for job in request.jobs if job.to_do]
    done = set(request.jobs).difference(rest)
    refused = check_jobs(request, rest)
    counts = Counter("done before" if j in done else "refused" if j in refused else "to do" for j in request.jobs)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    err.print(Text.assemble((f"sweep   {plural(len(request.jobs), 'run')}", "bold"), f": {summary}"))
    broken = False
    sweep = Sweep.of(request.jobs, request.swept)
    tracking = Tracking(request.jobs[0].config, sweep, RichReporter(err).warn)
    tracking.begin()
    if not rest:
        err.print("[dim]nothing to do; force=true does it again[/]")
    check_writable(rest)
    for job in rest:  # the status of an earlier attempt says nothing about this one
        (job.folder / "status.json").unlink(missing_ok=True)
    for job, reason in refused.items():
        names = {"choices": job.choices, "overrides": job.overrides, "facts": _planned(job).as_dict()}
        write_status(job.folder, "refused", reason=reason, **names)
    if todo := [job for job in rest if job not in refused]:
        worker = worker_of(request)
        watch = SweepWatch(todo, request.swept, len(request.jobs) - len(todo), err, aloud=worker is not None)
        task = Task(
            sweep=True,
            total=len(request.jobs),
            swept=request.swept,
            watch=None if worker else watch,
            worker=worker,
            tracked_as=sweep.key,
            deadline=deadline,
        )
        try:
            with watch:
                for part, before in _parts(request, arguments):
                    words = beside_swept_groups(part.overrides, request.swept)
                    words += own_overrides(request, part.overrides)
                    _launch(request, replace(part, overrides=tuple(words)), replace(task, before=before))
        except Exception as error:  # noqa: BLE001 - a launcher broke; what its jobs did is in their folders
            broken = True
            err.print(Text(f"the launcher {request.launcher} failed: {type(error).__name__}: {error}", "bold red"))
    results = [result_of(job, before=job in done) for job in request.jobs]
    tracking.end(results)
    out.print()
    out.print(sweep_table(results, out.width, means=table))
    states = Counter(result.state for result in results)
    late = states["not run"] > 0 and time.time() >= deadline
    if late:
        what = f"time is up (--max-time): {plural(states['not run'], 'run')} left; the same command resumes"
        err.print(Text(what, style="bold yellow"), soft_wrap=True)
    fine = {"done", "skipped", "refused", *(["not run"] if late else [])}
    return FAILURE if broken or states.keys() - fine else TIME_IS_UP if late else 0


def _launch(request: RunRequest, command: Arguments, task: Task) -> None:
    """Let the launcher do a command's jobs. A worker that is killed takes those beside it along: then, once, again."""
    try:
        with prepared(request, command.overrides):
            hand_over(command, task)
    except Exception as error:
        if type(error).__name__ not in _KILLED:
            raise
        what = "a worker process was killed, perhaps for want of memory, and ended the others"
        err.print(Text(f"{what}; what is missing is begun again", style="yellow"), soft_wrap=True)
        with prepared(request, command.overrides):
            hand_over(command, task)


def _parts(request: RunRequest, arguments: Arguments) -> Iterator[tuple[Arguments, int]]:
    """The commands for Hydra that have jobs to run, and the number of jobs before each."""
    before = 0
    for part, size in zip(request.parts or (arguments,), request.sizes or (len(request.jobs),), strict=True):
        jobs = request.jobs[before : before + size]
        if any(job.to_do for job in jobs):
            yield part, before
        before += size


def _planned(job: Job) -> RunFacts:
    """What a job is about, before it is run: its defences, its attack, its risks."""
    from amulet.assessment import plan_facts
    from amulet_cli.execution.plan import plan_of

    return plan_facts(plan_of(job.config))


def result_of(job: Job, *, before: bool = False) -> "Result":
    """The result in a job's folder, or that there is none."""
    if job.done:
        result = read_result(job.folder)
        return replace(result, state="skipped") if before else result
    found = find_results([job.folder]) if job.folder.is_dir() else []
    if not found:
        return Result(
            folder=job.folder,
            state="not run",
            seed=job.config["seed"],
            choices=job.choices,
            overrides=job.overrides,
            config=job.config,
            facts=_planned(job),
        )
    if found[0].state == "running":
        reason = "it ended without a word: killed, or out of memory"
        return replace(found[0], state="failed", reason=reason, facts=_planned(job))
    return found[0]
