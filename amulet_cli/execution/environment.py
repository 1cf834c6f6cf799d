"""The machine a run works on: threads, determinism, and what is written down about it."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amulet.models.arithmetic import multiplications

LARGE_STEP = 1e10
"""Floating-point operations of one training step from which more than one thread pays."""
_PASSES = 3  # a training step costs about one forward and two more for the gradients


def threads(setting: str | int, model: nn.Module, example: Tensor, batch_size: int) -> int:
    """How many threads to compute with: what is set, or one unless a training step is large.

    Small models are slower with two threads than with one, many times so while another process holds a core.

    Args:
        setting: `auto` or a number.
        model: what is trained, on the CPU.
        example: one record's input, (1, *shape).
        batch_size: records in a training step.
    """
    from amulet.training.runtime import available_cores

    if setting != "auto":
        return int(setting)
    return available_cores() if step_cost(model, example) * batch_size >= LARGE_STEP else 1


def workers(setting: str | int, cores: int | None = None) -> int:
    """How many models to train at once: what is set, or as many as there are cores; never more than a job's share.

    Args:
        setting: `auto` or a number.
        cores: the share of a job that runs beside others; None where the machine is its own.
    """
    from amulet.training.runtime import available_cores

    wanted = available_cores() if setting == "auto" else int(setting)
    return wanted if cores is None else min(wanted, cores)


def step_cost(model: nn.Module, example: Tensor) -> int:
    """Floating-point operations of training on one record, as far as layers with a `weight` go."""
    return _PASSES * 2 * sum(multiplications(model, example))


def be_deterministic(device: torch.device) -> None:
    """Choose algorithms that give the same bits every time, and no TF32 in float32; warn where there is none."""
    if device.type == "cuda":
        # Ten bits of mantissa are not what is reported as float32; cuDNN takes them unless it is told not to.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware: what may explain a difference between two machines."""
    import numpy as np

    import amulet

    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    return {
        "amulet": amulet.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": f"{sys.platform} {platform.machine()}",
        "device": str(device),
        "hardware": name,
        "threads": torch.get_num_threads(),
    }


def _processor() -> str:
    """The processor's name, where the system tells it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
