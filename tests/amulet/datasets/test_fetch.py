"""Fetching data sets: mirrors, confirmations, full disks, archives, several processes, interruptions."""

import dataclasses
import errno
import gzip
import hashlib
import io
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from amulet.core import DataError
from amulet.datasets import CATALOG, DatasetInfo, Download, load_fmnist
from amulet.datasets.fetching.download import MIRROR, fetch
from amulet.datasets.fetching.integrity import check
from amulet.datasets.folder import Place
from amulet.datasets.locations import find
from tests.helpers.download_toys import CONTENT, GOOD, HASTY, MD5, refused, toy
from tests.helpers.misbehaving import Mood, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.files["/toy.bin"] = CONTENT
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "toy"


def test_a_users_mirror_is_asked_first(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server.files["/mirror/toy/raw/toy.bin"] = CONTENT
    monkeypatch.setenv(MIRROR, f"{server.address}/mirror/")
    fetch(toy("http://127.0.0.1:9/never"), folder, patience=HASTY)
    assert [path for path, _ in server.asked] == ["/mirror/toy/raw/toy.bin"]


def test_a_mirror_may_have_compressed_the_content_again(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official, mirrored = gzip.compress(CONTENT, 1, mtime=1), gzip.compress(CONTENT, 9, mtime=2)
    server.files["/toy/raw/toy.gz"] = mirrored
    monkeypatch.setenv(MIRROR, server.address)
    checksum = f"md5:{hashlib.md5(official).hexdigest()}"
    info = toy("http://127.0.0.1:9/never", path="raw/toy.gz", checksum=checksum, size=len(official))
    fetch(info, folder, patience=HASTY)
    assert (folder / "raw" / "toy.gz").read_bytes() == mirrored
    shutil.rmtree(folder)
    server.moods = [Mood(content=gzip.compress(CONTENT[::-1]))]
    assert "not the official file" in refused(info, folder)


def test_a_mirrors_password_is_not_told(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, server.address.replace("//", "//me:secret@"))
    server.moods = [Mood(status=404)]
    message = refused(toy(f"{server.address}/toy.bin"), folder)
    assert "//***@127.0.0.1" in message
    assert "secret" not in message
    assert server.asked[0][1]["authorization"].startswith("Basic ")


def test_a_mirror_must_be_an_address(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MIRROR, "/mnt/data")
    message = refused(toy("http://127.0.0.1:9/never"), folder)
    assert message == "`AMULET_MIRROR` must be an http or https address, got /mnt/data"


def test_google_drives_form_is_confirmed(server: Server, folder: Path) -> None:
    page = (
        "<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title></head><body>"
        '<form id="search" action="/no"><input name="q" value="no"></form>'
        f'<form id="download-form" action="{server.address}/toy.bin" method="get"><input type="submit" value="Yes"/>'
        '<input type="hidden" name="id" value="0B7&amp;x"><input type="hidden" name="confirm" value="t"></form></html>'
    )
    server.moods = [Mood(page=page), Mood(cut_after=60_000), Mood(page=page), GOOD]
    fetch(toy(f"{server.address}/uc?export=download"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert server.asked[1][0] == "/toy.bin?id=0B7%26x&confirm=t"
    assert ["range" in headers for _, headers in server.asked] == [False, False, False, True]


def test_too_little_room_is_found_before_anything_is_written(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**6))  # pyright: ignore[reportUnknownLambdaType]
    message = refused(toy(f"{server.address}/toy.bin"), folder)
    assert message.startswith(f"toy.bin: no space left for it in {folder}: 50 MB are needed, 1 MB are free")
    assert "AMULET_DATA" in message
    assert not (folder / ".fetch" / "raw" / "toy.bin").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, which is always full")
def test_a_disk_that_fills_up_is_said_to_be_full(server: Server, folder: Path) -> None:
    part = folder / ".fetch" / "raw" / "toy.bin"
    part.parent.mkdir(parents=True)
    part.symlink_to("/dev/full")
    message = refused(toy(f"{server.address}/toy.bin"), folder)
    assert message.startswith(f"toy: no space left in {folder} (No space left on device)")
    assert "AMULET_DATA" in message
    assert len(server.asked) == 1


def test_a_folder_that_cannot_be_made_is_named(server: Server, folder: Path) -> None:
    folder.parent.parent.mkdir(exist_ok=True)
    folder.parent.write_text("a file where the cache should be")
    with pytest.raises(DataError, match=r"toy: .* cannot be written to \(Not a directory\); let AMULET_DATA name"):
        fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert not server.asked


def test_what_nobody_offers_is_asked_of_the_user(folder: Path) -> None:
    info = dataclasses.replace(toy(), downloads=())
    message = refused(info, folder)
    assert message == f"raw/toy.bin of toy can be put into {folder} by hand: the shop on the corner has it"


def _archive(**members: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(f"toys/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return packed.getvalue()


def _archived(server: Server, content: bytes) -> DatasetInfo:
    server.files["/toys.tgz"] = content
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    one = Download(path="toys.tgz", urls=(f"{server.address}/toys.tgz",), checksum=checksum, archive=True)
    return dataclasses.replace(toy(), files={"toys/one": "", "toys/two": ""}, downloads=(one,))


def test_an_archive_is_unpacked_and_removed(server: Server, folder: Path) -> None:
    fetch(_archived(server, _archive(one=b"1", two=b"2")), folder, patience=HASTY)
    assert {p.name for p in folder.iterdir()} == {"toys", ".fetch"}
    assert (folder / "toys" / "two").read_bytes() == b"2"


def test_an_archive_that_a_person_put_there_is_unpacked(server: Server, folder: Path) -> None:
    info = _archived(server, _archive(one=b"1", two=b"2"))
    folder.mkdir(parents=True)
    (folder / "toys.tgz").write_bytes(b"half of it")
    with pytest.raises(DataError, match=r"toys\.tgz: not the official file .*; delete it and fetch it again"):
        fetch(info, folder, patience=HASTY)
    (folder / "toys.tgz").write_bytes(server.files["/toys.tgz"])
    fetch(info, folder, patience=HASTY)
    assert {p.name for p in folder.iterdir()} == {"toys", ".fetch", "toys.tgz"}
    assert (folder / "toys" / "one").read_bytes() == b"1"
    assert not server.asked


def test_an_archive_is_found_without_the_folders_above_it(server: Server, folder: Path) -> None:
    info = _archived(server, _archive(one=b"1", two=b"2"))
    info = dataclasses.replace(
        info,
        files={"deep/toys/one": ""},
        downloads=(dataclasses.replace(info.downloads[0], path="deep/toys.tgz"),),
    )
    folder.mkdir(parents=True)
    (folder / "toys.tgz").write_bytes(server.files["/toys.tgz"])
    fetch(info, folder, patience=HASTY)
    assert (folder / "deep" / "toys" / "one").read_bytes() == b"1"
    assert not server.asked


def test_a_hostile_archive_changes_nothing(server: Server, folder: Path) -> None:
    info = _archived(server, _archive(**{"one": b"1", "../../../out": b"!"}))
    with pytest.raises(DataError, match="leads out of the folder"):
        fetch(info, folder, patience=HASTY)
    assert not list(folder.parent.parent.rglob("out"))
    assert not (folder / "toys").exists()


def test_an_archive_that_could_not_be_unpacked_is_not_fetched_again(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = _archived(server, _archive(one=b"1", two=b"2"))
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", _full)
        with pytest.raises(DataError, match="no space left in"):
            fetch(info, folder, patience=HASTY)
    assert {p.name for p in folder.iterdir()} == {".fetch"}
    fetch(info, folder, patience=HASTY)
    assert (folder / "toys" / "two").read_bytes() == b"2"
    assert len(server.asked) == 1


def _full(*_: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_archive_without_a_checksum_that_is_none_is_fetched_again(server: Server, folder: Path) -> None:
    info = _archived(server, _archive(one=b"1", two=b"2"))
    info = dataclasses.replace(info, downloads=(dataclasses.replace(info.downloads[0], checksum=None),))
    server.moods = [Mood(content=b"no archive"), GOOD]
    with pytest.raises(DataError, match="damaged"):
        fetch(info, folder, patience=HASTY)
    fetch(info, folder, patience=HASTY)
    assert (folder / "toys" / "two").read_bytes() == b"2"


def test_what_a_killed_process_was_unpacking_is_tidied_up(server: Server, folder: Path) -> None:
    (folder / ".unpacking-abc").mkdir(parents=True)
    fetch(_archived(server, _archive(one=b"1", two=b"2")), folder, patience=HASTY)
    assert not (folder / ".unpacking-abc").exists()


_PROCESS = """
import sys
from pathlib import Path
from amulet.core.reporting import Reporter, reporting_to
from amulet.datasets import DatasetInfo, Download
from amulet.datasets.fetching.download import fetch

class Loud(Reporter):
    def note(self, text):
        print(text, flush=True)

address, folder, md5 = sys.argv[1:]
one = Download(path="toy.bin", urls=(address,), checksum=md5)
info = DatasetInfo(name="toy", title="", licence="", source="", size="", files={"toy.bin": md5}, downloads=(one,))
with reporting_to(Loud()):
    fetch(info, Path(folder))
print("fetched")
"""


def _process(server: Server, folder: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", _PROCESS, f"{server.address}/toy.bin", str(folder), MD5]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "took too long"
        time.sleep(0.02)


def test_two_processes_at_once_fetch_once(server: Server, folder: Path) -> None:
    server.moods = [Mood(pause_after=1000)]
    first = _process(server, folder)
    _wait_for(lambda: bool(server.asked))
    second = _process(server, folder)
    assert second.stdout is not None
    assert second.stdout.readline() == "another process is fetching toy; waiting for it\n"
    server.go.set()
    for process in (first, second):
        said, trouble = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "fetched\n"), trouble
    assert (folder / "toy.bin").read_bytes() == CONTENT
    assert len(server.asked) == 1


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill"])
def test_an_interrupted_process_leaves_what_the_next_goes_on_with(
    server: Server, folder: Path, how: signal.Signals
) -> None:
    server.moods = [Mood(stall_after=150_000), GOOD]
    process = _process(server, folder)
    part = folder / ".fetch" / "toy.bin"
    _wait_for(lambda: part.exists() and part.stat().st_size > 60_000)
    process.send_signal(how)
    process.communicate(timeout=20)
    assert process.returncode in (-how, 130)
    assert not (folder / "toy.bin").exists()
    kept = part.stat().st_size
    said, trouble = _process(server, folder).communicate(timeout=60)
    assert said == "fetched\n", trouble
    assert (folder / "toy.bin").read_bytes() == CONTENT
    assert server.asked[1][1]["range"] == f"bytes={kept}-"


def test_fashion_mnist_can_be_had_from_a_mirror(
    server: Server, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    monkeypatch.setenv(MIRROR, server.address)
    for one in CATALOG["fmnist"].downloads:
        server.files[f"/fmnist/{one.path}"] = (data_folder / "fmnist" / one.path).read_bytes()
    server.moods = [Mood(cut_after=5_000_000), GOOD]
    place = find(CATALOG["fmnist"])
    assert place == Place(tmp_path / "fmnist", "download")
    assert set(check(CATALOG["fmnist"], place).values()) == {"official"}
    assert len(server.asked) == 5
    assert len(load_fmnist(limit=50).train) == 50
