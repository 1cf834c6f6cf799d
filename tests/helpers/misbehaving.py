"""A web server on the loopback address that does to a download what servers do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Mood:
    """What the server does with one request; without arguments it serves the file properly."""

    status: int = 0
    """An answer with this status and nothing else."""
    headers: dict[str, str] = field(default_factory=dict[str, str])
    page: str = ""
    """A web page in place of the file."""
    content: bytes | None = None
    """Other bytes than the file's."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    stall_after: int | None = None
    """Send so many bytes of the body, then nothing for a while."""
    ranges: bool = True
    """Whether `Range` is honoured."""
    etag: str = '"1"'
    announced: int | None = None
    """Another `Content-Length` than the true one; 0: none, and the content again and again without end."""
    pause_after: int | None = None
    """Send so many bytes of the body, wait for `Server.go`, then send the rest."""


class Server:
    """Serves `files`, by path; request number i meets mood number i, the last mood stays."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.moods: list[Mood] = [Mood()]
        self.asked: list[tuple[str, dict[str, str]]] = []
        """Path and headers of every request."""
        self.over = threading.Event()
        self.go = threading.Event()
        self.address = ""
        self._lock = threading.Lock()

    def next_mood(self, path: str, headers: dict[str, str]) -> Mood:
        """Note the request."""
        with self._lock:
            mood = self.moods[min(len(self.asked), len(self.moods) - 1)]
            self.asked.append((path, headers))
        return mood


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs within the block."""
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            mood = server.next_mood(self.path, {name.lower(): value for name, value in self.headers.items()})
            try:
                _answer(self, server, mood)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, *args: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server.address = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        http.shutdown()
        http.server_close()
        thread.join()


def _answer(request: BaseHTTPRequestHandler, server: Server, mood: Mood) -> None:
    path = request.path.partition("?")[0]
    content = mood.page.encode() if mood.page else mood.content
    if content is None:
        content = server.files.get(path)
    status = mood.status or (404 if content is None else 200)
    content = content if content is not None and status == 200 else b""
    begin = _begin(request, mood, len(content)) if status == 200 else 0
    request.send_response(206 if begin else status)
    for name, value in mood.headers.items():
        request.send_header(name, value)
    if begin:
        request.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
    if not mood.page and mood.etag:
        request.send_header("ETag", mood.etag)
    request.send_header("Content-Type", "text/html" if mood.page else "application/octet-stream")
    if mood.announced != 0:
        request.send_header("Content-Length", str(mood.announced or len(content) - begin))
    request.end_headers()
    while mood.announced == 0 and not server.over.is_set():
        request.wfile.write(content)
    _send(request, server, mood, content[begin:])


def _begin(request: BaseHTTPRequestHandler, mood: Mood, size: int) -> int:
    wanted = request.headers.get("Range", "")
    condition = request.headers.get("If-Range", mood.etag)
    if not (mood.ranges and wanted and condition == mood.etag) or mood.page:
        return 0
    begin = int(wanted.removeprefix("bytes=").rstrip("-"))
    return begin if begin < size else 0


def _send(request: BaseHTTPRequestHandler, server: Server, mood: Mood, body: bytes) -> None:
    stop = min((limit for limit in (mood.cut_after, mood.stall_after) if limit is not None), default=len(body))
    pause = stop if mood.pause_after is None else mood.pause_after
    request.wfile.write(body[:pause])
    request.wfile.flush()
    if mood.pause_after is not None:
        server.go.wait(20)
    request.wfile.write(body[pause:stop])
    request.wfile.flush()
    if mood.stall_after is not None:
        server.over.wait(20)
    if stop < len(body):
        request.close_connection = True
