"""The machine of a run: threads, determinism, and its description in the result."""

import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import amulet
from amulet.core.cores import available_cores
from amulet.models.arithmetic import step_cost

LARGE_STEP = 1e10
"""Floating-point operations of one training step above which more than one thread is worthwhile."""


def threads(setting: str | int, model: nn.Module, example: Tensor, batch_size: int) -> int:
    """The number of threads: the setting, or one unless a training step is large.

    Small models are slower with two threads than with one, many times so while another process holds a core.

    Args:
        setting: `auto` or a number.
        model: the model to train, on the CPU.
        example: one record's input, (1, *shape).
        batch_size: records in a training step.
    """
    if setting != "auto":
        return int(setting)
    return available_cores() if step_cost(model, example) * batch_size >= LARGE_STEP else 1


def workers(setting: str | int, cores: int | None = None) -> int:
    """How many models to train at once: the setting, or the number of cores; never more than a job's share.

    Args:
        setting: `auto` or a number.
        cores: the share of a job that runs in parallel with others; None if it has the machine alone.
    """
    wanted = available_cores() if setting == "auto" else int(setting)
    return wanted if cores is None else min(wanted, cores)


def be_deterministic(device: torch.device) -> None:
    """Choose deterministic algorithms, and no TF32 in float32; warn if there is no such algorithm."""
    if device.type == "cuda":
        # Results with ten bits of mantissa must not be reported as float32; cuDNN uses TF32 by default.
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
        torch.use_deterministic_algorithms(True, warn_only=True)


def environment(device: torch.device) -> dict[str, Any]:
    """Versions and hardware, which may explain a difference between two machines."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
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


def processor() -> str:
    """The processor's name, if the system provides it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
