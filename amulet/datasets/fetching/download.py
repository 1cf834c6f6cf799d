"""Downloads a data set's files into a folder: mirrors in turn, checksums, one process at a time, complete files."""

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote, urlsplit

from filelock import FileLock, Timeout

from amulet.core.errors import DataError
from amulet.core.reporting import current_reporter
from amulet.datasets.fetching.archives import unpack
from amulet.datasets.fetching.http_errors import DownloadError
from amulet.datasets.fetching.integrity import matches
from amulet.datasets.fetching.partial_file import Gauge, Part
from amulet.datasets.fetching.transfer import RetryPolicy, transfer
from amulet.datasets.fetching.webpage import is_webpage
from amulet.datasets.folder import by_hand, missing, seek
from amulet.datasets.info import DatasetInfo, Download

MIRROR = "AMULET_MIRROR"
_WORK = ".fetch"  # in the data set's folder: the lock, and partial files
_UNKNOWN = 10**10  # bytes at most of a file whose size nobody has stated
_SLACK = 1 << 16
_RESERVE = 50_000_000  # bytes of a disk that are left free
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def fetch(info: DatasetInfo, folder: Path, *, patience: RetryPolicy | None = None) -> None:
    """Download the missing files of a data set into `folder`; existing files are not changed.

    Every file is verified before it gets its name. An interrupted download resumes where it stopped. A second
    process waits, and then finds the files. `AMULET_MIRROR`, the address of a server that offers
    `<data set>/<path>`, is asked first. An archive that is already in its place is unpacked, not downloaded.

    Raises:
        DataError: a file cannot be downloaded; the message names it, every address with the reason, and the folder
            to put it into. What was downloaded so far is kept.
    """
    lost = missing(info, folder)
    if not lost:
        return
    orphans = set(lost).difference(*(brings(info, download) for download in info.downloads))
    if orphans:
        raise DataError(by_hand(info, folder, [name for name in lost if name in orphans]))
    try:
        (folder / _WORK).mkdir(parents=True, exist_ok=True)
        with _alone(info, folder):
            for download in info.downloads:
                if brings(info, download).intersection(missing(info, folder)):
                    _Fetching(info, folder, download, patience).run()
    except OSError as error:
        raise DataError(_unwritable(info, folder, error)) from error


def brings(info: DatasetInfo, download: Download) -> set[str]:
    """The names in `info.files` that a download provides."""
    if not download.archive:
        return {download.path}
    others = {other.path for other in info.downloads if not other.archive}
    others.update(name for other in info.downloads if other is not download for name in other.provides)
    return set(download.provides) or set(info.files) - others


@contextmanager
def _alone(info: DatasetInfo, folder: Path) -> Iterator[None]:
    lock = FileLock(folder / _WORK / "lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        current_reporter().note(f"another process is fetching {info.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


class _Fetching:
    """One file, from the first address that gives the right bytes."""

    def __init__(self, info: DatasetInfo, folder: Path, download: Download, patience: RetryPolicy | None) -> None:
        self.info, self.folder, self.download, self.patience = info, folder, download, patience
        self.target = folder / download.path
        self.part = Part(folder / _WORK / download.path)

    def run(self) -> None:
        """Download, verify, unpack, move into place."""
        for path in (self.target, self.part.path):
            path.parent.mkdir(parents=True, exist_ok=True)
        given = seek(self.folder, self.download.path) if self.download.archive else None
        if given is not None:
            if (wrong := self._wrong(given)) is not None:
                raise DataError(f"{given}: {wrong}; delete it and fetch it again")
            unpack(given, self.target.parent)
            return
        self._receive()
        if self.download.archive:
            self._unpack()
        else:
            with self.part.path.open("rb") as file:
                os.fsync(file.fileno())
            self.part.path.replace(self.target)
        self.part.drop()

    def _unpack(self) -> None:
        try:
            unpack(self.part.path, self.target.parent)
        except DataError:
            if not self.download.checksum:  # otherwise it is the official one, and would be the same again
                self.part.drop()
            raise

    def _receive(self) -> None:
        refused: list[str] = []
        offline = True
        with current_reporter().stage(f"fetch {self.target.name}", self.download.size, "B") as stage:
            show = Gauge(stage)
            for address in self._addresses():
                try:
                    return self._from(address, show)
                except DownloadError as trouble:
                    refused.append(f"{_without_password(address)}: {trouble}")
                    offline = offline and not trouble.connected
        if offline:
            refused.append("is this machine offline?")
        raise DataError(self._given_up(refused))

    def _addresses(self) -> Sequence[str]:
        mirror = os.environ.get(MIRROR)
        if not mirror:
            return self.download.urls
        if urlsplit(mirror).scheme not in ("http", "https"):
            raise DataError(f"`{MIRROR}` must be an http or https address, got {mirror}")
        return (f"{mirror.rstrip('/')}/{self.info.name}/{quote(self.download.path)}", *self.download.urls)

    def _from(self, address: str, show: Gauge) -> None:
        """Complete the partial file from one address and verify it; a resumed file that is wrong is loaded again."""
        official = address in self.download.urls  # a mirror may have compressed the same content again
        checked = bool(self.download.checksum or self._content())
        while True:
            begun = self.part.size > 0
            transfer(
                address,
                self.part,
                show=show,
                size=self.download.size if official else None,
                most=self._most(official=official),
                checked=checked,
                make_room=self._make_room,
                patience=self.patience,
            )
            if (wrong := self._wrong(self.part.path)) is None:
                return
            self.part.drop()
            show(0)
            if not begun:
                raise DownloadError(wrong)
            current_reporter().note(f"{self.target.name}: what was resumed is {wrong}; from the start again")

    def _most(self, *, official: bool) -> int:
        """The bytes that the file can have; where its content is checked, a mirror may have packed it less tightly."""
        size = self.download.size
        if size is None:
            return _UNKNOWN
        return size + size // 4 + _SLACK if self._content() and not official else size

    def _content(self) -> str:
        """The checksum of the file's content, if known."""
        return self.info.files.get(self.download.path, "")

    def _wrong(self, path: Path) -> str | None:
        """What is wrong with a complete file; None if nothing is."""
        size = path.stat().st_size
        with path.open("rb") as file:
            if is_webpage(file.read(1024)):
                return "a web page instead of the file"
        if content := self._content():
            try:
                right = matches(path, content, unpacked=self.download.path.endswith(".gz"))
            except OSError:
                right = False
        elif self.download.checksum:
            right = matches(path, self.download.checksum)
        else:
            right = self.download.size in (None, size)
        return None if right else f"not the official file ({size:,} bytes, another checksum)"

    def _make_room(self, coming: int) -> None:
        free = shutil.disk_usage(self.folder).free
        needed = coming * (2 if self.download.archive else 1) + _RESERVE
        if free < needed:
            raise DataError(
                f"{self.target.name}: no space left for it in {self.folder}: {needed / 1e6:,.0f} MB are needed, "
                f"{free / 1e6:,.0f} MB are free; make room, or let AMULET_DATA name a folder on another disk"
            )

    def _given_up(self, refused: list[str]) -> str:
        kept = f"; the first {self.part.size:,} bytes are kept, and the next try goes on from there"
        return (
            f"{self.target.name} of {self.info.name} cannot be downloaded ({'; '.join(refused)})"
            f"{kept if self.part.size else ''}. {by_hand(self.info, self.folder, [self.target.name])}"
        )


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    return address.replace(f"{parts.netloc.rpartition('@')[0]}@", "***@", 1) if "@" in parts.netloc else address


def _unwritable(info: DatasetInfo, folder: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return (
            f"{info.name}: no space left in {folder} ({error.strerror}); what was fetched is kept, and the "
            "next try goes on from there: make room, or let AMULET_DATA name a folder on another disk"
        )
    return f"{info.name}: {folder} cannot be written to ({error.strerror or error}); let AMULET_DATA name another one"
