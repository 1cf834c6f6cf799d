"""Many runs are read at once, in processes that give rows of the page and nothing else."""

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from amulet.core.cores import available_cores
from amulet_cli.results.following import Look
from amulet_cli.views.viewer.rows import Row, Rows

_FEW = 200  # runs that are read sooner than a process starts
_PIECE = 20  # runs that are read between two looks at what the others have read
_MOST = 8  # processes

_Piece = Sequence[tuple[Look, Row]]


class Readers:
    """Reads runs for a page.

    Args:
        roots: the folders that are followed.
    """

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots, self._rows = roots, Rows(roots)

    def rows(self, looks: Sequence[Look]) -> Iterator[tuple[Look, Row]]:
        """Their rows, as soon as they are there, about in the same order: as many processes read as there are cores."""
        pieces = deque(looks[start : start + _PIECE] for start in range(0, len(looks), _PIECE))
        left, done = len(pieces), SimpleQueue[_Piece | None]()
        helpers = min(available_cores() - 1, _MOST) if len(looks) > _FEW else 0
        processes = [HelperProcess(self._roots) for _ in range(helpers)]
        threads = [Thread(target=_hand_out, args=(pieces, process, done), daemon=True) for process in processes]
        for thread in threads:
            thread.start()
        try:
            while left:
                with suppress(IndexError):  # all are taken
                    yield from ((look, self._rows.of(look)) for look in pieces.popleft())
                    left -= 1
                while left and (not pieces or not done.empty()):
                    piece = done.get()
                    if piece is None:  # there is one again
                        break
                    yield from piece
                    left -= 1
        finally:
            pieces.clear()
            for process in processes:
                process.end()
            for thread, process in zip(threads, processes, strict=True):
                thread.join()
                process.close()


def _hand_out(pieces: "deque[Sequence[Look]]", process: "HelperProcess", done: "SimpleQueue[_Piece | None]") -> None:
    """Let a process read piece after piece; what one did not read that has ended is given back, with a None."""
    running = process.has_started()
    while running:
        try:
            piece = pieces.popleft()
        except IndexError:
            return
        rows = process.rows(piece)
        running = bool(rows)
        if running:
            done.put(list(zip(piece, rows, strict=True)))
        else:
            pieces.append(piece)
            done.put(None)


class HelperProcess:
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

    def has_started(self) -> bool:
        """Wait until it can read; False if it has ended."""
        assert self._process.stdout is not None
        return bool(self._process.stdout.readline())

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
    """Write a line; then answer each line of standard input, the runs to read, by a line with their rows."""
    rows = Rows(roots)
    sys.stdout.write("\n")
    sys.stdout.flush()
    for line in sys.stdin:
        looks = [Look(Path(folder), *more) for folder, *more in json.loads(line)]
        sys.stdout.write(json.dumps([astuple(rows.of(look)) for look in looks]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve([Path(word) for word in sys.argv[1:]])
