"""A viewer as tests use it: started, asked, ended."""

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from amulet_cli.views.viewer.live import Live
from amulet_cli.views.viewer.server import HOST, Server


class Asked:
    """An answer of the server."""

    def __init__(self, answer: http.client.HTTPResponse) -> None:
        self.status, self.headers, self.content = answer.status, answer.headers, answer.read()

    @property
    def text(self) -> str:
        return self.content.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.content)


def ask(server: Server, path: str, *, host: str | None = None, method: str = "GET") -> Asked:
    """Ask for a path below the page's address; one that begins with a slash as it stands."""
    connection = http.client.HTTPConnection(HOST, server.server_port, timeout=20)
    try:
        connection.putrequest(method, path if path[:1] == "/" else f"/{server.secret}/{path}", skip_host=True)
        connection.putheader("Host", host or f"{HOST}:{server.server_port}")
        connection.endheaders()
        return Asked(connection.getresponse())
    finally:
        connection.close()


def feed_when(server: Server, runs: int, since: int = 0) -> Any:
    """The feed as soon as it has so many runs that changed."""
    end, found = time.monotonic() + 20, None
    while time.monotonic() < end:
        found = ask(server, f"feed?since={since}").json
        if not found["reading"] and len(found["runs"]) >= runs:
            return found
        time.sleep(0.02)
    raise AssertionError(f"no {runs} runs in {found}")


def file_of(run: str, name: str) -> str:
    """The path of a run's file."""
    return f"file?of={run}&name={quote(name, safe='')}"


@contextmanager
def viewing(*folders: Path) -> Iterator[Server]:
    """A viewer of some folders."""
    server = Server(Live(folders))
    server.start()
    try:
        yield server
    finally:
        server.stop()
