"""What the parts have in common: failures, empty folders, and commands in processes of their own."""

import contextlib
import io
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

TINY = ("dataset.limit=200", "epochs=1")
SWEEP = ("run", "-m", "seed=0,1", "attack=evasion_pgd", *TINY)
SAME = ("metrics.csv", "evidence.npz")
"""What must have the same bytes however often a sweep was interrupted."""
LINES = 12
"""Of the answer to a wrong command, at most."""

Failure = tuple[str, str]
"""What failed, and how to repeat it."""


class Tried(NamedTuple):
    """What a part did."""

    times: int
    lost: list[Failure]
    note: str = ""
    """What else is to be said, such as what this machine does not let one try."""


@contextlib.contextmanager
def empty_folder(within: Path | None = None) -> Iterator[Path]:
    """A new working directory."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(dir=within, prefix="amulet-torture-") as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def warm() -> None:
    """A run in this process: what it imports and prepares, forked ones need not."""
    from amulet_cli.cli import main

    with empty_folder(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        if main(list(SWEEP)) != 0:
            raise RuntimeError("a small sweep failed")


def forked(words: tuple[str, ...], log: Path, before: Callable[[], None] = lambda: None) -> int:
    """Begin a command in a copy of this process, which writes to `log`; its process number.

    Args:
        words: of the command.
        log: what it says.
        before: done there first.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 99
    try:
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        from amulet_cli.cli import main

        before()
        code = main(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - this is what is looked for
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        os._exit(code)


def ended(pid: int) -> int:
    """Wait for a forked command; its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def differences(calm: Path, hurt: Path) -> list[str]:
    """The files of an undisturbed sweep that another one has not, or not with the same bytes."""
    found: list[str] = []
    for path in sorted(calm.rglob("*")):
        if path.name in SAME:
            other = hurt / path.relative_to(calm)
            if not other.is_file() or other.read_bytes() != path.read_bytes():
                found.append(f"{path.relative_to(calm)} {'differs' if other.is_file() else 'is not there'}")
    return found


def complete(folder: Path) -> dict[Path, bytes]:
    """The finished results in a folder."""
    return {path: path.read_bytes() for path in folder.rglob("metrics.json")}


def said(log: Path) -> list[str]:
    """The lines of a log."""
    return log.read_text(errors="replace").splitlines() if log.is_file() else []
