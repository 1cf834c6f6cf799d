"""TensorBoard: one folder of event files per run, in the order of the results."""

import shutil
from pathlib import Path

from amulet_cli.execution.trackers.base import Run, Tracker


class Tensorboard(Tracker):
    """Numbers at the step of their seed, curves by epoch, the settings for its table of hyper-parameters.

    Args:
        output_dir: where results go.
        folder: of the event files; `<output_dir>/tensorboard` if not given.
    """

    extra = "tensorboard"
    needs = ("tensorboard",)

    def __init__(self, output_dir: Path, *, folder: str | None = None) -> None:
        super().__init__(output_dir)
        self.folder = Path(folder).absolute() if folder else self.output_dir / "tensorboard"

    @property
    def place(self) -> str:
        return str(self.folder)

    def log(self, run: Run) -> str:
        """Write a run's event file; an earlier one of the same run is removed."""
        from torch.utils.tensorboard.summary import hparams
        from torch.utils.tensorboard.writer import SummaryWriter

        here = self.folder.joinpath(*run.result.setting, run.result.hash, f"seed={run.result.seed}")
        shutil.rmtree(here, ignore_errors=True)
        with SummaryWriter(str(here)) as writer:
            for name, value, step in run.points:
                writer.add_scalar(name, value, step)
            for name, text in run.tags.items():
                writer.add_text(name, text)
            # Like `add_hparams`, but in the run's file and not in an additional folder.
            for summary in hparams(run.parameters, dict.fromkeys(run.metrics)):
                writer._get_file_writer().add_summary(summary)  # pyright: ignore[reportPrivateUsage]
        return str(here.relative_to(self.folder))
