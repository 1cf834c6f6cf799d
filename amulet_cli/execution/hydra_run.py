"""Handing a command to Hydra, which calls the task for every job."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from amulet_cli.config.arguments import Arguments
from amulet_cli.config.hydra_setup import VERSION_BASE, conf_dir, register_option_folders
from amulet_cli.execution.job import Task


def hand_over(arguments: Arguments, task: Task) -> None:
    """Give the command to Hydra in the form of its own entry point."""
    from hydra import main as hydra_main

    from amulet_cli.execution.ray_launcher import register

    register()
    register_option_folders()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # its errors are raised, not printed
    with _as_argv(arguments.for_hydra()):
        hydra_main(config_path=str(conf_dir()), config_name="config", version_base=VERSION_BASE)(task)()


@contextmanager
def _as_argv(words: Sequence[str]) -> Iterator[None]:
    """Hydra's entry point reads the command line itself."""
    before, sys.argv = sys.argv, [sys.argv[0], *words]
    try:
        yield
    finally:
        sys.argv = before
