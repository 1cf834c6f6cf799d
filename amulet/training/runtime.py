"""Where and how the work is done; nothing here changes the results, except for rounding and `precision: auto`."""

from dataclasses import dataclass, field

import torch

from amulet.core.errors import SettingError
from amulet.core.reporting import Reporter
from amulet.training.store import MemoryStore, Store


@dataclass(frozen=True)
class Runtime:
    """A device, a store of trained models, a reporter, and how many models are trained at once."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    store: Store = field(default_factory=MemoryStore)
    reporter: Reporter = field(default_factory=Reporter)
    workers: int = 1
    """Worker processes of `Recipe.fit_many` on the CPU."""


def resolve_device(name: str = "auto") -> torch.device:
    """`auto` takes CUDA, then Apple's MPS, then the CPU; `SettingError` if the requested device does not exist."""
    mps = torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise SettingError(f"`device` must be auto, cpu, cuda, cuda:<n> or mps, got {name}") from error
    if device.type not in ("cpu", "cuda", "mps") or (device.type != "cuda" and device.index):
        raise SettingError(f"`device` must be auto, cpu, cuda, cuda:<n> or mps, got {name}")
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise SettingError(f"`device` is {name}, but this PyTorch finds no such CUDA device; use auto or cpu")
    if device.type == "mps" and not mps:
        raise SettingError("`device` is mps, but this PyTorch finds no MPS device; use auto or cpu")
    return device


def free_memory(device: torch.device) -> int | None:
    """Bytes available for new tensors on an accelerator; None on the CPU, where the records already are."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)  # reserved by torch, but unused
        return torch.cuda.mem_get_info(device)[0] + kept
    if device.type == "mps":
        return max(0, torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return None
