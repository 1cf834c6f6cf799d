"""A server that misbehaves: a download ends with the right file or in one clear error, never with a wrong file."""

import random
from pathlib import Path

from amulet.core import DataError
from amulet.datasets.fetching.download import fetch
from amulet.datasets.fetching.transfer import RetryPolicy
from tests.helpers.download_toys import CONTENT, SIZE, toy
from tests.helpers.misbehaving import Mood, Server, serving
from tests.helpers.torture.common import Failure, Tried, empty_folder

_PATH = "raw/toy.bin"
_HASTY = RetryPolicy(tries=3, connect=5.0, silence=0.3, first_wait=0.0)


def bad_servers(count: int, seed: int) -> Tried:
    """Each download from a server whose answers are drawn: errors, pages, cuts, silence, other bytes, no end."""
    draw, lost, whole = random.Random(seed), list[Failure](), 0
    with serving() as server:
        server.files[f"/{_PATH}"] = CONTENT
        for number in range(count):
            moods = [_mood(draw) for _ in range(draw.randrange(1, 5))]
            with empty_folder() as folder:
                failure, right = _one(server, moods, folder)
            whole += right
            lost += [(what, f"--servers {count} --seed {seed}, number {number}: {moods}") for what in failure]
    return Tried(count, lost, f"{whole} ended with the file, the others in an error")


def _one(server: Server, moods: list[Mood], folder: Path) -> tuple[list[str], bool]:
    server.moods, target = moods, folder / _PATH
    server.asked.clear()
    failures: list[str] = []
    try:
        fetch(toy(f"{server.address}/{_PATH}"), folder, patience=_HASTY)
    except DataError:
        right = False
        if target.exists():
            failures.append("an error, and yet a file")
    except Exception as error:  # noqa: BLE001 - this is what is looked for
        return [f"{type(error).__name__}: {error}"], False
    else:
        right = target.read_bytes() == CONTENT
        if not right:
            failures.append("another file than the right one")
    if (size := sum(path.stat().st_size for path in folder.rglob("*"))) > 4 * SIZE:
        failures.append(f"{size} bytes were written for {SIZE}")
    return failures, right


def _mood(draw: random.Random) -> Mood:
    place = draw.randrange(SIZE)
    return draw.choice(
        [
            Mood(),
            Mood(status=draw.choice([301, 400, 403, 404, 416, 429, 500, 503])),
            Mood(status=302, headers={"Location": "/elsewhere"}),
            Mood(page="<html><title>Please log in</title></html>"),
            Mood(content=CONTENT[:place]),
            Mood(content=CONTENT + bytes(draw.randrange(1, 1000))),
            Mood(content=CONTENT[:place] + bytes([CONTENT[place] ^ 1]) + CONTENT[place + 1 :]),
            Mood(content=b""),
            Mood(cut_after=place),
            Mood(cut_after=place, ranges=False),
            Mood(cut_after=place, etag=f'"{place}"'),
            Mood(stall_after=place),
            Mood(announced=0),
            Mood(announced=draw.choice([1, place + 1, SIZE + place, 10**15])),
            Mood(headers={"Content-Encoding": "gzip"}),
        ]
    )
