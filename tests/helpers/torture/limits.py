"""A full disk, folders that may not be written to, too little memory, too few descriptors."""

import contextlib
import os
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from tests.helpers.torture.common import (
    LINES,
    SWEEP,
    Failure,
    Tried,
    complete,
    differences,
    empty_folder,
    ended,
    forked,
    said,
)
from tests.helpers.unprivileged import drop_rights

_ENDS = (0, 1, 2)
_LARGEST = 400_000
"""Bytes: more than any file of the sweep has."""


def scarce(count: int, seed: int) -> Tried:
    """A sweep with too little of something; then, with enough, the bytes of an undisturbed one."""
    draw, lost, skipped = random.Random(seed), list[Failure](), ""
    with empty_folder() as folder:
        if ended(forked((*SWEEP, "output_dir=calm"), folder / "calm.log")) != 0:
            raise RuntimeError((folder / "calm.log").read_text())
        kinds: dict[str, Callable[[], tuple[str, Callable[[], None]]]] = {
            "long files": lambda: _limited(resource.RLIMIT_FSIZE, int(_LARGEST * draw.random() ** 3)),
            "descriptors": lambda: _limited(resource.RLIMIT_NOFILE, draw.randrange(8, 40)),
            "memory": lambda: _less_memory(int(2e8 * draw.random() ** 2)),
        }
        disk = folder / "disk"
        with _small_disk(disk) as mounted:
            if mounted:
                kinds["room on the disk"] = lambda: _filled(disk, int(_LARGEST * 2 * draw.random() ** 2))
            else:
                skipped = "no disk of its own: mounting is not allowed here"
            for number in range(count):
                kind = draw.choice(list(kinds))
                how, before = kinds[kind]()
                where = f"disk/hurt{number}" if kind == "room on the disk" else f"hurt{number}"
                lost += _one(folder, (*SWEEP, f"output_dir={where}"), before, f"{how}, --limits {count} --seed {seed}")
                shutil.rmtree(folder / where, ignore_errors=True)
        lost += _closed(folder)
    return Tried(count + 1, lost, skipped)


def _one(folder: Path, words: tuple[str, ...], before: Callable[[], None], how: str) -> list[Failure]:
    hurt, log = folder / words[-1].partition("=")[2], folder / "hurt.log"
    code = ended(forked(words, log, before))
    lines = said(log)
    lost: list[Failure] = []
    if code not in _ENDS or (code and not lines) or any(line.startswith("Traceback") for line in lines):
        lost.append((f"exit code {code}: {' / '.join(lines[-LINES:])}", how))
    kept = complete(hurt)
    for path in folder.glob("disk/ballast"):
        path.unlink()
    if (code := ended(forked(words, log))) != 0:
        lost.append((f"exit code {code} with enough: {' / '.join(said(log)[-LINES:])}", how))
    lost += [(f"{path} was done again", how) for path, content in kept.items() if path.read_bytes() != content]
    return lost + [(what, how) for what in differences(folder / "calm", hurt)]


def _closed(folder: Path) -> list[Failure]:
    """Nobody may write to the folder: what is done there is shown, what is not is refused."""
    folder.chmod(0o755)
    for path in (folder / "calm").rglob("*"):
        path.chmod(0o555 if path.is_dir() else 0o444)
    (folder / "calm").chmod(0o555)
    before, log, lost = complete(folder / "calm"), folder / "closed.log", list[Failure]()
    for more, expected in (((), 0), (("epochs=2",), 2)):
        code = ended(forked((*SWEEP, *more, "output_dir=calm"), log, drop_rights))
        if code != expected:
            lost.append((f"exit code {code}: {' / '.join(said(log)[-LINES:])}", f"read-only, {' '.join(more)}"))
    if complete(folder / "calm") != before:
        lost.append(("results changed", "read-only"))
    return lost


def _limited(what: int, amount: int) -> tuple[str, Callable[[], None]]:
    name = next(name for name in dir(resource) if name.startswith("RLIMIT") and getattr(resource, name) == what)
    return f"{name} {amount}", lambda: resource.setrlimit(what, (amount, resource.getrlimit(what)[1]))


def _less_memory(more: int) -> tuple[str, Callable[[], None]]:
    """So many bytes more than there are already."""

    def limit() -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + more, resource.RLIM_INFINITY))

    return f"{more} bytes of memory", limit


def _filled(disk: Path, left: int) -> tuple[str, Callable[[], None]]:
    def fill() -> None:
        free = os.statvfs(disk)
        with (disk / "ballast").open("wb") as file, contextlib.suppress(OSError):
            file.write(bytes(max(0, free.f_bavail * free.f_frsize - left)))

    return f"{left} bytes of disk", fill


@contextlib.contextmanager
def _small_disk(folder: Path) -> Iterator[bool]:
    """A file system of 8 MB in memory, where this user may mount one."""
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=8m", "amulet-torture", str(folder)]
    mount = shutil.which("mount")
    mounted = mount is not None and not subprocess.run([mount, *options], check=False, capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
