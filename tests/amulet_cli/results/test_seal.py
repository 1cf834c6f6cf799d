"""The seal: what was changed, cut, lost or never written by Amulet is named, left out, and done again."""

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.results import evidence, reading, seal
from amulet_cli.results.reading import find_results, is_complete, read_result
from amulet_cli.results.result import Result
from tests.helpers.made_up_results import MadeUp, config, reseal, typical, write
from tests.helpers.unprivileged import open_folder, unprivileged

FILES = ("metrics.json", "config.yaml", "metrics.csv", "evidence.npz")


@pytest.fixture
def result(tmp_path: Path) -> Result:
    return write(tmp_path / "outputs", typical())


@pytest.mark.parametrize("name", FILES)
def test_no_changed_bit_goes_unseen(result: Result, name: str) -> None:
    path = result.folder / name
    content = path.read_bytes()
    draw = random.Random(0)
    for _ in range(40):
        place, bit = draw.randrange(len(content)), 1 << draw.randrange(8)
        changed = bytearray(content)
        changed[place] ^= bit
        path.write_bytes(changed)
        if name == "metrics.json" and read_or_none(result.folder) == result:
            continue  # white space
        assert not is_complete(result.folder, config()), (place, bit)
        if name != "evidence.npz":
            assert find_results([result.folder])[0].state == "unreadable", (place, bit)
    path.write_bytes(content)
    assert is_complete(result.folder, config())


def test_what_is_as_it_was_written_is_compared_and_read_at_once(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("neither YAML is parsed nor the content written again")

    with monkeypatch.context() as patched:
        patched.setattr(reading, "from_yaml", never)
        patched.setattr(seal, "_digest", never)
        read = read_result(result.folder)
    assert read == result
    assert list(read.config) == list(yaml.safe_load((result.folder / "config.yaml").read_text()))


def test_what_another_program_wrote_again_is_compared_by_its_content(result: Result) -> None:
    path = result.folder / "metrics.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content))
    assert read_or_none(result.folder) == result
    content["seal"]["config"] = "{}"  # of no effect: the configuration is then read from its own file
    path.write_text(json.dumps(content))
    assert read_or_none(result.folder) == result
    content["metrics"]["defended"]["fidelity"] = 0.5
    path.write_text(json.dumps(content))
    assert read_or_none(result.folder) is None


@pytest.mark.parametrize("seal_", [None, 3, {"text": None}, {"text": "é" * 64}, {"text": "0" * 64}])
def test_a_seal_of_another_form_is_no_seal(result: Result, seal_: Any) -> None:
    path = result.folder / "metrics.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"seal": seal_}))
    assert read_or_none(result.folder) is None


def test_a_configuration_keeps_numbers_that_are_not_finite(tmp_path: Path) -> None:
    written = write(tmp_path, typical(), overrides={"defense.epsilon": math.inf})
    assert read_result(written.folder).config["defense"]["epsilon"] == math.inf


def read_or_none(folder: Path) -> Result | None:
    try:
        return read_result(folder)
    except UsageError:
        return None


@pytest.mark.parametrize("name", FILES)
def test_what_is_cut_or_gone_is_not_done(result: Result, name: str) -> None:
    path = result.folder / name
    path.write_bytes(path.read_bytes()[:-2])
    assert not is_complete(result.folder, config())
    path.unlink()
    assert not is_complete(result.folder, config())
    assert read_or_none(result.folder) is None


def test_a_number_that_somebody_edited_is_not_believed(result: Result) -> None:
    path = result.folder / "metrics.json"
    number = typical().metrics["defended"]["test_accuracy"]
    text = path.read_text()
    assert str(number) in text
    path.write_text(text.replace(str(number), "0.99"))
    with pytest.raises(UsageError, match="not what was written"):
        read_result(result.folder)


def test_a_result_from_before_there_were_seals_is_read(result: Result) -> None:
    path = result.folder / "metrics.json"
    content = json.loads(path.read_text())
    old = {key: value for key, value in content.items() if key not in ("seal", "facts", "influences", "invalid")}
    path.write_text(json.dumps(old | {"schema": 1}))
    assert read_result(result.folder).metrics == result.metrics
    assert is_complete(result.folder, config())


@pytest.mark.parametrize("schema", [1, 2])
def test_a_result_without_its_seal_is_not_believed(result: Result, tmp_path: Path, schema: int) -> None:
    path = result.folder / "metrics.json"
    content = json.loads(path.read_text())
    del content["seal"]
    content["metrics"]["defended"]["test_accuracy"] = 0.99
    path.write_text(json.dumps(content | {"schema": schema}))
    [found] = find_results([tmp_path])
    assert (found.state, "its seal is missing" in found.reason) == ("unreadable", True)
    assert not is_complete(result.folder, config())


BROKEN: dict[str, Any] = {
    "metrics": [],
    "choices": 3,
    "seed": True,
    "overrides": "x",
    "intervals": {"defended": {"test_accuracy": [0.1]}},
    "baselines": {"defended": {"test_accuracy": "0.5"}},
    "warnings": "none",
    "facts": {"metrics": {"test_accuracy": 3}},
    "timings": {"train": "long"},
}


@pytest.mark.parametrize("key", BROKEN)
def test_another_type_is_damage(result: Result, key: str) -> None:
    reseal(result.folder / "metrics.json", **{key: BROKEN[key]})
    [found] = find_results([result.folder])
    assert (found.state, "damaged" in found.reason) == ("unreadable", True)


def test_a_text_as_a_number_is_damage(result: Result) -> None:
    reseal(result.folder / "metrics.json", metrics={"defended": {"test_accuracy": "0.5"}})
    assert find_results([result.folder])[0].state == "unreadable"


def _deep_json(folder: Path) -> None:
    (folder / "metrics.json").write_text("[" * 100_000 + "]" * 100_000)


def _deep_yaml(folder: Path) -> None:
    (folder / "config.yaml").write_text("a: " + "[" * 5_000 + "]" * 5_000)
    reseal(folder / "metrics.json")


def _bomb(folder: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    (folder / "config.yaml").write_text("\n".join(lines))
    reseal(folder / "metrics.json")


def _ring(folder: Path) -> None:
    (folder / "config.yaml").write_text("a: &a [*a]")
    reseal(folder / "metrics.json")


def _pipe(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).unlink()
        os.mkfifo(folder / name)

    return damage


def _binary(folder: Path) -> None:
    (folder / "metrics.json").write_bytes(random.Random(0).randbytes(500))


def _folder(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    (folder / "metrics.json").mkdir()


def _huge_number(folder: Path) -> None:
    (folder / "metrics.json").write_text(f'{{"schema": 2, "seed": {"9" * 5000}}}')


def _huge_metric(folder: Path) -> None:
    reseal(folder / "metrics.json", metrics={"defended": {"test_accuracy": 10**400}})


def _status_of_another_kind(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    (folder / "status.json").write_text('{"state": "failed", "choices": 3, "facts": [1], "overrides": null}')


DAMAGES = [
    _deep_json,
    _deep_yaml,
    _bomb,
    _ring,
    _pipe("metrics.json"),
    _pipe("config.yaml"),
    _binary,
    _folder,
    _huge_number,
    _huge_metric,
    _status_of_another_kind,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_bad_folder_is_named_and_the_others_are_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[Path], None]
) -> None:
    runs = [write(tmp_path, typical(seed), seed=seed) for seed in range(3)]
    damage(runs[1].folder)
    states = [found.state for found in find_results([tmp_path])]
    assert states[::2] == ["done", "done"]
    assert main(["report", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert states[1] in ("unreadable", "failed")
    assert "seed=1" in "".join((shown.out + shown.err).split())
    assert "Traceback" not in shown.err


def test_a_status_that_cannot_be_read_waits_for_nothing(result: Result) -> None:
    _pipe("status.json")(result.folder)
    assert find_results([result.folder])[0] == result


def test_what_is_in_the_way_is_kept_and_the_run_done_again(result: Result, tmp_path: Path) -> None:
    path = result.folder / "metrics.json"
    for text in ('{"mine": 1}', '{"schema": 2, "metrics": []}'):
        path.write_text(text)
        again = write(tmp_path / "outputs", typical())
        assert is_complete(again.folder, config())
        assert path.with_name("metrics.json.bad").read_text() == text


@pytest.mark.parametrize("name", ["config.yaml", "evidence.npz", "status.json"])
def test_nothing_that_amulet_did_not_write_is_replaced(result: Result, tmp_path: Path, name: str) -> None:
    mine = tmp_path / "mine"
    mine.write_text("precious")
    (result.folder / name).unlink()
    (result.folder / name).symlink_to(mine)
    with pytest.raises(OSError, match="not a regular file"):
        write(tmp_path / "outputs", typical())
    assert mine.read_text() == "precious"
    assert (result.folder / name).is_symlink()


def test_the_files_do_not_tell_in_which_order_the_numbers_came(tmp_path: Path) -> None:
    """As from a store: the metrics sorted, the arrays in another order."""
    made = typical()
    made.arrays = {"undefended.b": np.arange(2), "defended.a": np.arange(3)}
    other = typical()
    other.metrics = {victim: dict(sorted(row.items(), reverse=True)) for victim, row in typical().metrics.items()}
    other.arrays = dict(reversed(made.arrays.items()))
    first, second = write(tmp_path / "a", made), write(tmp_path / "b", other)
    for name in FILES:
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


def test_damaged_evidence_is_named_and_counts_as_none(result: Result, capsys: pytest.CaptureFixture[str]) -> None:
    assert evidence.names(result) == ["undefended.ids"]
    path = result.folder / "evidence.npz"
    np.savez(path, other=np.arange(4))
    assert evidence.arrays(result) == {}
    assert "another checksum" in capsys.readouterr().err
    path.write_bytes(b"garbage")
    assert evidence.names(Result(folder=result.folder, state="done")) == []  # from before there were seals
    assert "is left out" in capsys.readouterr().err
    path.unlink()
    assert evidence.arrays(result) == {}
    assert "is left out" in capsys.readouterr().err


def test_what_another_user_closed_is_said() -> None:
    with open_folder() as folder:
        runs = [write(folder, MadeUp(typical(seed).metrics), seed=seed) for seed in range(3)]
        (runs[1].folder / "metrics.json").chmod(0)
        runs[2].folder.chmod(0)
        with unprivileged():
            found = find_results([folder])
            assert not is_complete(runs[1].folder, config(seed=1))
        assert [run.state for run in found] == ["done", "unreadable", "unreadable"]
        assert all("cannot be read: Permission denied" in run.reason for run in found[1:])


def test_a_moved_copy_keeps_its_seal(result: Result, tmp_path: Path) -> None:
    copy = shutil.copytree(result.folder, tmp_path / "copy")
    seal.check(copy, read_result(copy).files)
