"""A callback for Hydra (`conf/config.yaml`), so that a long sweep does not grow."""

from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from omegaconf import DictConfig


class ForgetConfigurations(Callback):
    """Hydra keeps what every job returned until the sweep ends, its configurations included, which nobody reads."""

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Drop the configurations of the job that has ended."""
        job_return.cfg = job_return.hydra_cfg = None
