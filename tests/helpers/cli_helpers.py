"""Running the command line as a user does, and a user's own options for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

TINY = ("dataset.limit=200", "epochs=1")
"""A run of about a second, imports aside."""
FOLDER = "census/linearnet/none/noise"
PATIENCE = 900
"""Seconds until a command counts as hung: no test of speed, for the longest takes four minutes on a busy machine."""

_MODULE = '''
"""A user's own attack and models, beside where the command is given."""

import time

import torch
from torch import nn

from amulet.evasion.attacks import EvasionAttack


class Noise(EvasionAttack):
    def __init__(
        self,
        model=None,
        test_loader=None,
        device="cpu",
        *,
        epsilon: float = 0.05,
        batch_size: int = 512,
        fail: bool = False,
        seconds: float = 0.0,
    ):
        super().__init__(model, test_loader, device)
        self.epsilon, self.batch_size, self.fail, self.seconds = epsilon, batch_size, fail, seconds

    def perturb(self, model, x, y, *, mask, generator):
        time.sleep(self.seconds)
        if self.fail:
            raise RuntimeError("the sky fell")
        noise = torch.rand(x.shape, generator=generator) * 2 - 1
        return (x + self.epsilon * noise).clamp(0, 1)


class ForImages(nn.Sequential):
    def __init__(self, input_shape, num_classes):
        super().__init__(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(num_classes))
'''

_OPTIONS = {
    "attack/noise.yaml": """
        _target_: my_attacks.Noise
        about: {line: "Random noise", source: me, risk: evasion}
        epsilon: 0.05
        fail: false
        seconds: 0.0
    """,
    "attack/needy.yaml": "_target_: a_package_nobody_has.Attack",
    "attack/absent.yaml": "_target_: my_attacks.Nois",
    "model/for_images.yaml": "_target_: my_attacks.ForImages",
    "experiment/two_seeds.yaml": """
        # @package _global_
        defaults:
          - override /attack: noise
        dataset: {limit: 200}
        epochs: 1
        hydra:
          mode: MULTIRUN
          sweeper:
            params: {seed: "0,1", attack.epsilon: "0.01,0.02"}
    """,
}


def own_options(folder: Path) -> Path:
    """Write a module and a folder of options into `folder`; the folder of options."""
    (folder / "my_attacks.py").write_text(_MODULE)
    for name, text in _OPTIONS.items():
        file = folder / "my_conf" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = text.strip("\n").splitlines()
        indent = len(lines[0]) - len(lines[0].lstrip())
        file.write_text("\n".join(line[indent:] for line in lines) + "\n")
    return folder / "my_conf"


def command() -> str:
    """The console script beside this Python."""
    found = shutil.which("amulet", path=str(Path(sys.executable).parent))
    assert found, "the package is not installed here"
    return found


def start(*words: str, cwd: Path, **settings: str) -> "subprocess.Popen[str]":
    """Start `amulet`, its output in a pipe, as many columns as the tests count on."""
    env = {**os.environ, "COLUMNS": "120", "OMP_NUM_THREADS": "1", **settings}
    pipe = subprocess.PIPE
    return _Started([command(), *words], cwd=cwd, env=env, stdout=pipe, stderr=pipe, text=True)


class _Started(subprocess.Popen[str]):
    """A process that a failing test ends: `with` would otherwise wait for one that hangs."""

    def __exit__(self, kind: Any, *rest: Any) -> None:
        if kind is not None:
            self.kill()
        super().__exit__(kind, *rest)


def amulet(*words: str, cwd: Path, **settings: str) -> "subprocess.CompletedProcess[str]":
    """Run `amulet` to its end."""
    with start(*words, cwd=cwd, **settings) as process:
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(words, process.returncode, out, err)
