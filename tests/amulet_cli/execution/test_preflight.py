"""What is said before anything is read, downloaded or trained."""

from pathlib import Path

import numpy as np
import pytest

from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.execution import plan
from amulet_cli.execution.preflight import check_jobs


def test_what_makes_no_sense_on_the_data_is_refused_before_they_are_fetched(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fetch(node: object) -> None:
        raise AssertionError("the data were asked for")

    monkeypatch.setattr(plan, "load_data", fetch)
    assert main(["run", "dataset=fmnist", "defense=adv_debiasing"]) == 2
    assert "adversarial debiasing needs" in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_a_model_of_torchvision_by_its_path(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (60, 3, 32, 32)).astype(np.uint8)
    np.savez(workdir / "a.npz", x=pictures, y=np.arange(60) % 2)
    words = ["dataset=custom", "dataset.path=a.npz", "dataset.target=y", "attack=none"]
    assert main(["validate", "model=torchvision.models:resnet18", *words]) == 0
    assert "Valid: 1 run" in capsys.readouterr().out


def test_a_users_module_may_import_torchvision_itself(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (60, 3, 32, 32)).astype(np.uint8)
    np.savez(workdir / "a.npz", x=pictures, y=np.arange(60) % 2)
    text = (
        "from torchvision.models import resnet18\n\ndef net(input_shape, num_classes):\n"
        "    return resnet18(num_classes=num_classes)\n"
    )
    (workdir / "nets_of_mine.py").write_text(text)
    words = ["dataset=custom", "dataset.path=a.npz", "dataset.target=y", "attack=none"]
    assert main(["validate", "model=nets_of_mine:net", *words]) == 0
    assert "Valid: 1 run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("defense=dp_sgd attack=evasion_pgd", "P1 membership inference is measured too"),
        ("defense=dp_sgd attack=lira", ""),
        ("defense=dp_sgd attack=evasion_pgd metric=[utility,evasion]", ""),
    ],
)
def test_models_that_nobody_asked_for_are_announced(words: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    request = compose(parse([*words.split(), "dataset.limit=200"]))
    assert check_jobs(request, request.jobs) == {}
    shown = " ".join(capsys.readouterr().err.split())
    assert said in shown
    assert ("trains 17 models for each victim" in shown) == bool(said)


def test_only_the_suites_of_risks_that_are_measured_are_announced(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = np.random.default_rng(0).integers(0, 255, (400, 1, 28, 28)).astype(np.uint8)
    np.savez(workdir / "a.npz", x=pictures, y=np.arange(400) % 2)
    words = ["dataset=custom", "dataset.path=a.npz", "dataset.target=y", "model=cnn"]
    assert main(["matrix", *words, "strength=quick", "seeds=1", "defenses=adv_training", "--dry-run"]) == 0
    shown = capsys.readouterr().err
    assert "suite    evasion (quick)" in shown
    assert "suite    attribute_inference" not in shown  # pictures without attributes
    words = ["dataset.limit=200", "strength=quick", "seeds=1", "defenses=adv_training", "risks=S1", "--dry-run"]
    assert main(["matrix", *words]) == 0
    assert capsys.readouterr().err.count("suite    ") == 1
