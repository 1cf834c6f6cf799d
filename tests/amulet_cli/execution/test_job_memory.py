"""What a sweep leaves in memory."""

import gc

import pytest
from omegaconf import DictConfig

from amulet_cli.cli import main
from amulet_cli.execution.job import Task


@pytest.mark.usefixtures("workdir")
def test_a_sweep_does_not_keep_the_configurations_of_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []

    def counted(self: Task, cfg: DictConfig) -> int:
        gc.collect()
        counts.append(sum(type(each) is DictConfig for each in gc.get_objects()))
        return 0

    monkeypatch.setattr(Task, "__call__", counted)
    main(["run", "-m", "seed=range(0,4)", "dataset.limit=200", "epochs=1"])
    assert counts[-1] == counts[1]
