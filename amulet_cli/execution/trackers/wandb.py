"""Weights & Biases: a run for each run, the jobs of a sweep as a group."""

from pathlib import Path
from typing import Literal

from amulet_cli.execution.trackers.base import Run, Tracker


class Wandb(Tracker):
    """Runs of one project.

    Args:
        output_dir: where results go; files of the service's own lie below it.
        project: the name of the project.
        entity: the owner of the project; the user if not given.
        mode: `offline` writes files that `wandb sync` sends later.
    """

    extra = "wandb"
    needs = ("wandb",)

    def __init__(
        self,
        output_dir: Path,
        *,
        project: str = "amulet",
        entity: str | None = None,
        mode: Literal["online", "offline"] = "online",
    ) -> None:
        super().__init__(output_dir)
        self.project, self.entity = project, entity
        self.mode: Literal["online", "offline"] = mode

    @property
    def place(self) -> str:
        return f"{self.mode} {self.entity or ''}/{self.project}"

    def log(self, run: Run) -> str:
        """One run: settings, curves by epoch, then the numbers, in its summary too; files as an artifact."""
        import wandb

        self.output_dir.mkdir(parents=True, exist_ok=True)
        made = wandb.init(
            dir=str(self.output_dir),
            project=self.project,
            entity=self.entity,
            mode=self.mode,
            name=run.name,
            group=run.sweep or None,
            job_type="job" if run.sweep else "run",
            tags=[str(value) for value in run.result.setting if value],
            config={**run.parameters, "amulet": run.tags},
            reinit="create_new",
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True),
        )
        try:
            for stage, figures in run.curves.items():
                made.define_metric(f"{stage}/*", step_metric=f"{stage}/epoch")
                for epoch, values in enumerate(zip(*figures.values(), strict=False), start=1):
                    row = {f"{stage}/{name}": value for name, value in zip(figures, values, strict=True)}
                    made.log({**row, f"{stage}/epoch": epoch})
            made.log(run.metrics)
            files = wandb.Artifact(f"{run.result.hash}-{run.result.seed}", type="result")
            for file in run.files:
                files.add_file(str(file))
            made.log_artifact(files)
        finally:
            made.finish()
        return str(made.id)
