"""A launcher of Hydra's that runs the jobs of a sweep on Ray: a Ray instance on this machine, or a cluster.

The plugin of Hydra's authors needs an old cloudpickle that joblib no longer accepts, and cloud libraries.
"""

import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from amulet.core.cores import available_cores

if TYPE_CHECKING:
    from ray import ObjectRef

_STORE_BYTES = 128 * 1024**2  # jobs return only their exit code
_OURS = ("AMULET_", "OMP_", "MKL_", "OPENBLAS_", "CUBLAS_", "HYDRA_", "PYTHONWARNINGS")


@dataclass(frozen=True)
class _Work:
    """What all jobs of a sweep share."""

    context: HydraContext
    task: TaskFunction
    config: DictConfig
    singletons: dict[Any, Any]
    folder: str
    environment: dict[str, str]


class RayLauncher(Launcher):
    """See conf/hydra/launcher/ray.yaml for the settings."""

    def __init__(
        self,
        *,
        address: str | None = None,
        num_cpus: int | None = None,
        num_gpus: int | None = None,
        cpus_per_job: float = 1,
        gpus_per_job: float = 0,
    ) -> None:
        self.address, self.num_cpus, self.num_gpus = address, num_cpus, num_gpus
        self.share = {"num_cpus": cpus_per_job, "num_gpus": gpus_per_job}
        self.setting: tuple[HydraContext, TaskFunction, DictConfig] | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """What Hydra provides before it launches."""
        self.setting = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch to its end; a job whose process was killed is an error only when all others are done."""
        _set_environment(own=self.address is None)
        import ray

        if self.setting is None:
            raise RuntimeError("`setup` must be called before `launch`")
        setup_globals()
        context, task, config = self.setting
        Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name.startswith(_OURS)}
        work = _Work(context, task, config, Singleton.get_state(), str(Path.cwd()), environment)
        with self._running():
            shared = ray.put(work)
            # A job that took its process down would do so again.
            options: dict[str, Any] = {"max_retries": 0, **self.share}
            remote: Any = ray.remote(**options)(_run)
            jobs = enumerate(job_overrides, start=initial_job_idx)
            return _collected([remote.remote(shared, number, list(words)) for number, words in jobs])

    @contextmanager
    def _running(self) -> Iterator[None]:
        import ray

        settings: dict[str, Any] = {"log_to_driver": False, "configure_logging": False}
        own = None
        if self.address is None:
            own = tempfile.mkdtemp(prefix="amulet-ray-", dir=_short_folder())
            settings |= {
                "num_cpus": self.num_cpus or available_cores(),
                "num_gpus": self.num_gpus,
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
                "_temp_dir": own,
            }
        else:
            settings["address"] = self.address
        try:
            ray.init(**settings)
            yield
        finally:
            ray.shutdown()
            if own is not None:
                shutil.rmtree(own, ignore_errors=True)


def _set_environment(*, own: bool) -> None:
    """Environment variables that Ray reads when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no usage reports
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "1")  # the current default, which Ray may change
    if own and "RAY_AUTH_MODE" not in os.environ:  # no other process on this machine gives it work
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


def _collected(jobs: "Sequence[ObjectRef[JobReturn]]") -> list[JobReturn]:
    import ray
    from ray.exceptions import RayError

    done: list[JobReturn] = []
    lost: Exception | None = None
    for job in jobs:
        try:
            done.append(ray.get(job))
        except RayError as error:
            lost = lost or error
    if lost is not None:
        raise lost
    return done


def _run(work: _Work, number: int, words: list[str]) -> JobReturn:
    """One job, in a Ray process, perhaps on another machine."""
    os.environ.update(work.environment)
    if not Path(work.folder).is_dir():
        raise FileNotFoundError(
            f"a node of the cluster has no folder `{work.folder}`: the command's working directory must lie at the "
            "same path on all nodes, on a file system that they share"
        )
    os.chdir(work.folder)
    setup_globals()
    Singleton.set_state(work.singletons)
    config = work.context.config_loader.load_sweep_config(work.config, words)
    with open_dict(config):
        config.hydra.job.id = f"{config.hydra.job.name}_{number}"
        config.hydra.job.num = number
    HydraConfig.instance().set_config(config)
    return run_job(
        hydra_context=work.context,
        task_function=work.task,
        config=config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _short_folder() -> str | None:
    """A short folder for Ray's sockets, whose paths must not be long."""
    return "/tmp" if sys.platform != "win32" and Path("/tmp").is_dir() else None


def register() -> None:
    """Let Hydra find the launcher: it searches for launchers in the modules of its own namespace package."""
    Plugins.instance().class_name_to_class["hydra_plugins.amulet.RayLauncher"] = RayLauncher
