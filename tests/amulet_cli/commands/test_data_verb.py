"""`amulet data`: what is here, where, and whether it is what it should be."""

import dataclasses
import hashlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.status import Status

from amulet.datasets import CATALOG, load_census
from amulet.datasets.fetching.download import MIRROR
from amulet_cli.base.errors import UsageError
from amulet_cli.commands import data as verb
from amulet_cli.execution.progress import RichReporter
from tests.helpers.download_toys import CONTENT, MD5, toy
from tests.helpers.misbehaving import Mood, Server, serving

Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*words: str, code: int = 0) -> str:
        assert verb.main(list(words)) == code
        return capsys.readouterr().out

    return run


@pytest.fixture
def toy_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    """A catalog with one data set more, a server that has it, and an empty cache."""
    monkeypatch.setenv("AMULET_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "160")
    with serving() as server:
        server.files["/toy.bin"] = CONTENT
        monkeypatch.setitem(CATALOG, "toy", toy(f"{server.address}/toy.bin"))
        yield server


@pytest.mark.parametrize("words", [(), ("list",), ("list", "census")])
def test_the_list_names_every_data_set_with_licence_and_source(said: Said, words: tuple[str, ...]) -> None:
    text = " ".join(said(*words).split())
    for info in [CATALOG["census"]] if "census" in words else CATALOG.values():
        for part in (info.name, info.size, *info.licence.split(), info.source.split()[0]):
            assert part in text
    assert "in the package" in text


@pytest.mark.usefixtures("toy_data")
def test_the_list_says_what_is_here_and_how_large_it_is(said: Said, tmp_path: Path) -> None:
    assert "not here" in said("list", "toy")
    said("fetch", "toy")
    assert re.search(r"toy +in the cache +205 KB +200 KB +none", said("list", "toy"))
    two = dataclasses.replace(CATALOG["toy"], files={"raw/toy.bin": "", "other": ""})
    CATALOG["toy"] = two
    assert "1 of 2 files" in said("list", "toy")
    system = tmp_path / "usr"
    system.mkdir()
    for name in ("toy.bin", "other"):
        (system / name).write_bytes(bytes(1000))
    CATALOG["toy"] = dataclasses.replace(two, name="toy2", system=(str(system),))
    assert re.search(r"on the system +2 KB", said("list", "toy"))


def test_verify_shows_the_checksums_of_the_real_files(said: Said) -> None:
    text = said("verify", "census")
    for name, checksum in CATALOG["census"].files.items():
        assert re.search(rf"official +{name}  {checksum.replace(':', ' ')}", text)


def test_verify_fails_where_a_packaged_file_is_not_the_official_one(
    said: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {name: f"sha256:{hashlib.sha256(b'other').hexdigest()}" for name in CATALOG["census"].files}
    monkeypatch.setitem(CATALOG, "census", dataclasses.replace(CATALOG["census"], files=wrong))
    text = said("verify", code=1)
    assert "unlike the official one  adult.data" in text
    assert "install amulet-cli again" in text


def test_verify_reads_what_was_fetched(said: Said, toy_data: Server, tmp_path: Path) -> None:
    assert "toy  not here: nothing to verify" in said("verify", "toy")
    said("fetch", "toy")
    assert re.search(rf"official +raw/toy\.bin  {MD5.replace(':', ' ')}", said("verify", "toy"))
    file = tmp_path / "cache" / "toy" / "raw" / "toy.bin"
    file.write_bytes(CONTENT[:-1] + b"!")
    text = said("verify", "toy", "census", code=1)
    assert "unlike the official one  raw/toy.bin" in text
    assert "delete it, then amulet data fetch toy" in text
    CATALOG["toy"] = dataclasses.replace(CATALOG["toy"], files={"raw/toy.bin": ""})
    assert "no official checksum     raw/toy.bin" in said("verify", "toy")


def test_path_is_a_folder_with_the_files(said: Said) -> None:
    folder = Path(said("path", "census").strip())
    assert {file.name.removesuffix(".xz") for file in folder.glob("*.xz")} == set(CATALOG["census"].files)


@pytest.mark.usefixtures("toy_data")
def test_path_is_where_the_files_would_go_while_they_are_nowhere(said: Said, tmp_path: Path) -> None:
    assert said("path", "toy").strip() == str(tmp_path / "cache" / "toy")


def test_fetch_says_that_the_census_is_there(said: Said) -> None:
    assert "census comes with the package" in said("fetch", "census")


def test_fetch_wants_names() -> None:
    with pytest.raises(UsageError, match="some data sets are large"):
        verb.main(["fetch"])


def test_fetch_gets_what_is_not_here_and_nothing_else(said: Said, toy_data: Server, tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "toy"
    assert said("fetch", "toy").strip() == f"toy: fetched into {folder}"
    assert said("fetch", "toy", "census").startswith(f"toy: already in the cache, {folder}\n")
    assert len(toy_data.asked) == 1


def test_a_data_set_that_cannot_be_fetched_does_not_keep_the_others_away(
    capsys: pytest.CaptureFixture[str], toy_data: Server, tmp_path: Path
) -> None:
    CATALOG["toy"] = dataclasses.replace(CATALOG["toy"], name="gone", downloads=())
    assert verb.main(["fetch", "toy", "census"]) == 2
    described, panel = capsys.readouterr()
    assert "census comes with the package" in described
    panel = " ".join(panel.replace("│", " ").split())
    assert "The data cannot be used" in panel
    assert "raw/toy.bin of gone can be put into" in panel
    assert "by hand: the shop on the corner has it" in panel


def test_a_download_is_seen_on_its_way(capsys: pytest.CaptureFixture[str], toy_data: Server) -> None:
    toy_data.moods = [Mood(stall_after=150_000)]
    toy_data.over.set()  # stalls no longer than it takes to say so
    toy_data.moods.append(Mood(pause_after=40_000))
    threading.Timer(2.6, toy_data.go.set).start()
    assert verb.main(["fetch", "toy"]) == 0
    described = capsys.readouterr().err
    assert "toy.bin: the connection was cut" in described
    assert re.search(r"fetch toy\.bin: \d+ KB/205 KB", described)
    assert re.search(r"done +fetch toy\.bin: 205 KB, ", described)


def test_a_stage_takes_the_place_of_what_is_shown_meanwhile() -> None:
    described: list[str] = []
    console = Console(file=io.StringIO(), force_terminal=True, width=80)

    class Shown(Status):
        def start(self) -> None:
            described.append("start")

        def stop(self) -> None:
            described.append("stop")

    reporter = RichReporter(console, aside=Shown("checking", console=console))
    with reporter.stage("fetch", 2_000_000, "B") as outer, reporter.stage("within"):
        outer.advance(1_000_000)
        assert described == ["stop"]
    assert described == ["stop", "start"]


def test_ctrl_c_keeps_what_was_fetched(toy_data: Server, tmp_path: Path) -> None:
    name = CATALOG["fmnist"].downloads[0].path
    toy_data.files[f"/fmnist/{name}"] = CONTENT
    toy_data.moods = [Mood(stall_after=150_000)]
    words = [sys.executable, "-m", "amulet_cli.cli", "data", "fetch", "fmnist"]
    environment = {**os.environ, MIRROR: toy_data.address}
    process = subprocess.Popen(words, env=environment, stderr=subprocess.PIPE, text=True)
    part = tmp_path / "cache" / "fmnist" / ".fetch" / name
    end = time.monotonic() + 20
    while not (part.exists() and part.stat().st_size > 60_000):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, described = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "interrupted: what was fetched is kept; the same command resumes" in described
    assert part.stat().st_size > 60_000


def test_show_gives_sizes_and_shares_and_real_records(said: Said) -> None:
    text = said("show", "census")
    data = load_census()
    assert "CC BY 4.0" in text
    for part in (data.train, data.test):
        positive = part.y.float().mean().item()
        male = part.attribute("sex").float().mean().item()
        [line] = [line for line in text.splitlines() if f"{len(part):,}" in line and "%" in line]
        assert f"{positive:.2%}" in line
        assert f"{male:.2%}" in line
    age = data.train.inputs(slice(0, 3))[:, data.feature_names.index("age")].tolist()
    [line] = [line for line in text.splitlines() if line.startswith("  age ")]
    assert line.split()[2:] == [*(f"{value:.3f}" for value in age), "17", "to", "90"]
    [line] = [line for line in text.splitlines() if line.startswith("  workclass")]
    first = next(name for name in data.feature_names if name.startswith("workclass=") and _is_set(name))
    assert line.split()[4] == first.partition("=")[2][:16]


def _is_set(name: str) -> bool:
    data = load_census()
    return bool(data.train.inputs(slice(0, 1))[0, data.feature_names.index(name)] == 1)


@pytest.mark.parametrize(
    ("words", "message", "meant"),
    [
        (["verfy"], "`amulet data` must be followed by what to do, got verfy", ["verify"]),
        (["census"], "`amulet data` must be followed by what to do, got census", ["amulet data show census"]),
        (["show", "cenus"], "There is no data set `cenus`", ["census"]),
        (["--all"], "`--all` is no flag of `amulet data`", []),
    ],
)
def test_mistakes_are_told(words: list[str], message: str, meant: list[str]) -> None:
    with pytest.raises(UsageError) as error:
        verb.main(words)
    assert error.value.what == message
    assert error.value.meant == meant


def test_pages_and_what_concerns_files_come_without_heavy_imports() -> None:
    code = (
        "import sys\n"
        "from amulet_cli.base import help\nfrom amulet_cli.commands import compare, data, report\n"
        "for verb in (report, compare, data):\n"
        "    help.show(verb.command_line())\n"
        "for action in ('list', 'path', 'verify', 'fetch census'):\n"
        "    data.main(action.split())\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'hydra', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "amulet report" in run.stdout
