"""How every figure looks, and how it becomes a file or a part of a page. The only way to matplotlib.

Figures are objects of their own: nothing here touches pyplot or leaves matplotlib's settings changed.
"""

import hashlib
import io
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any, BinaryIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.files import write_atomically

INK = "#1b1b1b"
"""Of text and lines that are no data; on a page it follows the page's own colour."""
COLOURS: Mapping[str, str] = {
    "blue": "#0072b2",
    "vermillion": "#d55e00",
    "green": "#009e73",
    "purple": "#cc79a7",
    "orange": "#e69f00",
    "sky": "#56b4e9",
    "yellow": "#f0e442",
    "black": INK,
}
"""Okabe and Ito's, told apart by people who cannot tell red from green."""
VICTIMS: Mapping[str, Mapping[str, Any]] = {
    "undefended": {"color": COLOURS["vermillion"], "marker": "o", "linestyle": "--"},
    "defended": {"color": COLOURS["blue"], "marker": "s", "linestyle": "-"},
}
"""The two victims, told apart without colour too."""
FORMATS = (".svg", ".pdf", ".png")
SMALL = 8.5
_BELOW = 0.04  # of an axis, below 0: half a marker
_GREY = "#808080"
_DPI = 200
_PIXELS_PER_POINT = 4 / 3


class Drawing(Figure):
    """A figure that a notebook shows, also where nobody has asked for `%matplotlib inline`."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        buffer = io.BytesIO()
        _save(self, buffer, "png")
        width, height = (round(72 * _PIXELS_PER_POINT * side) for side in self.get_size_inches())
        return buffer.getvalue(), {"width": width, "height": height}


def new(width: float, height: float) -> Figure:
    """An empty figure, in inches; what is put into it is laid out without overlaps."""
    return Drawing(figsize=(width, height), layout="constrained", facecolor="none")


def panel(figure: Figure, position: Any = 111, **options: Any) -> Axes:
    """Axes in the house's style: no box, a light grid, ink on nothing."""
    axes: Axes = figure.add_subplot(position, **options)
    axes.set_facecolor("none")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(INK)
    axes.tick_params(which="both", color=INK, labelcolor=INK, labelsize=SMALL)
    axes.grid(visible=True, color=_GREY, alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_color(INK)
        text.set_fontsize(SMALL + 1)
    return axes


def legend(axes: Axes, **options: Any) -> None:
    """The legend of what is labelled, without a frame; none where nothing was drawn."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=SMALL, labelcolor=INK, **options)


def whole_at_zero(axes: Axes, axis: str) -> None:
    """Begin an axis of shares just below 0, so that a marker at 0 is whole, with ticks from 0 on."""
    high = (axes.get_xlim() if axis == "x" else axes.get_ylim())[1]
    axes.set(**{f"{axis}lim": (-_BELOW * high, high)})
    which = axes.xaxis if axis == "x" else axes.yaxis
    which.set_ticks([float(tick) for tick in which.get_majorticklocs() if 0 <= tick <= high])


def literal(text: str) -> str:
    r"""Text that is never read as a formula.

    >>> literal("$x$")
    '\\$x\\$'
    """
    return text.replace("$", r"\$")


def per_cent(value: float, _: object = None) -> str:
    """A fraction on an axis, with as many digits as it has; also a matplotlib formatter.

    >>> per_cent(0.5), per_cent(0.001), per_cent(0.125)
    ('50%', '0.1%', '12.5%')
    """
    return f"{round(100 * value, 6):.6g}%"


def as_svg(figure: Figure, title: str, description: str) -> str:
    """A figure as an `<svg>` element for an HTML page with others, and alone as a file.

    The same figure gives the same text. Its ids are its own, its ink is the page's (`currentColor`), its text stays
    text; `title` and `description` are what a screen reader says.
    """
    text = _drawn(figure, "none")
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>|\s*<style type=\"text/css\">.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r"\s*<defs>\s*</defs>", "", text).replace("xlink:href=", "href=").replace(INK, "currentColor")
    text = re.sub(r"'DejaVu Sans'[^;\"]*", "sans-serif", text)
    text = re.sub(r'(?<= )(?:d|x|y|width|height|points|transform)="[^"]*"', _rounded, text)
    name = "f" + hashlib.sha256(f"{title}\0{description}\0{text}".encode()).hexdigest()[:10]
    text = _own_ids(text, name)
    width, height = (round(72 * _PIXELS_PER_POINT * side) for side in figure.get_size_inches())
    box = re.search(r'viewBox="[^"]*"', text)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" {box[0] if box else ""} width="{width}" height="{height}" role="img" '
        f'aria-labelledby="{name}-title {name}-desc" style="stroke-linejoin:round;stroke-linecap:butt">\n'
        f'<title id="{name}-title">{escape(title)}</title>\n<desc id="{name}-desc">{escape(description)}</desc>\n'
    )
    body = re.sub(r"\n\s+", "\n", text[text.index(">") + 1 :].strip())
    return f"{head}{body}\n"


def check_format(path: Path) -> None:
    """Raise `UsageError` unless the name ends in a format that figures can be written in."""
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        near = [str(path.with_suffix(suffix)) for suffix in similar(path.suffix.lower(), FORMATS)]
        raise UsageError(f"A figure's name must end in one of {known}; got `{path}`", meant=near)


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, PDF or PNG, by the name's ending; the file is whole or not there.

    Raises:
        UsageError: another ending, or a place that cannot be written to.
    """
    check_format(path)
    kind = path.suffix.lower().removeprefix(".")
    try:
        write_atomically(path, lambda file: _save(figure, file, kind))
    except OSError as error:
        raise UsageError(f"`{path}` cannot be written: {error.strerror or error}") from error


def _save(figure: Figure, file: BinaryIO, kind: str) -> None:
    if kind == "svg":
        file.write(_drawn(figure, "path").encode())
        return
    dates: dict[str, Any] = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    with mpl.rc_context({"pdf.fonttype": 42}):
        figure.savefig(file, format=kind, dpi=_DPI, facecolor="white", metadata=dates)


def _drawn(figure: Figure, text: str) -> str:
    """As matplotlib's SVG, text as `path` or, with `none`, as text."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "amulet", "svg.fonttype": text}):
        figure.savefig(buffer, format="svg", facecolor="white" if text == "path" else "none", metadata={"Date": None})
    return buffer.getvalue()


def _rounded(attribute: re.Match[str]) -> str:
    return re.sub(r"-?\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", attribute[0])


def _own_ids(text: str, name: str) -> str:
    """Ids that something points to get the figure's name in front; the others go."""
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', text))
    text = re.sub(r'(?:url\(|href=")#', lambda found: f"{found[0]}{name}-", text)
    return re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", text)
