"""`amulet data`: what is here, where, and whether it is what it should be."""

import dataclasses
import hashlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from amulet.datasets import CATALOG, DatasetInfo, load_census
from amulet_cli import data as verb
from amulet_cli.errors import UsageError

Said = Callable[..., str]


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    def run(*words: str, code: int = 0) -> str:
        assert verb.main(list(words)) == code
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize("words", [(), ("list",), ("list", "census")])
def test_the_list_names_every_data_set_with_licence_and_source(said: Said, words: tuple[str, ...]) -> None:
    text = " ".join(said(*words).split())
    info = CATALOG["census"]
    for part in ("census", "in the package", info.size, info.licence):
        assert part in text


def test_verify_shows_the_checksums_of_the_real_files(said: Said) -> None:
    text = said("verify", "census")
    assert text.startswith("present")
    for name, sha in CATALOG["census"].files.items():
        assert f"{name}  sha256 {sha}" in text


def test_verify_fails_where_a_file_is_not_the_official_one(said: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {name: hashlib.sha256(b"other").hexdigest() for name in CATALOG["census"].files}
    monkeypatch.setitem(CATALOG, "census", dataclasses.replace(CATALOG["census"], files=wrong))
    text = said("verify", code=1)
    assert text.startswith("corrupt")
    assert "install amulet-cli again" in text
    assert "corrupt" in said("list")


def test_path_is_a_folder_with_the_files(said: Said) -> None:
    folder = Path(said("path", "census").strip())
    assert {file.name.removesuffix(".xz") for file in folder.glob("*.xz")} == set(CATALOG["census"].files)


def test_fetch_says_that_the_census_is_there(said: Said) -> None:
    assert "census comes with the package" in said("fetch")


def test_fetch_of_what_does_not_come_with_the_package_says_where_to_put_it(
    said: Said, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    info = DatasetInfo(name="mine", title="Mine", licence="?", source="a shelf", size="1 KB", embedded=False)
    monkeypatch.setitem(CATALOG, "mine", info)
    with pytest.raises(UsageError) as error:
        verb.main(["fetch", "mine"])
    assert str(tmp_path / "mine") in error.value.what
    assert said("path", "mine").strip() == str(tmp_path / "mine")


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    assert verb.cache_folder() == tmp_path
    monkeypatch.delenv("AMULET_DATA")
    assert "amulet" in verb.cache_folder().parts


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
    assert line.split()[2:] == [f"{value:.3f}" for value in age]
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


def test_the_pages_of_the_verbs_come_without_heavy_imports() -> None:
    code = (
        "import sys\n"
        "from amulet_cli import compare, data, help, report\n"
        "for verb in (report, compare, data):\n"
        "    help.show(verb.HELP)\n"
        "heavy = {'torch', 'numpy', 'scipy', 'pandas', 'hydra', 'sklearn'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "amulet report" in run.stdout
