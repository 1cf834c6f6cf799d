"""Threads, and how Ctrl-C ends what will not end."""

import signal
import subprocess
import sys
import time

import torch
from torch import nn

from amulet.core.cores import available_cores
from amulet.models import LinearNet
from amulet.models.arithmetic import step_cost
from amulet_cli.execution.environment import environment, threads


def test_step_cost_counts_products() -> None:
    dense = nn.Sequential(nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))
    assert step_cost(dense, torch.zeros(1, 3, 2, 2)) == 3 * 2 * (12 * 5 + 5 * 2)
    convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
    assert step_cost(convolution, torch.zeros(1, 3, 8, 8)) == 3 * 2 * 4 * 3 * 9 * 64
    assert convolution.training


def test_small_models_get_one_thread() -> None:
    model, example = LinearNet((42,), 2), torch.zeros(1, 42)
    assert threads("auto", model, example, 256) == 1
    assert threads(3, model, example, 256) == 3
    large = LinearNet((42,), 2, hidden=[4096, 4096])
    assert threads("auto", large, example, 256) == available_cores()


def test_environment_names_what_matters() -> None:
    described = environment(torch.device("cpu"))
    assert described["device"] == "cpu"
    assert {"amulet", "python", "torch", "numpy", "platform", "hardware", "threads"} <= set(described)


_DEAF = """
import sys
from amulet_cli.execution.interrupt import prompt_end
with prompt_end("nothing is lost"):
    import hashlib, subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(100)"])
    print(child.pid, flush=True)
    hashlib.pbkdf2_hmac("sha256", b"x", b"y", 2_000_000_000)  # native code: minutes without a Python instruction
"""


def test_ctrl_c_ends_even_native_code_and_children() -> None:
    with subprocess.Popen([sys.executable, "-c", _DEAF], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        time.sleep(0.3)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert "interrupted: nothing is lost" in err
    import psutil

    assert not psutil.pid_exists(child)
