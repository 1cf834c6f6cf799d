"""Results that are followed while sweeps write them: only what has changed is read again."""

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar

from amulet_cli.results.reading import find_folders, result_in
from amulet_cli.results.result import Result

_READ = ("status.json", "metrics.json", "config.yaml", "metrics.csv")
"""The files of a run that a reader looks into; what comes or goes beside them changes the folder itself."""

Signature = tuple[tuple[int, int, int], ...]
Read = TypeVar("Read")


class Look(NamedTuple):
    """A run that is to be read."""

    folder: Path
    changed: float
    """When its folder was last written to, in seconds since 1970."""
    closed: str = ""
    """Why its folder cannot be looked into; empty where it can."""

    def result(self) -> Result:
        """The run as it is now."""
        return (
            Result(folder=self.folder, state="unreadable", reason=self.closed)
            if self.closed
            else result_in(self.folder)
        )


class Following(Generic[Read]):
    """All runs at or below some paths, looked at again and again.

    Args:
        paths: folders of runs or of sweeps; they must exist when it first looks.
        read: reads runs, and gives for each as soon as it can what a reader wants of it.
        known: the signatures of folders that have been read before.
    """

    def __init__(
        self,
        paths: Iterable[str | Path],
        read: Callable[[Sequence[Look]], Iterable[tuple[Look, Read]]],
        known: Mapping[Path, Signature] = MappingProxyType({}),
    ) -> None:
        self.paths = [Path(path) for path in paths]
        self._reading = read
        self._known = dict(known)
        self.total = self.read = 0
        """Folders that were found by the last look, and how many of them have been read so far."""

    @property
    def signatures(self) -> dict[Path, Signature]:
        """By folder, what distinguishes the state in which it was read from others."""
        return dict(self._known)

    def changes(self) -> Generator[tuple[Path, Read | None]]:
        """Look once: every run that is new or has changed since, newest first; then None for each folder that is gone.

        Raises:
            UsageError: a path does not exist any more.
        """
        found, closed = find_folders(self.paths)
        reasons = dict.fromkeys(found, "") | {run.folder: run.reason for run in closed}
        new: list[Look] = []
        signatures: dict[Path, Signature] = {}
        for folder, reason in reasons.items():
            signature = _signature(folder)  # before it is read: what is written meanwhile is seen by the next look
            if self._known.get(folder) != signature:
                new.append(Look(folder, max(mtime for mtime, _, _ in signature) / 1e9, reason))
                signatures[folder] = signature
        new.sort(key=lambda look: -look.changed)
        self.total, self.read = len(reasons), len(reasons) - len(new)
        for look, made in self._reading(new):
            self._known[look.folder] = signatures[look.folder]
            self.read += 1
            yield look.folder, made
        for folder in self._known.keys() - reasons.keys():
            del self._known[folder]
            yield folder, None


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
