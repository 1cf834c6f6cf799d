"""What is looked at before training, and at what cost."""

import re
from pathlib import Path

import pytest
from torch.optim import Optimizer

from amulet_cli.cli import main


@pytest.mark.usefixtures("workdir")
def test_an_optimizer_is_judged_without_registering_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch imports its compiler for that, which takes longer than the whole check."""

    def registered(*_: object) -> None:
        raise AssertionError("weights were registered")

    monkeypatch.setattr(Optimizer, "add_param_group", registered)
    assert main(["validate", "dataset.limit=200"]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["optimizer.lr=-1"], "Invalid learning rate"),
        (["optimizer.betas=[2,0.5]"], "Invalid beta"),
        (["++optimizer.fused=true", "++optimizer.foreach=true"], "cannot be `?True"),
        (["++optimizer.fused=true", "++optimizer.differentiable=true"], "does not support"),
    ],
)
def test_settings_that_an_optimizer_refuses(
    words: list[str], said: str, workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["validate", "dataset.limit=200", *words]) == 2
    assert re.search(said, " ".join(capsys.readouterr().err.replace("│", " ").split()))
    assert not list(workdir.iterdir())
