"""Runs that meet other users' folders, dying workers, user code that leaves, and numbers that nobody can write."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.execution import sweep
from amulet_cli.execution.plan import _extra_metrics  # pyright: ignore[reportPrivateUsage]
from tests.helpers.cli_helpers import TINY, own_options
from tests.helpers.unprivileged import open_folder, unprivileged

_PARTS = """
import sys
import torch
try:
    from my_attacks import Noise
except ImportError:  # where there are no such options
    Noise = object

class Leaves(Noise):
    def perturb(self, model, x, y, *, mask, generator):
        sys.exit(3)

def nothing(evidence): return None
def text(evidence): return "0.5"
def words(evidence): return {"rate": "high"}
def several(evidence): return [0.5]
def tensor(evidence): return torch.ones(2)
def rates(evidence): return {"rate": [0.5]}
def tensors(evidence): return {"rate": torch.ones(2)}
def fine(evidence): return {"rate": 0.5}
"""


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory that other users may read."""
    with open_folder() as folder:
        monkeypatch.chdir(folder)
        yield folder


def readable(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def test_a_done_run_in_a_folder_of_somebody_else_is_shown(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *TINY]) == 0
    readable(shared)
    before = sorted(shared.rglob("*"))
    with unprivileged():
        assert main(["run", *TINY]) == 0
        assert main(["validate", "-m", "seed=0", *TINY]) == 0
        capsys.readouterr()
        for words in (["run", "-m", "seed=0,1"], ["validate", "seed=1"]):
            assert main([*words, *TINY]) == 2
            assert "`output_dir` must be a folder that can be read and written" in capsys.readouterr().err
    assert sorted(shared.rglob("*")) == before


def test_models_of_somebody_else_are_used(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", *TINY, "store=models"]
    assert main(words) == 0
    numbers = next(shared.rglob("metrics.json")).read_text()
    readable(shared)
    (shared / "mine").mkdir()
    (shared / "mine").chmod(0o777)
    models = sorted((shared / "models").iterdir())
    with unprivileged():
        assert main([*words, "output_dir=mine"]) == 0
        shown = capsys.readouterr()
        assert "Permission denied" not in shown.err
        assert main([*words, "output_dir=mine", "epochs=2"]) == 0
        assert "what is trained now is not kept there" in capsys.readouterr().err
    mine = next((shared / "mine").rglob("metrics.json")).read_text()
    assert json.loads(mine)["metrics"] == json.loads(numbers)["metrics"]
    assert sorted((shared / "models").iterdir()) == models


def test_a_folder_on_the_way_that_is_closed_is_said(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (shared / "closed").mkdir(mode=0o700)
    with unprivileged():
        for words in (["output_dir=closed/mine"], ["store=closed/models"]):
            assert main(["run", *words]) == 2
            assert "Permission denied" in capsys.readouterr().err


def test_an_attack_that_leaves_fails_its_run_alone(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = own_options(workdir)
    (workdir / "parts_that_leave.py").write_text(_PARTS)
    (conf / "attack" / "leaves.yaml").write_text("_target_: parts_that_leave.Leaves")
    words = ["run", "-m", "--config-dir", "my_conf", "attack=leaves,noise", *TINY]
    assert main(words) == 1
    states = [json.loads(path.read_text())["state"] for path in workdir.glob("outputs/**/status.json")]
    assert sorted(states) == ["done", "failed"]
    assert "SystemExit: 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("nothing", "got NoneType"),
        ("text", "got str"),
        ("words", "got str for `rate`"),
        ("several", "got list"),
        ("tensor", "got Tensor"),
        ("rates", "got list for `rate`"),
        ("tensors", "got Tensor for `rate`"),
    ],
)
def test_a_metric_that_gives_no_numbers_is_named(
    function: str, says: str, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workdir / "parts_that_leave.py").write_text(_PARTS)
    monkeypatch.syspath_prepend(workdir)
    node = {"risk": "evasion", "function": f"parts_that_leave.{function}"}
    [metric] = _extra_metrics({"mine": node})["evasion"]
    with pytest.raises(UsageError, match=f"`metric.mine.function` must give numbers by name, {says}"):
        metric(None)
    [metric] = _extra_metrics({"mine": {**node, "function": "parts_that_leave.fine"}})["evasion"]
    assert metric(None) == {"rate": 0.5}


class TerminatedWorkerError(Exception):
    """As joblib's."""


@pytest.mark.parametrize(("deaths", "code"), [(1, 0), (2, 1)])
def test_a_killed_worker_does_not_end_the_sweep(
    deaths: int, code: int, workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real, calls = sweep.hand_over, []

    def hand_over(*args: Any) -> None:
        calls.append(1)
        if len(calls) <= deaths:
            raise TerminatedWorkerError("SIGKILL(-9)")
        real(*args)

    monkeypatch.setattr(sweep, "hand_over", hand_over)
    assert main(["run", "-m", "seed=0,1", *TINY]) == code
    shown = capsys.readouterr()
    assert "a worker process was killed" in shown.err
    assert len(calls) == 2
    assert len(list(workdir.rglob("metrics.json"))) == (2 if code == 0 else 0)


def test_a_status_of_numbers_that_json_does_not_have_is_written(tmp_path: Path) -> None:
    from amulet_cli.results.writing import write_status

    write_status(tmp_path, "failed", overrides={"optimizer.lr": float("inf")}, error="diverged")
    assert json.loads((tmp_path / "status.json").read_text())["overrides"] == {"optimizer.lr": None}
    assert os.listdir(tmp_path) == ["status.json"]  # noqa: PTH208


def test_a_run_that_was_changed_is_done_again_by_the_same_command(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *TINY]) == 0
    path = next(workdir.rglob("metrics.json"))
    evidence = path.with_name("evidence.npz")
    bytes_ = evidence.read_bytes()
    for damage in (evidence.unlink, lambda: path.write_text('{"schema": 2, "metrics": []}')):
        damage()
        assert main(["validate", *TINY]) == 0
        assert "to do" in capsys.readouterr().out
        assert main(["run", *TINY]) == 0
        assert "done before" not in capsys.readouterr().err
        assert main(["run", *TINY]) == 0
        assert "done before" in capsys.readouterr().err
        assert evidence.read_bytes() == bytes_
