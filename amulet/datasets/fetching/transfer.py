"""One file from one address over HTTP: resumed where it stopped, retried if that may help."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from amulet.core.reporting import current_reporter
from amulet.core.version import __version__
from amulet.datasets.fetching.http_errors import DownloadError, asked_to_wait, content_range, explained, validator_of
from amulet.datasets.fetching.partial_file import Gauge, Part
from amulet.datasets.fetching.webpage import Webpage, is_webpage

if TYPE_CHECKING:
    from requests import Response, Session

_CHUNK = 1 << 16
_PAGE = 1 << 20  # bytes of a web page that are looked at
_PASSING = {408, 425, 429, 500, 502, 503, 504}  # status codes that may be temporary
_GAIN = 1 << 20  # bytes after which a lost connection counts as the first again
_jitter = random.Random()  # so that many machines do not retry at the same moment


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long to wait for a server, in seconds, and how often to try."""

    tries: int = 5
    """Consecutive attempts without progress."""
    tries_to_connect: int = 2
    connect: float = 10.0
    silence: float = 30.0
    first_wait: float = 1.0
    """Between two attempts; doubled each time, and shortened by up to a half at random."""
    longest_wait: float = 60.0
    """If a server asks for more (Retry-After), the address is given up."""


def transfer(
    address: str,
    part: Part,
    *,
    show: Gauge,
    size: int | None = None,
    most: int | None = None,
    checked: bool = False,
    make_room: Callable[[int], None] = lambda coming: None,
    patience: RetryPolicy | None = None,
) -> None:
    """Download the missing bytes of a file; on return `part` has as many bytes as the server announced.

    Args:
        address: http or https; a Google Drive page that asks for confirmation is confirmed.
        part: continues after its bytes if the server confirms that they are still right, or if `checked` says that
            a checksum will show it; otherwise it starts again.
        show: counts the bytes, including those from before.
        size: of the complete file, if known; a server that announces another size is rejected.
        most: bytes of the file at most; no more are written, whatever the server announces or sends.
        checked: a checksum of the complete file will be compared.
        make_room: called with the number of bytes to come; may raise if they do not fit.
        patience: how long to wait and how often to try.

    Raises:
        DownloadError: this address does not give the file; the bytes so far are kept.
        OSError: the bytes cannot be written.
    """
    import requests

    patience = patience or RetryPolicy()
    attempt = _Attempt(address, part, show, size, size if most is None else most, checked, make_room, patience)
    failures, most_so_far = 0, part.size
    with requests.Session() as session:
        session.headers["User-Agent"] = f"amulet/{__version__}"
        session.headers["Accept-Encoding"] = "identity"
        while True:
            try:
                return attempt.run(session)
            except DownloadError as trouble:
                failures = 1 if part.size - most_so_far >= _GAIN else failures + 1
                most_so_far = max(most_so_far, part.size)
                most = patience.tries if trouble.connected else min(patience.tries, patience.tries_to_connect)
                if not trouble.again or failures >= most:
                    raise
                wait = _wait(trouble, failures, patience)
                current_reporter().note(f"{part.path.name}: {trouble}; trying again in {wait:.0f} s")
                time.sleep(wait)


def _wait(trouble: DownloadError, failures: int, patience: RetryPolicy) -> float:
    if trouble.wait is not None:
        if trouble.wait > patience.longest_wait:
            raise DownloadError(f"{trouble} and asks to come back in {trouble.wait:.0f} s")
        return trouble.wait
    return min(patience.longest_wait, patience.first_wait * 2 ** (failures - 1)) * _jitter.uniform(0.5, 1)


@dataclass
class _Attempt:
    address: str
    part: Part
    show: Gauge
    size: int | None
    most: int | None
    checked: bool
    make_room: Callable[[int], None]
    patience: RetryPolicy

    def run(self, session: "Session") -> None:
        validator = self.part.validator(self.address)
        if self.part.size and not (validator or self.checked):
            self.part.drop()
        if self.most is not None and self.part.size > self.most:
            self.part.drop()
        offset = self.part.size
        if offset and offset == (self.size or self.part.total()):
            self.show(offset, offset)
            return
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset and validator:
            headers["If-Range"] = validator
        with explained(self.patience.connect, self.patience.silence):
            address = self.address
            ask_for_rest = not self.part.came_by_form(address)  # part of a page with a form would be useless
            for _ in range(3):  # the file; or a page with a form and then the file; or one page more
                wanted, begin = (headers, offset) if ask_for_rest else ({}, 0)
                onward = self._receive(session, address, wanted, begin)
                if onward is None:
                    return
                address, ask_for_rest = onward, True
        raise DownloadError("sent one page of confirmation after the other instead of the file")

    def _receive(self, session: "Session", address: str, headers: dict[str, str], offset: int) -> str | None:
        """Write the response; returns the next address if it was a page with a form."""
        waits = (self.patience.connect, self.patience.silence)
        with session.get(address, headers=headers, stream=True, timeout=waits) as response:
            begin = self._judged(response, offset)
            chunks: Iterator[bytes] = response.raw.stream(_CHUNK, decode_content=False)
            first = next(chunks, b"")
            if begin == 0 and is_webpage(first):
                return _onward(response, first, chunks)
            total = self._announced(response, begin)
            if total is not None:
                self.make_room(total - begin)
            self.part.remember(self.address, validator_of(response), total, by_form=address != self.address)
            with self.part.path.open("ab" if begin else "wb") as file:
                for chunk in chain([first], chunks):
                    begin += len(chunk)
                    self._allowed(begin)
                    file.write(chunk)
                    self.show(begin, total)
            if total is not None and self.part.size < total:
                raise DownloadError(f"the connection was cut after {self.part.size:,} of {total:,} bytes", again=True)
        return None

    def _judged(self, response: "Response", offset: int) -> int:
        """The offset at which the response's bytes begin; raises `DownloadError`."""
        status = response.status_code
        if status == 200:
            return 0
        if status == 206 and offset:
            begin, total = content_range(response)
            if begin == offset and total in (None, self.part.total() or total):
                return offset
        if status in (206, 416):
            self.part.drop()
            raise DownloadError("could not go on where the file was left", again=True)
        said = f"answered {status} {response.reason or ''}".rstrip()
        raise DownloadError(said, again=status in _PASSING, wait=asked_to_wait(response))

    def _announced(self, response: "Response", begin: int) -> int | None:
        total = content_range(response)[1] if begin else None
        if total is None and (length := response.headers.get("Content-Length", "")).isdigit():
            total = begin + int(length)
        if self.size is not None and total is not None and total != self.size:
            raise DownloadError(f"offers a file of {total:,} bytes, where the official one has {self.size:,}")
        self._allowed(total or 0)
        return total

    def _allowed(self, size: int) -> None:
        """Refuse a file that is larger than it can be; what was written of it is of no use."""
        if self.most is not None and size > self.most:
            self.part.drop()
            raise DownloadError(f"sends more than the {self.most:,} bytes that the file can have")


def _onward(response: "Response", first: bytes, rest: Iterator[bytes]) -> str:
    text = bytearray(first)
    while len(text) < _PAGE and (chunk := next(rest, b"")):
        text += chunk
    page = Webpage(response.url, text.decode(errors="replace"))
    if page.onward is None:
        titled = f' titled "{page.title[:80]}"' if page.title else ""
        raise DownloadError(f"sent a web page{titled} instead of the file (a quota, a login, or it has moved)")
    return page.onward
