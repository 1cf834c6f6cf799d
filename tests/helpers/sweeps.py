"""Sweeps of which not every job is composed."""

from amulet_cli.config import composition
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import Job
from amulet_cli.config.hydra_setup import opened
from amulet_cli.config.series import parts


def jobs_with_every_word(*words: str) -> tuple[list[Job], int]:
    """So many jobs of a command that each of its words is in one of them, and the number of all its jobs.

    Options and values of different keys are independent of each other: what holds for these jobs holds for all.
    """
    (command,) = parts(parse(words))
    with opened(command.config_dir) as hydra:
        every, swept, _ = composition._expanded(hydra, command)  # pyright: ignore[reportPrivateUsage]
        composer = composition._Composer(hydra, command, swept or ())  # pyright: ignore[reportPrivateUsage]
        seen: set[str] = set()
        chosen: list[Job] = []
        for job in every:
            if not seen.issuperset(job):
                seen.update(job)
                chosen.append(composer.job(job))
    return chosen, len(every)
