"""`amulet validate`: composes and checks a command without running it."""

from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from amulet_cli.base.console import out, print_json
from amulet_cli.base.flags import CommandLine
from amulet_cli.config.arguments import COMPOSE_FLAGS, parse
from amulet_cli.config.completion import complete
from amulet_cli.config.composition import Job, compose
from amulet_cli.execution.preflight import check_jobs, check_places, check_settings


def command_line() -> CommandLine:
    """The words of `amulet run`."""
    return CommandLine(
        f"""
        amulet validate [group=option ...] [key=value ...]

        Takes what `amulet run` takes, checks everything that a run checks before it trains, and shows which jobs there
        would be, where their results would go, and which of them are done already.

        Flags:
        {COMPOSE_FLAGS}

        Examples:
        amulet validate defense=adv_training attack=model_extraction  one run
        amulet validate -m defense=adv_training defense.epsilon=0.01,0.1 'seed=range(0,10)'  a sweep of 20

        Exit code: 0 if it can run, 2 if not.
        """,
        words=complete,
    )


def main(words: list[str]) -> int:
    """Check, then print the jobs."""
    arguments = parse(words, command_line())
    request = compose(arguments)
    check_settings(request)
    refused = check_jobs(request, request.jobs)
    keys = request.swept if request.sweep else ("seed",)
    states = ["refused" if job in refused else "to do" if job.to_do else "done" for job in request.jobs]
    check_places(job for job, state in zip(request.jobs, states, strict=True) if state == "to do")
    if arguments.json:
        told = zip(request.jobs, states, strict=True)
        print_json({"jobs": [_record(job, state, refused.get(job, "")) for job, state in told]})
        return 0
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("state", *keys):
        table.add_column(name)
    table.add_column("results", overflow="fold")
    for job, state in zip(request.jobs, states, strict=True):
        table.add_row(*map(Text, (state, *job.differing(keys).values(), str(job.folder))))
    out.print(table)
    for reason in dict.fromkeys(refused.values()):
        out.print(Text(f"refused: {reason}", style="yellow"))
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    many = f"{len(states)} jobs" if request.sweep else "1 run"
    out.print(Text(f"Valid: {many}, {counts}.", style="green"))
    return 0


def _record(job: Job, state: str, reason: str) -> dict[str, Any]:
    made = {"choices": job.choices, "overrides": job.overrides, "seed": job.config["seed"]}
    return {"state": state, "reason": reason, "folder": str(job.folder), **made}
