"""Standard streams that are closed, full, narrow or no longer read; files that a user names."""

import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from amulet_cli.base.console import _Output, steady  # pyright: ignore[reportPrivateUsage]
from amulet_cli.base.files import write_atomically
from amulet_cli.cli import main
from tests.helpers.cli_helpers import command
from tests.helpers.made_up_results import typical, write


def shell(line: str, cwd: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    env = {**os.environ, "COLUMNS": "120", "PATH": f"{Path(command()).parent}:{os.environ['PATH']}", **settings}
    words = ["bash", "-o", "pipefail", "-c", line]
    return subprocess.run(
        words, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("amulet list attack >&-", 0, ""),
        ("amulet list attack 2>&- >&-", 0, ""),
        ("amulet list nope 2>&-", 2, ""),
        ("amulet list attack | head -1", 0, ""),
        ("amulet list attack > /dev/full", 1, "standard output cannot be written: No space left on device"),
        ("amulet --help > /dev/full", 1, "No space left on device"),
        ("amulet list nope 2> /dev/full", 2, ""),
        ("PYTHONIOENCODING=latin-1 amulet report . && PYTHONIOENCODING=ascii amulet report .", 0, ""),
    ],
)
def test_a_stream_that_is_not_what_it_should_be(line: str, code: int, says: str, tmp_path: Path) -> None:
    if "report" in line:
        write(tmp_path, typical())
    done = shell(line, tmp_path)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    assert says in done.stderr
    assert len(done.stderr.splitlines()) <= 12


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Left(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.mark.parametrize("stream", [Full(), Left()])
def test_a_run_goes_on_when_nobody_sees_its_progress(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    console = _Output(stderr=True)
    console.print("one")
    console.print("two")
    assert console.quiet


def test_a_sign_that_a_stream_lacks_is_written_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    bytes_ = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(bytes_, encoding="latin-1"))
    steady()
    sys.stdout.write("±→")
    sys.stdout.flush()
    assert bytes_.getvalue() == b"\xb1\\u2192"


def test_a_device_is_written_into_and_stays_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A device of the test's own, which is like /dev/full."""
    device = tmp_path / "device"
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 7))
        with device.open("rb"):
            pass
    except PermissionError:
        pytest.skip("only root can make a device, and not everywhere")
    write(tmp_path / "outputs", typical())
    assert main(["report", str(tmp_path / "outputs"), "--csv", str(device)]) == 2
    assert "cannot be written: No space left on device" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert stat.S_ISCHR(device.stat().st_mode)


def test_a_pipe_is_written_into_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        write_atomically(pipe, lambda file: file.write(b"nobody reads"))
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(pipe, lambda file: file.write(b"read"))
    assert os.read(reader, 10) == b"read"
    os.close(reader)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_link_is_followed(tmp_path: Path) -> None:
    link, target = tmp_path / "link", tmp_path / "target"
    target.write_text("old")
    link.symlink_to(target)
    write_atomically(link, lambda file: file.write(b"new"))
    assert (target.read_text(), link.is_symlink()) == ("new", True)
