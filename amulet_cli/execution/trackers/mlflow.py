"""MLflow: one MLflow run for each run, a sweep as the parent of its jobs; on SQLite unless a server is named."""

import importlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from amulet_cli.base.files import locked
from amulet_cli.execution.trackers.base import Run, Sweep, Tracker

_LONGEST = 6000  # the longest parameter that MLflow accepts
_SWEEP = "amulet.sweep"
_PARENT, _NAME = "mlflow.parentRunId", "mlflow.runName"
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    # An unreachable server costs each job seconds, not minutes.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


class Mlflow(Tracker):
    """Runs of one experiment.

    Args:
        output_dir: where results go.
        uri: of the tracking server, or `sqlite:///<file>`; a database in `output_dir` if not given.
        experiment: the name of the experiment.
    """

    extra = "mlflow"
    needs = ("mlflow", "sqlalchemy", "alembic")

    def __init__(self, output_dir: Path, *, uri: str | None = None, experiment: str = "amulet") -> None:
        super().__init__(output_dir)
        self.uri = uri or f"sqlite:///{self.output_dir / 'mlflow.db'}"
        self.experiment = experiment

    @property
    def place(self) -> str:
        return f"{self.uri} {self.experiment}"

    def begin(self, sweep: Sweep) -> None:
        """Create the sweep's run, or continue that of an earlier attempt at the same sweep."""
        with self._client() as (client, experiment):
            parent = self._parent(client, experiment, sweep)
            client.update_run(parent, status="RUNNING")

    def log(self, run: Run) -> str:
        """One run with parameters, numbers at the step of the seed, curves by epoch, tags and files."""
        made_of = _mlflow(".entities")

        with self._client() as (client, experiment):
            tags = {**run.tags, _NAME: run.name}
            if run.sweep:
                sweep = Sweep(run.sweep, "runs", 0)
                tags |= {_SWEEP: run.sweep, _PARENT: self._parent(client, experiment, sweep)}
            made = client.create_run(experiment, tags={_NAME: run.name})
            name, now = made.info.run_id, made.info.start_time
            numbers = [made_of.Metric(key, value, now, step) for key, value, step in run.points]
            params = [made_of.Param(key, str(value)[:_LONGEST]) for key, value in run.parameters.items()]
            for start in range(0, max(len(numbers), len(params)), 100):  # as much as it accepts at once
                part = slice(start, start + 100)
                client.log_batch(name, numbers[part], params[part])
            client.log_batch(name, tags=[made_of.RunTag(key, value) for key, value in tags.items()])
            for file in run.files:
                client.log_artifact(name, str(file))
            client.set_terminated(name)
        return name

    def end(self, sweep: Sweep, states: Mapping[str, int]) -> None:
        """Close the sweep's run with the number of jobs in each state."""
        made_of = _mlflow(".entities")

        with self._client() as (client, experiment):
            parent = self._parent(client, experiment, sweep)
            now = client.get_run(parent).info.start_time
            counts = [
                made_of.Metric(f"jobs/{state.replace(' ', '_')}", count, now, 0) for state, count in states.items()
            ]
            client.log_batch(parent, counts, tags=[made_of.RunTag("jobs", str(sweep.jobs))])
            fine = all(state in ("done", "skipped", "refused") for state in states)
            client.set_terminated(parent, "FINISHED" if fine else "FAILED")

    @contextmanager
    def _client(self) -> Iterator[tuple[Any, str]]:
        """A client and the experiment's id; one process after the other if the database is a file."""
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        lock = locked(self.output_dir / ".locks" / "mlflow.lock", lambda: None)
        with lock if self.uri.startswith("sqlite:") else nullcontext():
            client = _mlflow().MlflowClient(self.uri)
            yield client, self._experiment(client)

    def _experiment(self, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        files = self.output_dir / "mlflow" if self.uri.startswith("sqlite:") else None
        return str(client.create_experiment(self.experiment, files.as_uri() if files else None))

    def _parent(self, client: Any, experiment: str, sweep: Sweep) -> str:
        found = client.search_runs([experiment], f"tags.`{_SWEEP}.parent` = '{sweep.key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        tags = {_NAME: f"sweep of {sweep.title}", f"{_SWEEP}.parent": sweep.key}
        return str(client.create_run(experiment, tags=tags).info.run_id)


def _mlflow(below: str = "") -> Any:
    """MLflow, or a module below it: an extra, which the type checker may not know."""
    return importlib.import_module(f"mlflow{below}")
