"""What a model gives away of its classes: the mean of each beside what was reconstructed."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from amulet_cli.results.evidence_images import Row
from amulet_cli.views.figures import style

_CELL = 0.62  # inches
_MARGIN = 1.35


def reconstruction_grid(rows: Sequence[Row], labels: Sequence[str] = (), most: int = 10) -> Figure:
    """Rows of pictures with their names on the left and the classes above.

    Args:
        rows: class means and reconstructions, as `amulet_cli.results.evidence_images.rows_by_file` has them.
        labels: the classes' names; their numbers where there are none.
        most: how many classes are shown.
    """
    columns = min(most, max(len(row.images) for row in rows))
    height, width = rows[0].images.shape[1:3]
    tall = _CELL * height / width
    figure = style.new(_MARGIN + columns * _CELL, 0.35 + len(rows) * (tall + 0.05))
    left = _MARGIN / figure.get_figwidth()
    grid = figure.add_gridspec(len(rows), columns)
    figure.get_layout_engine().set(rect=(left, 0, 1 - left, 1), w_pad=0.02, h_pad=0.02)  # type: ignore[union-attr]
    for line, row in enumerate(rows):
        for column in range(columns):
            axes = figure.add_subplot(grid[line, column])
            axes.set_axis_off()
            if line == 0:
                name = str(labels[column]) if column < len(labels) else str(column)
                axes.set_title(style.literal(_short(name)), fontsize=7.5, color=style.INK)
            if column < len(row.images):
                image = row.images[column]
                shown = image if image.shape[2] == 3 else image[:, :, 0]
                axes.imshow(shown, cmap=None if image.shape[2] == 3 else "gray", vmin=0, vmax=255, interpolation="none")
            if column == 0:
                axes.text(
                    -0.15,
                    0.5,
                    style.literal(row.name.replace(": ", ":\n")),
                    transform=axes.transAxes,
                    ha="right",
                    va="center",
                    fontsize=7.5,
                    color=style.INK,
                )
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 11 else f"{name[:10]}…"
