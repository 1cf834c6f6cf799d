"""Untrusted tar and zip files: unpacked so that nothing is written outside the folder and the disk is not filled."""

import lzma
import shutil
import stat
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, cast

from amulet.core.errors import DataError
from amulet.core.reporting import current_reporter

_MOST_FILES = 1_000_000
_RATIO = 20  # official archives of images grow by a tenth when unpacked; texts by a factor of five
_ALWAYS = 100_000_000  # bytes that even a tiny archive may hold
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    UnicodeDecodeError,
    NotImplementedError,  # a compression method that Python does not support
    FileExistsError,  # the same path twice
    NotADirectoryError,  # a path below a file
)


@dataclass(frozen=True)
class _Member:
    name: str
    size: int
    is_folder: bool
    is_file: bool
    source: zipfile.ZipInfo | tarfile.TarInfo


def unpack(archive: Path, folder: Path, *, most_bytes: int | None = None) -> None:
    """Unpack into a temporary folder in `folder`, then move the content to its destination.

    Only folders and regular files are taken, copied one by one, so that no link, owner or permission of an archive
    takes effect (stricter than the `data` filter of `tarfile`). If anything is wrong, `folder` stays as it was.

    Args:
        archive: a tar file, compressed or not, or a zip file.
        folder: where its content goes; no other process may be unpacking into it.
        most_bytes: of all files together; 20 times the archive's size and 100 MB if not given.

    Raises:
        DataError: it is damaged; a path in it is outside the folder; it has a link, a device or an encrypted
            file; or more than `most_bytes`.
        OSError: the disk is full, or the folder cannot be written to.
    """
    budget = _RATIO * archive.stat().st_size + _ALWAYS if most_bytes is None else most_bytes
    for old in folder.glob(".unpacking-*"):  # left by a process that was killed
        shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        try:
            with _opened(archive) as opened:
                _copy(archive, opened, work, budget)
        except _DAMAGED as error:
            raise DataError(f"{archive}: damaged, or no tar or zip file ({error}); delete it and fetch it again") from (
                error
            )
        _move(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _copy(archive: Path, opened: tarfile.TarFile | zipfile.ZipFile, work: Path, budget: int) -> None:
    total = len(opened.infolist()) if isinstance(opened, zipfile.ZipFile) else None
    with current_reporter().stage(f"unpack {archive.name}", total, "file") as stage:
        for count, member in enumerate(_members(opened), 1):
            target = work / _safe(archive, member)
            budget -= member.size
            if budget < 0 or count > _MOST_FILES:
                raise DataError(f"{archive}: holds far more than a data set of its size would; not unpacked")
            if member.is_folder:
                target.mkdir(parents=True, exist_ok=True)
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                with _stream(opened, member) as source, target.open("xb") as file:
                    shutil.copyfileobj(source, file, 1 << 20)
            stage.advance()


def _safe(archive: Path, member: _Member) -> PurePosixPath:
    """The member's path, if it is within the folder and of a harmless kind."""
    path = PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts or any(sign in member.name for sign in "\\:\0"):
        raise DataError(f"{archive}: holds the path {member.name!r}, which leads out of the folder; not unpacked")
    if not (member.is_folder or member.is_file):
        raise DataError(f"{archive}: {member.name!r} is a link, a device or encrypted; not unpacked")
    return path


@contextmanager
def _opened(archive: Path) -> Iterator[tarfile.TarFile | zipfile.ZipFile]:
    with zipfile.ZipFile(archive) if zipfile.is_zipfile(archive) else tarfile.open(archive) as opened:
        yield opened


def _members(opened: tarfile.TarFile | zipfile.ZipFile) -> Iterator[_Member]:
    if isinstance(opened, tarfile.TarFile):
        for info in opened:
            yield _Member(info.name, info.size, info.isdir(), info.isreg(), info)
    else:
        for entry in opened.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            plain = not kind or stat.S_ISREG(kind)
            is_file = plain and not entry.is_dir() and not entry.flag_bits & 1
            yield _Member(entry.filename, entry.file_size, entry.is_dir(), is_file, entry)


def _stream(opened: tarfile.TarFile | zipfile.ZipFile, member: _Member) -> IO[bytes]:
    if isinstance(opened, zipfile.ZipFile):
        return opened.open(cast(zipfile.ZipInfo, member.source))
    stream = opened.extractfile(cast(tarfile.TarInfo, member.source))
    if stream is None:
        raise tarfile.TarError(f"{member.name} has no content")
    return stream


def _move(source: Path, target: Path) -> None:
    """Move the content of `source` into `target`: a folder that is new there in one step, others file by file."""
    for path in list(source.iterdir()):
        place = target / path.name
        if path.is_dir() and place.is_dir():
            _move(path, place)
        else:
            path.replace(place)
