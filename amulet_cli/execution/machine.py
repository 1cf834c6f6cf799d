"""What this machine has that runs need, and what is wrong with it: the facts behind `amulet doctor`."""

import importlib.metadata
import os
import platform
import re
import shutil
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from amulet_cli.base.files import bytes_below
from amulet_cli.base.format_numbers import size

_DISTRIBUTION = "amulet-cli"
_LITTLE = 2_000_000_000
"""Bytes of memory or disk below which a run of pictures does not fit."""
_NVIDIA = Path("/proc/driver/nvidia/version")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong, and what to do about it."""

    what: str
    do: str


@dataclass(frozen=True)
class Machine:
    """Facts by section and name, as JSON has them, and the problems among them."""

    facts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    problems: list[Problem] = field(default_factory=list[Problem])

    def wrong(self, what: str, do: str) -> None:
        """Add a problem."""
        self.problems.append(Problem(what, do))


def examined(output_dir: Path, store: Path) -> Machine:
    """Look at everything; nothing is changed, downloaded or trained.

    Args:
        output_dir: where results go.
        store: where trained models are kept.
    """
    from amulet.datasets.locations import cache_folder

    machine = Machine()
    machine.facts["versions"] = _versions(machine)
    machine.facts["processor"] = _processor(machine)
    machine.facts["memory"] = _memory(machine)
    machine.facts["gpu"] = _gpu(machine)
    machine.facts["folders"] = _folders(machine, {"results": output_dir, "models": store, "data": cache_folder()})
    machine.facts["extras"] = _extras()
    machine.facts["plugins"] = _plugins(machine)
    return machine


def _versions(machine: Machine) -> dict[str, Any]:
    own = {_DISTRIBUTION: _version(_DISTRIBUTION), "python": platform.python_version(), "system": platform.platform()}
    needed = [one for one, extra in _required() if not extra]
    found = {one.name: _version(one.name) for one in needed}
    for one in needed:
        if not _fits(one):
            wanted, version = f"{one.name}{one.specifier}", found[one.name]
            there = f"{version} is installed, and {wanted} is needed" if version else "is not installed"
            machine.wrong(f"{one.name} {there}", f"pip install '{wanted}'")
    return own | found


def _processor(machine: Machine) -> dict[str, Any]:
    import torch

    from amulet.core.cores import available_cores
    from amulet.models.arithmetic import fast_dtype
    from amulet_cli.execution.environment import processor

    cores, asked = available_cores(), os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > cores:
        what = f"OMP_NUM_THREADS is {asked}, and there are {cores} cores: threads wait for each other"
        machine.wrong(what, f"export OMP_NUM_THREADS={cores}, or unset it")
    return {
        "name": processor(),
        "cores": cores,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "fast_at": str(fast_dtype(torch.device("cpu"))).removeprefix("torch."),
        "torch_threads": torch.get_num_threads(),
        "OMP_NUM_THREADS": asked or None,
    }


def _memory(machine: Machine) -> dict[str, Any]:
    import psutil

    memory = psutil.virtual_memory()
    if memory.available < _LITTLE:
        do = "close other programs, or try --limit 2000 and workers=1"
        machine.wrong(f"{size(memory.available)} of memory are free", do)
    return {"total": memory.total, "available": memory.available}


def _gpu(machine: Machine) -> dict[str, Any]:
    import torch

    facts: dict[str, Any] = {}
    for i in range(torch.cuda.device_count()):
        its = torch.cuda.get_device_properties(i)
        facts[f"cuda:{i}"] = {
            "name": its.name,
            "memory": its.total_memory,
            "capability": f"{its.major}.{its.minor}",
            "fast_at": "bfloat16" if its.major >= 8 else "float32",
        }
    if torch.backends.mps.is_available():
        facts["mps"] = {"name": "Apple", "memory": torch.mps.recommended_max_memory()}
    if _NVIDIA.exists() and not torch.cuda.is_available():
        why = "was built for the CPU" if torch.version.cuda is None else f"needs a driver for CUDA {torch.version.cuda}"
        do = "install torch for CUDA: https://pytorch.org/get-started/locally, or update the driver"
        machine.wrong(f"there is an NVIDIA driver, and this torch {why}", do)
    return facts


def _folders(machine: Machine, folders: Mapping[str, Path]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for name, folder in folders.items():
        there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.is_dir())
        free, writable = shutil.disk_usage(there).free, os.access(there, os.W_OK | os.X_OK)
        used, bad = _used(folder)
        facts[name] = {"path": str(folder.absolute()), "used": used, "free": free, "writable": writable}
        if not writable:
            machine.wrong(f"{there} cannot be written, where {name} go", f"chmod u+w {there}, or another")
        elif free < _LITTLE:
            machine.wrong(f"{size(free)} are free where {name} go", f"free space on the disk of {there}")
        if bad:
            machine.wrong(f"{bad} damaged files were set aside in {folder}", "delete those that end in .bad")
    return facts


def _used(folder: Path) -> tuple[int | None, int]:
    """Bytes, None if they cannot be counted, and the number of files that were set aside."""
    try:
        return bytes_below(folder), sum(1 for _ in folder.glob("*.bad"))
    except OSError:
        return None, 0


def _extras() -> dict[str, Any]:
    missing: defaultdict[str, list[str]] = defaultdict(list)
    for one, extra in _required():
        if extra:
            missing[extra] += [one.name] if one.name != _DISTRIBUTION and not _fits(one) else []
    return {name: {"installed": not absent, "missing": absent} for name, absent in missing.items()}


def _plugins(machine: Machine) -> dict[str, Any]:
    from amulet.core.plugins import plugins

    for one in plugins():
        if one.error:
            machine.wrong(f"the plug-in {one.name} cannot be loaded: {one.error}", f"mend or remove {one.distribution}")
    return {one.name: one.error or one.distribution for one in plugins()}


def _required() -> Iterator[tuple[Requirement, str]]:
    """What the distribution needs, each with the extra that needs it; nothing of a checkout that is not installed."""
    with suppress(importlib.metadata.PackageNotFoundError):
        for one in map(Requirement, importlib.metadata.requires(_DISTRIBUTION) or ()):
            extra = re.search(r"extra == \"([\w.-]+)\"", str(one.marker))
            yield one, extra[1] if extra else ""


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fits(needed: Requirement) -> bool:
    """Whether what is needed is installed, in a version within its limits."""
    version = _version(needed.name)
    return version is not None and needed.specifier.contains(version, prereleases=True)
