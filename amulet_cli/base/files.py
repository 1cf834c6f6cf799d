"""Files that are either complete or do not exist, and files that are read only if they are files."""

import io
import os
import stat
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from filelock import FileLock, Timeout

from amulet_cli.base.console import err, here
from amulet_cli.base.errors import UsageError

Forms = Mapping[str, Callable[[], str | bytes]]
"""What a command can write, by the name of the flag that asks for it."""
_LEFT_BEHIND = 3600.0  # seconds after which a temporary file belongs to a process that was killed
_MOST = 1 << 28  # bytes of a text that is read as a whole


class NotAFile(OSError):
    """There is something else than a regular file: a folder, a pipe, a device; or a file too large to be right."""

    def __init__(self, what: str, path: Path) -> None:
        super().__init__(0, what, str(path))


def opened(path: Path) -> io.BufferedReader:
    """A regular file, open for reading; nothing else is waited for or read.

    Raises:
        NotAFile: it is a folder, a pipe, a device.
        OSError: it is not there, or this user may not read it.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise NotAFile("not a regular file", path)
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, most: int = _MOST) -> bytes:
    """The content of a regular file of at most `most` bytes.

    Raises:
        NotAFile: it is larger, or no regular file.
        OSError: it is not there, or this user may not read it.
    """
    with opened(path) as file:
        if os.fstat(file.fileno()).st_size > most:
            raise NotAFile(f"larger than {most:,} bytes", path)
        return file.read()


def located(name: str | Path) -> Path:
    """Where a name leads, through links; the name itself where it leads nowhere: in a circle, to nobody's home."""
    try:
        return Path(name).expanduser().resolve()
    except (RuntimeError, OSError):
        return Path(name).absolute()


def shipped(name: str) -> Path:
    """A file or folder that comes with Amulet: in the package, or in the checkout beside it."""
    package = Path(__file__).resolve().parents[1]
    return package / name if (package / name).exists() else package.parent / name


def is_folder(path: Path) -> bool:
    """Whether this user can see that there is a folder; no error of a name too long, or a closed folder on the way."""
    return os.path.isdir(path)  # noqa: PTH112


def is_file(path: Path) -> bool:
    """Whether this user can see that there is a regular file."""
    return os.path.isfile(path)  # noqa: PTH113


def bytes_below(path: Path) -> int:
    """Bytes of a file, or of all files in a folder and below it; 0 where there is none."""
    if not path.is_dir():
        return path.stat().st_size if path.exists() else 0
    with os.scandir(path) as entries:  # knows folders from files without asking for each of 202,599
        return sum(
            bytes_below(Path(entry.path)) if entry.is_dir() else entry.stat().st_size
            for entry in entries
            if entry.is_dir() or entry.is_file()
        )


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file that a user named: in one step; through links; into a device or a pipe as it stands.

    Raises:
        OSError: it cannot be written.
    """
    path = located(path)
    if not path.exists() or path.is_file():
        return write_whole(path, write)
    # A pipe that nobody reads is an error at once, and nothing to wait for.
    handle = os.open(path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0))
    os.set_blocking(handle, True)
    content = io.BytesIO()  # what is written may have to go back and forth
    write(content)
    with os.fdopen(handle, "wb") as file:
        file.write(content.getvalue())
    return None


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it in one step.

    The file is on the disk before it gets its name: a reader, or a run after a crash, sees the old content or
    the new one and nothing in between.

    Raises:
        NotAFile: in its place is something that Amulet did not write: a link, a folder, a pipe, a device.
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise NotAFile("not a regular file, and not replaced", path)
    temporary = path.with_name(f".{path.name}.{uuid4().hex}.tmp")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)
    _tidy(path)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text with `write_whole`."""
    write_whole(path, lambda file: file.write(text.encode()))


def write_forms(forms: Forms, files: Mapping[str, str]) -> None:
    """Make the forms that are asked for, and write each into its file; `-` is the standard output.

    Raises:
        UsageError: a file cannot be written.
    """
    for form, name in files.items():
        made = forms[form]()
        content = made.encode() if isinstance(made, str) else made
        if name == "-":
            sys.stdout.write(content.decode())
            continue
        try:
            write_atomically(Path(name), lambda file, content=content: file.write(content))
        except OSError as error:
            raise UsageError(f"`--{form}` {name} cannot be written: {error.strerror}") from error
        err.print(f"{form} written to {here(Path(name))}", soft_wrap=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":  # other systems cannot open a folder
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _tidy(path: Path) -> None:
    for old in path.parent.glob(f".{path.name}.*.tmp"):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - old.stat().st_mtime > _LEFT_BEHIND:
                old.unlink()


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Generator[None]:
    """Hold a lock file in this block; `waiting` is called if another process holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        waiting()
        lock.acquire()
    try:
        yield
    finally:
        lock.release()
