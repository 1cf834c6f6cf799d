"""One figure that could be drawn, before it is."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from amulet_cli.analysis.rows import RunGroup
from amulet_cli.base.console import here

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """One figure that could be drawn."""

    kind: str
    title: str
    setting: str
    """What its runs have in common; drawings of one setting stand together."""
    description: str
    """The figure in words, for who cannot see it."""
    cells: tuple[RunGroup, ...]
    draw: Callable[[], "Figure"]
    metric: str = ""
    key: str = ""
    rank: int = 5
    """Small: the obvious one."""

    @property
    def command(self) -> list[str]:
        """What draws it, as words."""
        words = ["amulet", "plot", here(common_folder(self.cells)), "--kind", self.kind]
        words += ["--metric", self.metric] if self.metric and self.kind != "robustness" else []
        words += ["--x", self.key] if self.key else []
        return [*words, "-o", f"{self.kind}.svg"]


def common_folder(cells: Sequence[RunGroup]) -> Path:
    """The folder that holds all runs of some groups."""
    folders = [str(run.folder) for cell in cells for run in cell.runs.values()]
    return Path(os.path.commonpath(folders)) if len(folders) > 1 else Path(folders[0])
