"""Downloads from a server that misbehaves: what is got is right and whole, what is not got is said."""

import dataclasses
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from amulet.core.reporting import reporting_to
from amulet.datasets.fetching import transfer
from amulet.datasets.fetching.download import MIRROR, fetch
from amulet.datasets.fetching.partial_file import Gauge
from amulet.datasets.fetching.transfer import RetryPolicy
from tests.helpers.download_toys import CONTENT, GOOD, HASTY, QUOTA, SIZE, WRONG, Ear, refused, toy
from tests.helpers.misbehaving import Mood, Server, serving


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        running.files["/toy.bin"] = CONTENT
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "toy"


def test_a_file_arrives_whole_with_progress_and_nothing_left_over(server: Server, folder: Path) -> None:
    ear = Ear()
    with reporting_to(ear):
        fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    [stage] = ear.stages
    assert (stage.name, stage.total, stage.unit, stage.done) == ("fetch toy.bin", SIZE, "B", SIZE)
    assert [p.name for p in (folder / ".fetch").rglob("*") if p.is_file()] == ["lock"]
    assert server.asked[0][1]["accept-encoding"] == "identity"


def test_what_is_there_is_not_asked_for(server: Server, folder: Path) -> None:
    info = toy(f"{server.address}/toy.bin")
    fetch(info, folder, patience=HASTY)
    fetch(info, folder, patience=HASTY)
    assert len(server.asked) == 1


FAILURES = {
    "404": (Mood(status=404), "answered 404 Not Found", 1),
    "403": (Mood(status=403), "answered 403 Forbidden", 1),
    "a browser wanted": (Mood(status=202), "answered 202 Accepted", 1),
    "500 again and again": (Mood(status=500), "answered 500 Internal Server Error", 3),
    "quota": (QUOTA, 'sent a web page titled "Google Drive - Quota exceeded" instead of the file', 1),
    "wrong bytes": (WRONG, f"not the official file ({SIZE:,} bytes, another checksum)", 1),
    "another size": (
        Mood(content=CONTENT[:999]),
        f"offers a file of 999 bytes, where the official one has {SIZE:,}",
        1,
    ),
    "cut at once": (Mood(cut_after=0), "the connection was cut", 3),
    "silent": (Mood(stall_after=0), "silent for 1.5 s", 3),
    "wait an hour": (Mood(status=429, headers={"Retry-After": "3600"}), "asks to come back in 3600 s", 1),
    "forms for ever": (
        Mood(page='<html><form id="download-form" action="/toy.bin"></form></html>'),
        "one page of confirmation after the other",
        3,
    ),
}


@pytest.mark.parametrize("case", FAILURES)
def test_a_failure_names_the_reason_the_address_the_file_and_the_folder(
    server: Server, folder: Path, case: str
) -> None:
    mood, reason, requests = FAILURES[case]
    server.moods = [mood]
    message = refused(toy(f"{server.address}/toy.bin"), folder)
    assert message.startswith(f"toy.bin of toy cannot be downloaded ({server.address}/toy.bin: ")
    assert reason in message
    assert f"can be put into {folder} by hand: the shop on the corner has it" in message
    assert len(server.asked) == requests


def test_a_host_that_is_down_is_said_to_be(folder: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    message = refused(toy(f"http://127.0.0.1:{port}/toy.bin"), folder)
    assert "no connection (Connection refused)" in message
    assert "is this machine offline?" in message
    assert f"put into {folder} by hand" in message


def test_a_machine_without_a_network_is_said_to_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert "no connection (Name or service not known)" in refused(toy("http://toys.example/toy.bin"), folder)


@pytest.mark.parametrize("address", ["ftp://toys.example/toy.bin", "toy.bin", "http://"])
def test_an_address_that_is_none_is_said_to_be(folder: Path, address: str) -> None:
    assert f"({address}: cannot be asked (" in refused(toy(address), folder)


@pytest.mark.parametrize(
    "first",
    [Mood(status=503), Mood(cut_after=0), Mood(stall_after=0), Mood(status=416)],
    ids=["busy", "cut", "silent", "range refused"],
)
def test_what_passes_is_tried_again(server: Server, folder: Path, first: Mood) -> None:
    server.moods = [first, GOOD]
    ear = Ear()
    with reporting_to(ear):
        fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert "trying again" in ear.notes[0]


@pytest.mark.parametrize("mood", [Mood(cut_after=60_000), Mood(stall_after=150_000)], ids=["cut", "stalled"])
def test_a_file_goes_on_where_it_stopped(server: Server, folder: Path, mood: Mood) -> None:
    server.moods = [mood, GOOD]
    ear = Ear()
    with reporting_to(ear):
        fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    headers = server.asked[1][1]
    assert headers["if-range"] == '"1"'
    assert 0 < int(headers["range"].removeprefix("bytes=").rstrip("-")) <= 150_000
    assert ear.stages[0].done == SIZE


def test_the_next_call_goes_on_where_the_last_one_gave_up(server: Server, folder: Path) -> None:
    server.moods = [Mood(cut_after=60_000), Mood(cut_after=0), Mood(cut_after=0), GOOD]
    info = toy(f"{server.address}/toy.bin")
    message = refused(info, folder)
    assert "bytes are kept, and the next try goes on from there" in message
    fetch(info, folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert "range" in server.asked[3][1]


def test_a_file_that_was_whole_but_not_yet_in_place_is_not_asked_for_again(server: Server, folder: Path) -> None:
    part = folder / ".fetch" / "raw" / "toy.bin"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT)
    fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert not server.asked


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server, folder: Path) -> None:
    other = CONTENT[::-1]
    server.moods = [Mood(content=other, etag='"0"', cut_after=60_000), GOOD]
    fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert server.asked[1][1]["if-range"] == '"0"'


def test_bytes_that_turn_out_wrong_in_the_end_are_fetched_anew(server: Server, folder: Path) -> None:
    part = folder / ".fetch" / "raw" / "toy.bin"
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT[::-1][:60_000])
    ear = Ear()
    with reporting_to(ear):
        fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert "from the start again" in ear.notes[0]
    assert ear.stages[0].done == SIZE


def test_a_server_that_cannot_resume_begins_anew(server: Server, folder: Path) -> None:
    server.moods = [Mood(cut_after=60_000, ranges=False), Mood(ranges=False)]
    ear = Ear()
    with reporting_to(ear):
        fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert ear.stages[0].done == SIZE


def test_without_a_checksum_bytes_are_only_joined_if_the_server_vouches(server: Server, folder: Path) -> None:
    server.moods = [Mood(cut_after=60_000, etag=""), Mood(etag="")]
    info = dataclasses.replace(toy(f"{server.address}/toy.bin", checksum=None), files={"raw/toy.bin": ""})
    fetch(info, folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert "range" not in server.asked[1][1]


def test_a_web_page_does_not_cost_the_bytes_that_are_there(server: Server, folder: Path) -> None:
    server.moods = [Mood(cut_after=60_000), QUOTA, GOOD]
    info = toy(f"{server.address}/toy.bin")
    assert "Quota exceeded" in refused(info, folder)
    fetch(info, folder, patience=HASTY)
    assert "range" in server.asked[2][1]


@pytest.mark.parametrize(("header", "waits"), [("7", [7.0]), ("Wed, 21 Oct 2015 07:28:00 GMT", [0.0]), ("soon", None)])
def test_retry_after_is_honoured(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, header: str, waits: list[float] | None
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(transfer, "time", SimpleNamespace(sleep=slept.append))
    server.moods = [Mood(status=503, headers={"Retry-After": header}), GOOD]
    fetch(toy(f"{server.address}/toy.bin"), folder, patience=dataclasses.replace(HASTY, first_wait=1.0))
    assert slept == waits if waits is not None else 0.5 <= slept[0] <= 1


def test_waits_double_vary_and_are_bounded(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(transfer, "time", SimpleNamespace(sleep=slept.append))
    server.moods = [Mood(status=500)]
    refused(toy(f"{server.address}/toy.bin"), folder, RetryPolicy(tries=6, first_wait=2.0, longest_wait=10.0))
    assert len(slept) == 5
    for wait, longest in zip(slept, [2, 4, 8, 10, 10], strict=True):
        assert longest / 2 <= wait <= longest


def test_a_long_file_over_a_poor_line_arrives(server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "_GAIN", 10_000)
    server.moods = [Mood(cut_after=30_000)] * 6 + [GOOD]  # more cuts than tries, but each gets on
    fetch(toy(f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("first", [Mood(status=404), QUOTA, WRONG], ids=["404", "quota", "wrong"])
def test_the_next_address_is_asked_where_onerefused(server: Server, folder: Path, first: Mood) -> None:
    server.moods = [first, GOOD]
    fetch(toy(f"{server.address}/gone", f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert [path for path, _ in server.asked] == ["/gone", "/toy.bin"]


@pytest.mark.parametrize("announced", [0, 10**15], ids=["without end", "announced"])
@pytest.mark.parametrize("mirror", [True, False], ids=["mirror", "official"])
def test_no_more_is_written_than_the_file_can_have(
    server: Server, folder: Path, monkeypatch: pytest.MonkeyPatch, announced: int, *, mirror: bool
) -> None:
    written: list[int] = []
    monkeypatch.setattr(Gauge, "__call__", lambda self, done, total=None: written.append(done))  # pyright: ignore[reportUnknownLambdaType]
    first = f"{server.address}/large"
    if mirror:
        monkeypatch.setenv(MIRROR, server.address)
    server.files["/large"] = server.files["/toy/raw/toy.bin"] = CONTENT
    server.moods = [Mood(announced=announced, stall_after=0 if announced else None), GOOD]
    fetch(toy(*([] if mirror else [first]), f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert max(written) <= 2 * SIZE
    assert len(server.asked) == 2


def test_every_address_and_its_reason_is_told(server: Server, folder: Path) -> None:
    server.moods = [Mood(status=404), QUOTA]
    message = refused(toy(f"{server.address}/one", f"{server.address}/two"), folder)
    assert f"{server.address}/one: answered 404 Not Found; {server.address}/two: sent a web page" in message


def test_bytes_of_one_address_serve_at_the_next(server: Server, folder: Path) -> None:
    server.files["/one"] = CONTENT
    server.moods = [Mood(cut_after=60_000), Mood(status=404), Mood(etag='"other"')]
    fetch(toy(f"{server.address}/one", f"{server.address}/toy.bin"), folder, patience=HASTY)
    assert (folder / "raw" / "toy.bin").read_bytes() == CONTENT
    assert "range" in server.asked[2][1]
    assert "if-range" not in server.asked[2][1]
