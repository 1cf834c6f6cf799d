"""Checks that find errors before the first model is trained."""

import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from amulet.core import IncompatibleError, Reporter
from amulet.core.reporting import reporting_to
from amulet_cli.base.console import err, hanging
from amulet_cli.base.errors import UsageError, as_usage_error, in_own_code
from amulet_cli.config import schema, suites, trial
from amulet_cli.config.arguments import key_of
from amulet_cli.config.composition import Job, RunRequest
from amulet_cli.config.schema import GROUPS
from amulet_cli.execution import launchers, trackers
from amulet_cli.execution.progress import RichReporter

if TYPE_CHECKING:
    from amulet.assessment import Plan


def check_settings(request: RunRequest) -> None:
    """The top-level keys of every job, the paths of its files, what must be installed; imports nothing heavy."""
    launchers.check(request)
    _check_groups(request)
    for job in request.jobs:
        with placed(job, request):
            schema.check(job.config)
    with placed(request.jobs[0], request):
        trackers.check(request.jobs[0].config)
    for key in ("output_dir", "store"):
        for folder in dict.fromkeys(job.config[key] for job in request.jobs if job.config[key] is not None):
            _check_folder(key, folder)


def _check_groups(request: RunRequest) -> None:
    """`attack={}` would leave the option as it is."""
    for job in request.jobs:
        for word in job.words:
            key, _, value = word.partition("=")
            if key in GROUPS and not value.strip("{} "):
                raise UsageError(
                    f"`{key}` must be chosen by its name, got {value or 'nothing'}",
                    where=f"`{word}`",
                    try_=f"amulet list {key}",
                )


def check_places(jobs: Iterable[Job]) -> None:
    """Raise `UsageError` if this user may not write where these jobs would; nothing is created."""
    for name in dict.fromkeys(job.config["output_dir"] for job in jobs):
        _check_folder("output_dir", name, os.R_OK | os.W_OK | os.X_OK)


def check_writable(jobs: Iterable[Job]) -> None:
    """Create the output folders and write a file there, as the run will. A store may be read-only."""
    for folder in dict.fromkeys(Path(job.config["output_dir"]) for job in jobs):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=folder, prefix=".amulet-"):
                pass
        except OSError as error:
            raise _unusable("output_dir", str(folder), error.strerror or str(error)) from error


def check_jobs(request: RunRequest, jobs: Sequence[Job]) -> dict[Job, str]:
    """Check every component, every combination, the data, and whether the models fit them.

    Jobs that differ only in the seed are checked once.

    Returns:
        The jobs of a sweep that make no sense, each with the reason.

    Raises:
        UsageError: something is wrong with a job; in a single run also when it makes no sense.
    """
    if not jobs:
        return {}
    with _busy("checking the settings and the data") as reporter, reporting_to(reporter):
        refused, spoken = _checked(request, jobs, reporter)
    for line in spoken:
        err.print(hanging("suite    ", line))
    for line in dict.fromkeys(filter(None, (trial.announced(job.config) for job in jobs))):
        err.print(hanging("trial   ", line, "bold yellow"))
    return refused


def _checked(request: RunRequest, jobs: Sequence[Job], reporter: Reporter) -> tuple[dict[Job, str], list[str]]:
    """The jobs that make no sense, with the reason, and lines on the suites of the others."""
    from amulet.assessment import check, measurable
    from amulet_cli.execution.plan import forget_data, load_data, plan_of, try_out

    refused: dict[Job, str] = {}
    reasons: dict[str, str | None] = {}
    costs: dict[str, None] = {}
    spoken: dict[str, None] = {}
    # By data set, so that each is read once although only one is kept.
    for job in sorted(jobs, key=lambda job: json.dumps(job.config["dataset"], sort_keys=True)):
        kind = json.dumps({**job.config, "seed": None}, sort_keys=True)
        if kind not in reasons:
            try:
                with placed(job, request):
                    check(plan_of(job.config))
                    _check_declared(job)
                    plan = plan_of(job.config, data=load_data(job.config["dataset"]))
                    check(plan)
                    try_out(plan)
                reasons[kind] = None
                costs |= dict.fromkeys(_costs(plan))
                spoken |= dict.fromkeys(suites.announced(job.config, measurable(plan)))
            except IncompatibleError as error:
                if not request.sweep:
                    raise
                reasons[kind] = str(error)
        if (reason := reasons[kind]) is not None:
            refused[job] = reason
    if request.launcher != "basic":
        forget_data()  # the workers read it themselves
    for cost in costs:
        reporter.note(cost)
    return refused, list(spoken)


def _check_declared(job: Job) -> None:
    """Refuse what makes no sense on the data that the option says it has, before they are read or downloaded.

    With settings of its own it may have other data than it says. Other mistakes are looked for in the data themselves.
    A given model is left out: made-up records say nothing about what it takes.
    """
    import dataclasses

    from amulet.assessment import check
    from amulet.assessment.combinations import stand_in
    from amulet.core import AmuletError
    from amulet_cli.execution.plan import plan_of
    from amulet_cli.views.combinations import datasets

    facts = datasets().get(job.choices["dataset"])
    if facts is None or any(key.startswith("dataset.") for key in job.overrides):
        return
    try:
        check(dataclasses.replace(plan_of(job.config), data=stand_in(facts)))
    except IncompatibleError:
        raise
    except AmuletError:
        return


def _costs(plan: "Plan") -> Iterator[str]:
    """What a defence's own risk, which nobody asked for by name, will cost in models."""
    from amulet.assessment.risks import RISKS

    for defense in plan.defenses if "default" in plan.metrics else ():
        if plan.attack is not None and plan.attack.risk == defense.risk:
            continue
        risk, attack = RISKS[defense.risk], plan.attack_on(defense.risk)
        if count := attack.models_trained():
            yield (
                f"{risk.code} {risk.title} is measured too, for {type(defense).__name__} is made against it: "
                f"{type(attack).__name__} trains {count} models for each victim. metric=[...] chooses what is measured"
            )


@contextmanager
def placed(job: Job, request: RunRequest) -> Iterator[None]:
    """Add the override, option and job to a `UsageError` from this block."""
    try:
        yield
    except Exception as error:
        known = as_usage_error(error) or in_own_code(error)
        if known is None or isinstance(error, IncompatibleError):
            raise
        raise known.within(_place(known, job, request)) from error


@contextmanager
def _busy(text: str) -> Iterator[Reporter]:
    """Show activity on a terminal: the first import of torch takes seconds.

    A download, or another long stage, is shown instead while it lasts.
    """
    if not err.is_terminal:
        yield RichReporter(err)
        return
    with err.status(text) as status:
        yield RichReporter(err, aside=status)


def _place(error: UsageError, job: Job, request: RunRequest) -> str:
    found = re.search(r"`(\w+)((?:\.\w+)*)`", error.what)
    where = ""
    if found:
        group, key = found[1], found[1] + found[2]
        words = {key_of(word): word for word in job.words}
        if key in words:
            where = f"`{words[key]}`"
        elif group in job.choices:
            where = f"`{group}={job.choices[group]}`"
            where += f" with `{words['experiment']}`" if "experiment" in words else ""
    if not request.sweep:
        return where
    number = f"job {request.jobs.index(job) + 1} of {len(request.jobs)}"
    return f"{where}, {number}" if where else f"{number}: {job.label(request.swept)}"


def _check_folder(key: str, name: str, mode: int = os.R_OK | os.X_OK) -> None:
    """Check that a folder can be read, or could be created; writing is checked where something is to do."""
    folder = Path(name).absolute()
    try:
        with suppress(FileNotFoundError, NotADirectoryError):
            folder.lstat()
        nearest = next((p for p in (folder, *folder.parents) if os.path.lexists(p)), Path("/"))
        if not stat.S_ISDIR(nearest.stat().st_mode):
            raise _unusable(key, name, f"{nearest} is a file")
    except (OSError, ValueError) as error:
        raise _unusable(key, name, (isinstance(error, OSError) and error.strerror) or str(error)) from error
    if not os.access(nearest, mode):
        raise _unusable(key, name, f"{nearest} cannot be read{' and written' if mode & os.W_OK else ''} by this user")


def _unusable(key: str, folder: str, reason: str) -> UsageError:
    return UsageError(
        f"`{key}` must be a folder that can be read and written, got {folder}",
        where=reason,
        try_=f"amulet run {key}=... with another folder",
    )
