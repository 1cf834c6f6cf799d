"""A headless Chromium that tests talk to over the pipe of its DevTools protocol: no port, no other package."""

import base64
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
_QUIET = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --hide-scrollbars --remote-debugging-pipe"
)
_PIPED = """
import fcntl, os, sys
ends = [fcntl.fcntl(int(word), fcntl.F_DUPFD, 10) for word in sys.argv[1:3]]
os.dup2(ends[0], 3)  # Chromium reads from 3 and writes to 4
os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""


class Page:
    """One page of the browser."""

    def __init__(self, into: int, out: int) -> None:
        self._into, self._out, self._count, self._session = into, out, 0, ""
        self._received = bytearray()
        self.complaints: list[str] = []
        """What went to the console as a warning or an error, and exceptions that nothing caught."""
        self.requests: list[str] = []
        """The addresses that pages asked for."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._into, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, address: str, width: int = 1280, height: int = 900, *, dark: bool = False) -> None:
        """Go to an address on a screen of this size."""
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        for url in ("about:blank", address):  # else another hash of the same page would not load it again
            self.send("Page.navigate", url=url)
        self.until(f"document.readyState === 'complete' && location.href.startsWith({json.dumps(address)})")

    def ask(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def until(self, script: str, seconds: float = 30.0) -> Any:
        """Wait until an expression is true, and return its value; True for an element."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.ask(f"(found => found instanceof Node || found)({script})"):
                return found
            time.sleep(0.03)
        raise AssertionError(f"not within {seconds} s: {script}\n{self.ask('document.body.innerText')[:2000]}")

    def press(self, *keys: str) -> None:
        """Press keys one after the other."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowUp": 38, "ArrowDown": 40}
        for key in keys:
            text = {"Enter": "\r", " ": " "}.get(key, "" if key in codes else key)
            known = {"key": key, "text": text, "windowsVirtualKeyCode": codes.get(key, ord(key[-1].upper()))}
            for kind in ("keyDown", "keyUp"):
                self.send("Input.dispatchKeyEvent", type=kind, **known)

    def picture(self, path: Path) -> None:
        """What the screen shows, as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot", format="png")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._out], [], [], 60)
            piece = os.read(self._out, 1 << 16) if ready else b""
            assert piece, "the browser does not answer"
            self._received += piece
        message, _, rest = bytes(self._received).partition(b"\0")
        self._received = bytearray(rest)
        answer: dict[str, Any] = json.loads(message)
        self._note(answer.get("method", ""), answer.get("params", {}))
        return answer

    def _note(self, event: str, told: dict[str, Any]) -> None:
        if event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(told["args"]))
        elif event == "Runtime.exceptionThrown":
            self.complaints.append(str(told["exceptionDetails"]))
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.complaints.append(str(told["entry"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """A browser with a profile of its own in a folder."""
    assert CHROMIUM is not None
    (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()

    words = [CHROMIUM, *_QUIET.split(), f"--user-data-dir={folder}", "about:blank"]
    browser = subprocess.Popen(
        [sys.executable, "-c", _PIPED, str(theirs_in), str(theirs_out), *words],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Page(ours_in, ours_out)
    finally:
        browser.terminate()
        browser.wait(30)
        os.close(ours_in)
        os.close(ours_out)
