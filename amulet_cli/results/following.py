"""Results that are followed while sweeps write them: only what has changed is read again."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from amulet_cli.results.reading import find_folders, result_in
from amulet_cli.results.result import Result

_READ = ("status.json", "metrics.json", "config.yaml", "metrics.csv")
"""The files of a run that a reader looks into; what comes or goes beside them changes the folder itself."""

Signature = tuple[tuple[int, int, int], ...]


class Seen(NamedTuple):
    """A run as it was read, and when its folder was last written to, in seconds since 1970."""

    result: Result
    changed: float


class Following:
    """All runs at or below some paths, looked at again and again.

    Args:
        paths: folders of runs or of sweeps; they must exist when it first looks.
        known: the signatures of folders that have been read before.
    """

    def __init__(self, paths: Iterable[str | Path], known: Mapping[Path, Signature] = MappingProxyType({})) -> None:
        self.paths = [Path(path) for path in paths]
        self._known = dict(known)
        self.total = self.read = 0
        """Folders that were found by the last look, and how many of them have been read so far."""

    @property
    def signatures(self) -> dict[Path, Signature]:
        """By folder, what distinguishes the state in which it was read from others."""
        return dict(self._known)

    def changes(self) -> Iterator[Seen | Path]:
        """Look once: every run that is new or has changed since, as it is read; then the folders that are gone.

        Raises:
            UsageError: a path does not exist any more.
        """
        folders, closed = find_folders(self.paths)
        blocked: Mapping[Path, Result] = {run.folder: run for run in closed}
        self.total, self.read = len(folders) + len(blocked), 0
        for folder in (*folders, *blocked):
            signature = _signature(folder)
            if self._known.get(folder) != signature:
                self._known[folder] = signature  # before it is read: what is written meanwhile is seen by the next look
                result = blocked.get(folder) or result_in(folder)
                yield Seen(result, max((mtime for mtime, _, _ in signature), default=0) / 1e9)
            self.read += 1
        for folder in set(self._known) - {*folders, *blocked}:
            del self._known[folder]
            yield folder


def _signature(folder: Path) -> Signature:
    """What distinguishes the state of a folder from an earlier one without reading it."""
    found: list[tuple[int, int, int]] = []
    for name in ("", *_READ):
        try:
            status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - 10,000 times a look
        except OSError:
            found.append((0, 0, 0))
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
