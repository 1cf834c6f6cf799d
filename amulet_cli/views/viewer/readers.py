"""Many runs are read at once, in processes that give rows of the page and nothing else."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from queue import SimpleQueue

from amulet.core.cores import available_cores
from amulet_cli.results.following import Look
from amulet_cli.views.viewer.rows import Row, Rows

_FEW = 200  # runs that are read sooner than a process starts
_PIECE = 20  # runs that a process is given at once
_MOST = 8  # processes


class Readers:
    """Reads runs for a page.

    Args:
        roots: the folders that are followed.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots, self._rows = roots, Rows(roots)

    def rows(self, looks: Sequence[Look]) -> Iterator[Row]:
        """Their rows, in the same order, each as soon as it is there."""
        if len(looks) <= _FEW:
            yield from map(self._rows.of, looks)
            return
        pieces = [looks[start : start + _PIECE] for start in range(0, len(looks), _PIECE)]
        processes = [_Process(self._roots) for _ in range(min(available_cores(), _MOST))]
        idle: SimpleQueue[_Process] = SimpleQueue()
        for process in processes:
            idle.put(process)

        def read(piece: Sequence[Look]) -> list[Row]:
            process = idle.get()
            try:
                return process.rows(piece)
            finally:
                idle.put(process)

        threads = ThreadPoolExecutor(len(processes))
        try:
            for piece, made in zip(pieces, threads.map(read, pieces), strict=True):
                yield from made or map(self._rows.of, piece)
        finally:
            for process in processes:
                process.end()
            threads.shutdown(cancel_futures=True)
            for process in processes:
                process.close()


class _Process:
    """A process that reads as long as it is asked; Ctrl-C is not meant for it, and it ends with this one."""

    def __init__(self, roots: Sequence[Path]) -> None:
        path = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *map(str, roots)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": path},
            text=True,
            encoding="ascii",
            start_new_session=True,
        )

    def rows(self, looks: Sequence[Look]) -> list[Row]:
        """The rows of some runs; none if the process is no more."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([[str(folder), *more] for folder, *more in looks]) + "\n")
            self._process.stdin.flush()
            return [Row(*fields) for fields in json.loads(self._process.stdout.readline())]
        except (OSError, ValueError):
            return []

    def end(self) -> None:
        """Let it read no more; whoever waits for rows gets none."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close its pipes, once nobody waits."""
        for pipe in filter(None, (self._process.stdin, self._process.stdout)):
            with suppress(OSError):  # what it has not read is lost
                pipe.close()


def serve(roots: Sequence[Path]) -> None:
    """Answer each line of standard input, the runs to read, by a line with their rows."""
    rows = Rows(roots)
    for line in sys.stdin:
        looks = [Look(Path(folder), *more) for folder, *more in json.loads(line)]
        sys.stdout.write(json.dumps([astuple(rows.of(look)) for look in looks]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve([Path(word) for word in sys.argv[1:]])
