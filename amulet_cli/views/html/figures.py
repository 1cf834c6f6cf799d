"""Which figures the page shows, and what it says of those for which it has no room."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from amulet_cli.analysis.names import named
from amulet_cli.views.figures.drawing import Drawing

MOST = 40
"""Figures on one page."""
ROOM = 2_500_000
"""Bytes for all figures of a page."""
_SHOWN_RANK = 5  # what is less obvious than that is left to `amulet plot`


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One figure on the page."""

    title: str
    setting: str
    kind: str
    svg: str
    command: str


@dataclass(kw_only=True)
class Shown:
    """What stands on the page, and what does not."""

    by_setting: dict[str, list[Picture]] = field(default_factory=dict[str, list[Picture]])
    matrices: list[Picture] = field(default_factory=list[Picture])
    left_out: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    """What could be drawn too, and the command that does it."""
    failed: list[str] = field(default_factory=list[str])


def drawn(offered: Sequence[Drawing], names: Mapping[str, str]) -> Shown:
    """Draw the obvious figures while there is room; name the others. `names` are what people call the options."""
    from amulet_cli.views.figures.style import as_svg

    shown, count, size = Shown(), 0, 0
    for one in offered:
        name, command = f"{one.title} · {one.setting}", shlex.join(one.command)
        if one.rank > _SHOWN_RANK or count >= MOST or size >= ROOM:
            shown.left_out.append((name, command))
            continue
        try:
            svg = as_svg(one.draw(), f"{one.title} · {one.setting}", one.description)
        except LookupError as error:
            shown.failed.append(f"{name}: {error.args[0]}")
            continue
        picture = Picture(title=one.title, setting=named(one.setting, names), kind=one.kind, svg=svg, command=command)
        count, size = count + 1, size + len(svg)
        if one.kind == "matrix":
            shown.matrices.append(picture)
        else:
            shown.by_setting.setdefault(one.setting.split(", ")[0], []).append(picture)
    return shown
