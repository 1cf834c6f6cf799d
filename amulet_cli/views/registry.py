"""Views that are brought by a plug-in: a flag of `amulet report`, kinds of figures, a section of the HTML report.

A plug-in's module calls `register_view` when it is loaded (`amulet.core.plugins`); the readers ask `views()`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from amulet_cli.base.plugins import loaded
from amulet_cli.views.table import Table

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from rich.console import RenderableType

    from amulet_cli.analysis.groups import Report
    from amulet_cli.results.result import Result
    from amulet_cli.views.figures.drawing import Drawing


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a flag of `amulet report` shows instead of the report."""

    view: "Callable[[int], RenderableType]"
    """For a console of so many columns."""
    forms: Mapping[str, Callable[[], str]]
    """By name: csv, markdown, latex."""
    figure: "Callable[[], Figure] | None" = None


@dataclass(frozen=True, kw_only=True)
class HtmlSection:
    """A section of the HTML report."""

    name: str
    """Its anchor."""
    title: str
    legend: str
    caption: str
    tables: tuple[Table, ...]


@dataclass(frozen=True, kw_only=True)
class View:
    """What one plug-in adds to the readers of results; each part may be left out."""

    name: str
    """Also the flag of `amulet report`: `--<name> NAME`."""
    names: tuple[str, ...] = ()
    """What the flag takes."""
    about: str = ""
    """The flag in the help page."""
    shown: "Callable[[str, Sequence[Result]], Shown] | None" = None
    kinds: Mapping[str, str] = field(default_factory=dict[str, str])
    """Kinds of figures: what each shows, and the runs that it is drawn from."""
    drawings: "Callable[[Report, Sequence[Result]], Iterable[Drawing]] | None" = None
    section: "Callable[[Sequence[Result]], HtmlSection | None] | None" = None


_registered: dict[str, View] = {}


def register_view(view: View) -> View:
    """Make a view known; the same name again replaces it."""
    _registered[view.name] = view
    return view


def views() -> tuple[View, ...]:
    """Every registered view, in the order of their names."""
    loaded()
    return tuple(_registered[name] for name in sorted(_registered))
