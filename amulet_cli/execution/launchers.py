"""Hydra's launchers as sweeps use them: requirements, cores per job, and what Amulet does for each."""

import importlib.util
import os
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from amulet_cli.base.errors import UsageError
from amulet_cli.config.composition import RunRequest
from amulet_cli.execution.interrupt import before_leaving

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_BATCH = "hydra.sweeper.max_batch_size"
_NAME = "hydra.launcher.name"
_QUEUED = ("slurm", "submitit_slurm")
_AT_ONCE = ("slurm_local", "submitit_local")
"""Submitit starts all jobs that it gets at once, so it gets as many as there are cores."""
_LARGEST_ARRAY = 1000  # Slurm's MaxArraySize is 1001 unless a site changes it


@dataclass(frozen=True)
class _Kind:
    extra: str
    module: str
    cores: str = ""
    """The launcher's setting for the cores of a job; one if there is none."""


_KINDS = {
    "joblib": _Kind("parallel", "hydra_plugins.hydra_joblib_launcher"),
    **dict.fromkeys(
        ("slurm", "slurm_local", "submitit_slurm", "submitit_local"),
        _Kind("slurm", "hydra_plugins.hydra_submitit_launcher", "cpus_per_task"),
    ),
    "ray": _Kind("ray", "ray", "cpus_per_job"),
}


@dataclass(frozen=True)
class ParentProcess:
    """The process that a sweep belongs to; its jobs on the same machine end with it."""

    pid: int
    began: float

    @classmethod
    def this(cls) -> "ParentProcess":
        """The current process."""
        import psutil

        return cls(os.getpid(), psutil.Process().create_time())

    def alive(self) -> bool:
        """Whether it still runs, and is not another process with the same number."""
        import psutil

        try:
            process = psutil.Process(self.pid)
            return process.create_time() == self.began and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


@dataclass(frozen=True)
class Worker:
    """What a job in a launcher's process, perhaps on another machine, must know."""

    folder: Path
    """The command's working directory: relative paths and the user's modules are found from there."""
    cores: int = 1
    parent: ParentProcess | None = None
    """The command's process, where jobs run on the same machine."""


def check(request: RunRequest) -> None:
    """Raise `UsageError` if the launcher of a sweep is not installed, or cannot start a job with its settings."""
    kind = _KINDS.get(request.launcher)
    if kind is None or not request.sweep:
        return
    where = f"`hydra/launcher={request.launcher}`"
    if not is_installed(kind.module):
        raise UsageError(
            f"the launcher `{request.launcher}` is not installed",
            where=where,
            expected="an extra package",
            try_=f"pip install 'amulet-cli[{kind.extra}]'",
        )
    settings = request.launcher_settings
    for name in ("cpus_per_job", "cpus_per_task", "gpus_per_job", "n_jobs"):
        value = settings.get(name)
        least = 0 if name == "gpus_per_job" else 1
        if value is not None and value < least and not (name == "n_jobs" and value < 0):
            raise UsageError(f"`hydra.launcher.{name}` must be at least {least}, got {value}", where=where)
    if request.launcher in _QUEUED and shutil.which("srun") is None:
        raise UsageError(
            "there is no Slurm on this machine: `srun` is not found", where=where, expected="a machine of the cluster"
        )
    if request.launcher == "joblib" and (backend := settings.get("backend")) is not None:
        from joblib.parallel import BACKENDS

        if backend not in BACKENDS:
            known = ", ".join(sorted(BACKENDS))
            raise UsageError(f"`hydra.launcher.backend` must be one of {known}; got {backend}", where=where)


def is_installed(module: str) -> bool:
    """Whether a module can be found; it is not imported."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):
        return False


def worker_of(request: RunRequest) -> Worker | None:
    """The information for each job; None if jobs run in this process, one after the other."""
    if request.launcher == "basic":
        return None
    far = request.launcher in _QUEUED or request.launcher_settings.get("address") is not None
    return Worker(Path.cwd(), _cores(request), None if far else ParentProcess.this())


def at_once(request: RunRequest) -> int:
    """How many jobs run at a time on this machine; 1 where a cluster decides."""
    from amulet.core.cores import available_cores

    if request.launcher in _AT_ONCE:
        return max(1, available_cores() // _cores(request))
    count = int(request.launcher_settings.get("n_jobs") or 1) if request.launcher == "joblib" else 1
    return count if count > 0 else max(1, available_cores() + 1 + count)


def own_overrides(request: RunRequest, words: Sequence[str]) -> list[str]:
    """Hydra's settings beyond the command: how many jobs a launcher gets at once, and under which name."""
    # Hydra composes all jobs of a batch before the first: a large batch would begin with a long silence.
    batch = {
        "basic": 16,
        **dict.fromkeys(_AT_ONCE, at_once(request)),
        **dict.fromkeys(_QUEUED, _LARGEST_ARRAY),
    }.get(request.launcher)
    own: list[str] = []
    if batch and not any(word.startswith(_BATCH) for word in words):
        own.append(f"{_BATCH}={batch}")
    if request.launcher in _QUEUED and not any(word.startswith(_NAME) for word in words):
        own.append(f"{_NAME}=amulet-{uuid4().hex[:12]}")
    return own


@contextmanager
def prepared(request: RunRequest, words: Sequence[str]) -> Iterator[None]:
    """Start workers with their number of threads; if they would outlive Ctrl-C, make it end them."""
    import psutil

    if request.launcher == "basic":
        yield
        return
    for name in _THREADS:
        os.environ[name] = str(_cores(request))
    # No warnings about what Ctrl-C leaves to be cleaned up.
    ours = "ignore::UserWarning:joblib.externals.loky.backend.resource_tracker"
    before = os.environ.get("PYTHONWARNINGS", "")
    if ours not in before:
        os.environ["PYTHONWARNINGS"] = f"{before},{ours}" if before else ours
    # Nor if joblib replaces a process that has grown, which it does between jobs, without losing anything.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
    name = next((word.partition("=")[2] for word in words if word.startswith(f"{_NAME}=amulet-")), "")
    try:
        with before_leaving(lambda: _cancel(name)) if name else nullcontext():
            yield
    except Exception:
        # One killed job breaks the launcher; parallel jobs are not done yet.
        if request.launcher in _AT_ONCE:
            psutil.wait_procs(psutil.Process().children())
        raise


def _cores(request: RunRequest) -> int:
    kind = _KINDS.get(request.launcher)
    settings: Mapping[str, Any] = request.launcher_settings
    return max(1, int(settings.get(kind.cores) or 1)) if kind and kind.cores else 1


def _cancel(name: str) -> None:
    """Cancel the queued and running Slurm jobs with a name, without waiting for the answer."""
    if scancel := shutil.which("scancel"):
        os.posix_spawn(scancel, [scancel, "--name", name], os.environ, setpgroup=0)  # ignores another Ctrl-C
