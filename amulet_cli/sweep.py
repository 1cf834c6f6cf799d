"""A sweep: all jobs checked first, then run by Hydra's launcher, then one table made from their folders."""

import dataclasses
import os
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from amulet_cli.errors import FAILURE
from amulet_cli.job import Task
from amulet_cli.precheck import check_jobs, check_writable

if TYPE_CHECKING:
    from amulet_cli.arguments import Arguments
    from amulet_cli.compose import Campaign, Job
    from amulet_cli.results import Result

_BATCH = "hydra.sweeper.max_batch_size"
_FINE = ("done", "skipped", "refused")


def run_sweep(campaign: "Campaign", arguments: "Arguments") -> int:
    """Run what is not done; the exit code is 1 if a job failed. A refused combination is no failure."""
    from rich.text import Text

    from amulet_cli.console import err
    from amulet_cli.numbers import plural
    from amulet_cli.run import hand_over

    done = {job for job in campaign.jobs if job.done and not job.config["force"]}
    rest = [job for job in campaign.jobs if job not in done]
    refused = check_jobs(campaign, rest)
    counts = Counter("done before" if j in done else "refused" if j in refused else "to do" for j in campaign.jobs)
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    err.print(Text.assemble((f"sweep   {plural(len(campaign.jobs), 'run')}", "bold"), f": {summary}"))
    broken = False
    if not rest:
        err.print("[dim]nothing to do; force=true does it again[/]")
    else:
        check_writable(rest)
        for job in rest:  # what an earlier attempt left behind says nothing about this one
            (job.folder / "status.json").unlink(missing_ok=True)
        _record(refused)
    if len(refused) < len(rest):
        parallel = campaign.launcher != "basic"
        if parallel:
            _prepare_workers()
        elif not any(word.startswith(_BATCH) for word in arguments.overrides):
            # Hydra composes all jobs of a batch before the first: a large one would begin with a long silence.
            arguments = dataclasses.replace(arguments, overrides=(*arguments.overrides, f"{_BATCH}=16"))
        try:
            hand_over(arguments, Task(True, len(campaign.jobs), campaign.swept, parallel))
        except Exception as error:  # noqa: BLE001 - a launcher broke; what its jobs did is in their folders
            broken = True
            err.print(Text(f"the launcher {campaign.launcher} failed: {type(error).__name__}: {error}", "bold red"))
    return _close(campaign, done, failed=broken)


def _prepare_workers() -> None:
    """One thread each, from the start; and no complaint about what Ctrl-C leaves to be cleaned up."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    ours = "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker"
    before = os.environ.get("PYTHONWARNINGS")
    os.environ["PYTHONWARNINGS"] = f"{before},{ours}" if before else ours


def _record(refused: "Mapping[Job, str]") -> None:
    from amulet_cli.results import write_status

    for job, reason in refused.items():
        write_status(job.folder, "refused", reason=reason, choices=job.choices, overrides=job.overrides)


def _close(campaign: "Campaign", done: "Collection[Job]", *, failed: bool) -> int:
    from amulet_cli.console import out, sweep_table

    results = [result_of(job, before=job in done) for job in campaign.jobs]
    out.print()
    out.print(sweep_table(results))
    return FAILURE if failed or any(result.state not in _FINE for result in results) else 0


def result_of(job: "Job", *, before: bool = False) -> "Result":
    """What a job's folder says, or that there is none."""
    from amulet_cli.results import Result, find_results, read_result

    if job.done:
        result = read_result(job.folder)
        return dataclasses.replace(result, state="skipped") if before else result
    found = find_results([job.folder]) if job.folder.is_dir() else []
    if not found:
        return Result(
            folder=job.folder,
            state="not run",
            seed=job.config["seed"],
            choices=job.choices,
            overrides=job.overrides,
            config=job.config,
        )
    if found[0].state == "running":
        return dataclasses.replace(found[0], state="failed", reason="it ended without a word: killed, or out of memory")
    return found[0]
