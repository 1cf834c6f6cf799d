"""Every command that the documentation prints is one that Amulet takes: its options, settings and flags are there.

Runs are composed and planned as `--dry-run` does, only that no data are read, one seed
stands for all, and one attack for an audit.
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import nn

from amulet.assessment import check
from amulet.core.errors import IncompatibleError
from amulet_cli.base.errors import UsageError
from amulet_cli.commands import VERBS, load
from amulet_cli.config.composition import Job, RunRequest
from amulet_cli.execution import forecast
from amulet_cli.execution.plan import plan_of
from tests.helpers.documentation import PAGES, ROOT, commands, own_files, shortened

RUNS = ("run", "audit", "matrix", "validate")
EXAMPLES = ROOT / "docs" / "examples"
WITH_COMMANDS = [page for page in PAGES if commands(page) and EXAMPLES / "plugin" not in page.parents]
"""The plug-in's are checked where it is installed: tests/end_to_end/test_plugin.py."""
NET = """
from torch import nn

class MyNet(nn.Module):
    def __init__(self, *, width: int = 8, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], num_classes))

    def forward(self, x):
        return self.layers(x)

Wide = MyNet
"""
done = set[tuple[str, ...]]()
"""Commands that were checked on another page."""


def planned(request: RunRequest, jobs: Sequence[Job]) -> dict[Job, str]:
    """`check_jobs` without data."""
    refused: dict[Job, str] = {}
    for job in jobs:
        try:
            check(plan_of(job.config))
        except IncompatibleError as error:
            refused[job] = str(error)
    return refused


@pytest.fixture
def place(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with what the pages speak of, on a machine with everything: a user's own files, CUDA, Slurm."""
    for example in ("extending", "custom"):
        shutil.copytree(EXAMPLES / example, workdir, dirs_exist_ok=True)
    options = workdir / "my_conf"
    shutil.copy(options / "attack" / "fgsm.yaml", options / "attack" / "my_attack.yaml")
    shutil.copy(options / "defense" / "gaussian_noise.yaml", options / "defense" / "mine.yaml")
    for name in ("my_nets.py", "my_module.py"):
        (workdir / name).write_text(NET)
    torch.save(nn.Linear(1, 1).state_dict(), workdir / "wide.pt")
    for name in ("model.skops", "credit.onnx"):
        (workdir / name).touch()  # nothing looks into it before there are data
    monkeypatch.syspath_prepend(str(workdir))
    monkeypatch.setattr(forecast, "check_jobs", planned)
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    return workdir


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page(page: Path, place: Path) -> None:
    for name, text in own_files(page).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    wrong: list[str] = []
    for words in commands(page):
        if tuple(words) in done:
            continue
        try:
            checked(shortened(words))
            done.add(tuple(words))
        except UsageError as error:
            wrong.append(f"amulet {' '.join(words)}: {error}")
    assert not wrong, "\n".join(wrong)


def checked(words: Sequence[str]) -> None:
    verb, *rest = words
    assert verb in VERBS
    if verb in RUNS:
        assert load(verb).main([*rest, *(["--dry-run"] if verb != "validate" else [])]) == 0
    else:
        load(verb).command_line().parse(rest)


def test_the_seeds_of_all_commands(place: Path) -> None:
    seeds = {word for page in PAGES for words in commands(page) for word in words if word.startswith("seed=")}
    assert "seed=range(0,10)" in seeds
    for word in seeds:
        checked(["run", "-m", "defense=none", word])


def test_an_outdated_command_is_noticed(place: Path) -> None:
    for words in (["run", "attack=evasion_pgd", "attack.stepz=3"], ["report", "--htlm", "x"], ["run", "attack=pdg"]):
        with pytest.raises(UsageError):
            checked(words)
