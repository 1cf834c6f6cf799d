"""The server behind the page: on the loopback address, for those who have its address, and for reading alone."""

import base64
import hashlib
import re
import secrets
import threading
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files as resources
from typing import Any, BinaryIO, cast
from urllib.parse import parse_qsl, quote, urlsplit

from amulet_cli.base.console import err
from amulet_cli.base.errors import UsageError
from amulet_cli.views.viewer.answers import Answer, Answers
from amulet_cli.views.viewer.live import Live

HOST = "127.0.0.1"
_NAMES = (HOST, "localhost")
_NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Server(ThreadingHTTPServer):
    """Serves the page about some folders, and what it asks for.

    Args:
        live: the folders, followed.
        port: where to listen; 0: any that is free.

    Raises:
        UsageError: the port cannot be had.
    """

    daemon_threads = True

    def __init__(self, live: Live, port: int = 0) -> None:
        self.live, self.answers = live, Answers(live)
        self.secret = secrets.token_urlsafe(12)
        try:
            super().__init__((HOST, port), _Handler)
        except (OSError, OverflowError) as error:
            why = getattr(error, "strerror", "") or "there is no such port"
            raise UsageError(f"`--port` {port} cannot be had: {why}", expected="another port, or none") from error

    @property
    def address(self) -> str:
        """The page's address; the secret in it keeps the other users of this machine out."""
        return f"http://{HOST}:{self.server_port}/{self.secret}/"

    def start(self) -> None:
        """Follow and serve, in threads of their own."""
        self.live.start()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """End both."""
        self.live.stop()
        self.shutdown()
        self.server_close()

    def answer(self, path: str, hosts: list[str]) -> Answer:
        """What there is at a path.

        Raises:
            PermissionError: the question calls this machine by another name, or has not the secret.
        """
        if len(hosts) != 1 or hosts[0] not in [f"{name}:{self.server_port}" for name in _NAMES]:
            raise PermissionError(f"Another name of this machine, or another port, than {HOST}:{self.server_port}")
        parts = urlsplit(path)
        _, secret, name, *deeper = (*parts.path.split("/"), "", "")
        if not secrets.compare_digest(secret.encode(), self.secret.encode()):
            raise PermissionError("This is not the address that `amulet view` printed")
        if any(deeper[:-2]):
            raise LookupError(name)
        if not name:
            return Answer("text/html; charset=utf-8", page()[0])
        return self.answers.to(name, dict(parse_qsl(parts.query)))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that leaves in the middle of an answer is no error."""


@cache
def page() -> tuple[bytes, str]:
    """The page; and what it may load, which is its own style and script, and data and pictures from here."""
    text = (resources("amulet_cli.views.viewer") / "page.html").read_text(encoding="utf-8")
    own = {kind: re.findall(rf"<{kind}>(.*?)</{kind}>", text, flags=re.DOTALL) for kind in ("style", "script")}
    rules = [f"{kind}-src {' '.join(map(_digest, parts))}" for kind, parts in own.items()]
    return text.encode(), "; ".join((_NOTHING, *rules, "connect-src 'self'", "img-src 'self' data:"))


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


class _Handler(BaseHTTPRequestHandler):
    server_version, sys_version = "amulet", ""
    timeout = 60

    def do_GET(self) -> None:
        server = cast(Server, self.server)
        try:
            answer, status = server.answer(self.path, self.headers.get_all("Host", [])), HTTPStatus.OK
        except PermissionError as error:
            answer, status = _told(str(error)), HTTPStatus.FORBIDDEN
        except (LookupError, FileNotFoundError) as error:
            answer, status = _told(" ".join(["There is nothing here:", *map(str, error.args)])), HTTPStatus.NOT_FOUND
        except (ValueError, OSError, UsageError) as error:
            answer, status = _told(str(error)), HTTPStatus.BAD_REQUEST
        except Exception as error:  # noqa: BLE001 - what a plug-in draws can fail in any way, and the page goes on
            err.print(f"{self.path.rpartition('/')[2]}: {type(error).__name__}: {error}", markup=False)
            answer, status = _told(f"{type(error).__name__}: {error}"), HTTPStatus.INTERNAL_SERVER_ERROR
        self._send(answer, status)

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - so it is called
        """Keep quiet: a page asks every second."""

    def _send(self, answer: Answer, status: HTTPStatus) -> None:
        is_page = answer.kind.startswith("text/html")
        self.send_response(status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(answer.length))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        drawn = "; style-src 'unsafe-inline'; sandbox"  # a figure styles itself, and runs nothing
        self.send_header("Content-Security-Policy", page()[1] if is_page else _NOTHING + drawn)
        if answer.save_as:
            self.send_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(answer.save_as)}")
        self.end_headers()
        if isinstance(answer.content, bytes):
            if self.command != "HEAD":
                self.wfile.write(answer.content)
            return
        with answer.content as file:
            if self.command != "HEAD":
                self._copy(file, answer.length)

    def _copy(self, file: BinaryIO, length: int) -> None:
        """As many bytes as were announced, though a log may have grown since."""
        while length and (piece := file.read(min(length, 1 << 16))):
            self.wfile.write(piece)
            length -= len(piece)


def _told(text: str) -> Answer:
    return Answer("text/plain; charset=utf-8", text.encode())
