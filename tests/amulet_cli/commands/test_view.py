"""`amulet view`: the address that it prints, how it ends, and a user's mistakes."""

import http.client
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amulet_cli.cli import main
from amulet_cli.commands import view
from tests.helpers.made_up_results import typical, write


def test_it_serves_until_ctrl_c_and_says_so_in_one_line(tmp_path: Path) -> None:
    write(tmp_path, typical())
    words = [sys.executable, "-m", "amulet_cli.cli", "view", str(tmp_path), "--no-open"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)(/[\w-]{16}/)\n", process.stdout.readline())
        assert found
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
        connection.request("GET", found[2])
        assert connection.getresponse().read().startswith(b"<!DOCTYPE html>")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.splitlines()) == (130, "", ["Ctrl-C ends the viewer", "The viewer has ended."])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nowhere"], "There is no folder"),
        ([".", "--port", "x"], "`--port` must be a number from 0 to 65535"),
        ([".", "--port", "65536"], "`--port` must be a number from 0 to 65535"),
        ([".", "--open", "--no-open"], "`--open` does not go with `--no-open`"),
        ([".", "--watch"], "`--watch` is no flag"),
    ],
)
def test_a_mistake_is_named(workdir: Path, capsys: pytest.CaptureFixture[str], words: list[str], says: str) -> None:
    assert main(["view", *words]) == 2
    assert says in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("terminal", "remote", "flags", "opened"),
    [
        (True, False, [], True),
        (True, True, [], False),
        (True, False, ["--no-open"], False),
        (False, False, [], False),
        (False, True, ["--open"], True),
    ],
)
def test_the_browser_is_opened_where_somebody_sits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool, remote: bool, flags: list[str], opened: bool
) -> None:
    asked: list[str] = []

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(view.webbrowser, "open", asked.append)
    monkeypatch.setattr(view.time, "sleep", interrupted)
    monkeypatch.setattr(view.sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    if remote:
        monkeypatch.setenv("SSH_CONNECTION", "here there")
    assert view.main([str(tmp_path), *flags]) == 130
    assert bool(asked) is opened
