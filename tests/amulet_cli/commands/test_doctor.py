"""`amulet doctor`: facts of this machine, and each kind of problem with what to do."""

import importlib.metadata
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from amulet_cli.cli import main
from amulet_cli.execution import machine


def examined(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    code = main(["doctor", "--json", *words])
    return code, json.loads(capsys.readouterr().out)


def test_facts_are_the_machines(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "mine" / "models").mkdir(parents=True)
    (workdir / "mine" / "models" / "a").write_bytes(bytes(1000))
    code, found = examined(capsys, "mine")
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert found["processor"]["fast_at"] in ("float32", "bfloat16")
    assert found["memory"]["total"] == psutil.virtual_memory().total
    assert found["folders"]["models"]["path"] == str(workdir / "mine" / "models")
    assert [found["folders"][name]["used"] for name in ("results", "models")] == [1000, 1000]
    assert "paper" in found["plugins"]
    assert code == (1 if found["problems"] else 0)


def test_nothing_is_made(workdir: Path) -> None:
    main(["doctor"])
    assert list(workdir.iterdir()) == []


def test_problems_say_what_to_do(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = importlib.metadata.version
    versions = {"torch": "2.0.1", "ray": "1.0"}

    def version(name: str) -> str:
        return versions.get(name) or real(name)

    def usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(total=10, used=5, free=5)

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setenv("OMP_NUM_THREADS", "9999")
    (workdir / "outputs" / "models").mkdir(parents=True)
    (workdir / "outputs" / "models" / "x.bad").touch()
    code, found = examined(capsys)
    assert code == 1
    said = {problem["what"]: problem["do"] for problem in found["problems"]}
    assert said["torch 2.0.1 is installed, and torch>=2.6 is needed"] == "pip install 'torch>=2.6'"
    assert any("OMP_NUM_THREADS is 9999" in what for what in said)
    assert any("5 B are free where results go" in what for what in said)
    assert any("1 damaged files were set aside" in what for what in said)
    assert all(said.values())
    assert found["extras"]["ray"] == {"installed": False, "missing": ["ray"]}
    assert main(["doctor"]) == 1
    assert f"{len(said)} problems found" in capsys.readouterr().out


def test_a_plugin_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from amulet.core.plugins import Plugin

    broken = Plugin(name="mine", module="mine", distribution="my-package", conf=None, error="no module named mine")
    monkeypatch.setattr("amulet.core.plugins.plugins", lambda: (broken,))
    found = machine.examined(Path("outputs"), Path("outputs/models"))
    assert found.facts["plugins"] == {"mine": "no module named mine"}
    assert any("mine cannot be loaded" in problem.what for problem in found.problems)


def test_two_folders_are_too_many(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "a", "b"]) == 2
    assert "takes one folder" in capsys.readouterr().err
