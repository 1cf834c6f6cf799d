"""The interaction matrix as a picture: what each defence does to each risk."""

import math
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from amulet_cli.analysis.findings import leaning
from amulet_cli.analysis.matrix.entries import Entry, Interactions
from amulet_cli.analysis.names import matrix_names, value_title
from amulet_cli.analysis.outcomes import UNCERTAIN, symbol
from amulet_cli.analysis.rows import change_words
from amulet_cli.base import format_numbers
from amulet_cli.views.figures import style

_FULL = 0.2  # a change of the risk that has the strongest colour
# Told apart by people who cannot tell red from green, equally dark in grey, and bright enough for dark text.
_WORST, _BEST = "#e08a4f", "#66acd6"
_MAP = LinearSegmentedColormap.from_list("risk", [_BEST, "#ffffff", _WORST])
_GREY, _DIM = "#808080", "#595959"
_INK = "#1b1b1c"  # on a cell's own colour, also on a dark page: not the ink that follows the page
_SIZE = 7.0  # points: a figure of eight risks is as wide as two columns of a page, 7 inches
_CELL, _LINE, _LEFT, _TOP = 0.755, 0.15, 0.92, 1.1  # inches
_COLUMNS = 4  # of the legend
_INTERVAL = 16  # characters in one line of a cell
_WRAPPED = 118  # characters of a line below the cells


def interaction_matrix(interactions: Interactions) -> Figure:
    """A row for each defence, a column for each risk.

    The colour of a cell says where the risk moves and how far, its text by how much with the 95% interval, its symbol
    the verdict, and the open triangle in its corner what the literature expects.
    """
    rows, columns = interactions.defenses, interactions.risks
    heights = [_height(interactions, name) for name in rows]
    left, top, handles, notes = _LEFT, _TOP, _handles(interactions), _notes(interactions)
    below = 0.22 + 0.16 * -(-len(handles) // _COLUMNS)
    width = left + _CELL * max(len(columns), 6) + 0.04
    height = top + sum(heights) + below + 0.15 * len(notes)
    figure = style.new(width, height)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for j, code in enumerate(columns):
        middle = left + (j + 0.5) * _CELL
        _words(axes, middle, 0.12, code, weight="bold", size=_SIZE + 2)
        for k, line in enumerate(_lines(interactions.titles[code], 13)[:3]):
            _words(axes, middle, 0.3 + 0.125 * k, line)
        for k, line in enumerate(_lines(_metric(interactions, code), 14)[:3]):
            _words(axes, middle, 0.72 + 0.125 * k, line, style="italic", color=_DIM)
    y, names = top, matrix_names(rows, [entry.cell for entry in interactions.entries])
    for name, tall in zip(rows, heights, strict=True):
        lines = textwrap.wrap(names[name], 14)
        for k, line in enumerate(lines):
            _words(axes, left - 0.06, y + tall / 2 + 0.14 * (k - (len(lines) - 1) / 2), line, ha="right")
        for j, code in enumerate(columns):
            _cell(axes, (left + j * _CELL, y, _CELL, tall), interactions, (name, code))
        y += tall
    _legend(axes, handles, y + 0.06, width)
    for k, line in enumerate(notes):
        _words(axes, width / 2, y + below + 0.15 * k, line)
    return figure


def _lines(text: str, width: int) -> list[str]:
    """Whole words in lines of about `width` characters."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _metric(interactions: Interactions, code: str) -> str:
    """What decides a risk, in words; without the attribute where there is one number for each."""
    entries = [entry for entry in interactions.entries if entry.risk.code == code]
    if not entries:
        return ""
    if len(several := _metrics(entries)) > 1:
        return ", ".join(map(_initials, several))
    facts = entries[0].facts
    return value_title(facts.name if "attribute" in facts.subject else entries[0].metric, entries[0].cell.facts)


def _metrics(entries: Sequence[Entry]) -> list[str]:
    """The metrics that an attribute has more than one of, by name; a risk with one for each attribute has none."""
    names: dict[str, dict[str, None]] = {}
    for entry in entries:
        if entry.attribute:
            names.setdefault(entry.attribute, {})[entry.facts.name] = None
    return list(dict.fromkeys(name for own in names.values() if len(own) > 1 for name in own))


def _initials(metric: str) -> str:
    """`equalized_odds_difference` as EOD, which fits into a cell."""
    return "".join(word[0] for word in re.split(r"[._]", metric) if word).upper()


def description(interactions: Interactions) -> str:
    """The picture in words, for who cannot see it."""
    names = matrix_names(interactions.defenses, [entry.cell for entry in interactions.entries])
    described = [
        f"{names[name]}, {code}: {_said(entry)}"
        for (name, code), entries in interactions.cells.items()
        for entry in entries
    ]
    return f"Change of each risk under each defence, {interactions.title}. " + "; ".join(described)


def _said(entry: Entry) -> str:
    change, _ = change_words(entry.change, fraction=entry.fraction)
    expected = f", expected {entry.expected.direction}" if entry.expected else ""
    at = f" at {entry.facts.at}" if entry.facts.at else ""
    return f"{entry.metric}{at} {change}, {entry.outcome}{expected}"


def _ways(interactions: Interactions) -> str:
    """The budgets of risks; how they were measured, where not by the default attack, or in several ways; initials."""
    cells = [{entry.setting for entry in entries} for entries in interactions.cells.values()]
    named = {f"{e.risk.code} {e.setting}": None for e in interactions.entries if e.setting.startswith("by ")}
    by_risk = [[e for e in interactions.entries if e.risk.code == code] for code in interactions.risks]
    short = dict.fromkeys(name for entries in by_risk for name in _metrics(entries))
    budgets = dict.fromkeys((entry.risk.code, entry.facts.at) for entry in interactions.entries if entry.facts.at)
    described = [*(f"{code} at {at}" for code, at in budgets), *named]
    if any(len(one) > 1 for one in cells):
        described.append("a, b: measured in several ways, in the order of the table")
    if any(entry.pursued for entry in interactions.entries):
        described.append("†: what the defence sets out to lower")
    described += [f"{_initials(name)}: {name.replace('_', ' ')}" for name in short]
    return f"{'; '.join(described)}." if described else ""


def _height(interactions: Interactions, name: str) -> float:
    cells = [interactions.of(name, code) for code in interactions.risks]
    most = max([len(entries) * (3 if _metrics(entries) else 2) for entries in cells], default=2)
    return max(_LINE * most + 0.16, 0.62)


def _cell(axes: Axes, box: tuple[float, float, float, float], interactions: Interactions, key: tuple[str, str]) -> None:
    x, y, width, height = box
    entries = interactions.of(*key)
    ways = list(dict.fromkeys(entry.setting for entry in entries))
    metrics = _metrics(entries)
    for k, entry in enumerate(entries):
        part = height / len(entries)
        way = "abcdefghij"[ways.index(entry.setting) % 10] if len(ways) > 1 else ""
        label = " ".join(filter(None, (entry.attribute, way))) if len(entries) > 1 else ""
        heading = f"{label} {_initials(entry.facts.name)}" if entry.facts.name in metrics else ""
        heading += " †" if heading and entry.pursued else ""
        _draw(axes, (x, y + k * part, width, part), entry, label, heading)
    if not entries:
        axes.add_patch(Rectangle((x, y), width, height, facecolor="#ffffff", edgecolor=_GREY, linewidth=0))
        word = "refused" if key in interactions.refused else "not measured"
        _words(axes, x + width / 2, y + height / 2, word, color=_DIM)
    axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=_GREY, linewidth=0.8))
    if entries and entries[0].expected:
        _expected(axes, x + width - 0.085, y + 0.095, entries[0].expected.direction)
    if any(entry.warnings for entry in entries) and not all(entry.fixed for entry in entries):
        _words(axes, x + 0.07, y + 0.1, "!", color=_INK, weight="bold")


def _draw(axes: Axes, box: tuple[float, float, float, float], entry: Entry, label: str, heading: str) -> None:
    """One entry; its label before the change, or above it with the metric where a cell has several."""
    x, y, width, height = box
    label = "" if heading else label
    looks: dict[str, Any] = {"facecolor": "#f2f2f2", "hatch": "////"} if entry.fixed else {"facecolor": _colour(entry)}
    axes.add_patch(Rectangle((x, y), width, height, edgecolor="#b0b0b0", linewidth=0, **looks))
    middle = x + width / 2
    if entry.fixed:
        axes.add_patch(Rectangle((middle - 0.28, y + height / 2 - 0.08), 0.56, 0.16, facecolor="#f2f2f2", linewidth=0))
        _words(axes, middle, y + height / 2, f"{heading or label} =".strip(), color=_INK)
        return
    change, span = change_words(entry.change, fraction=entry.fraction)
    if span and not entry.fraction:
        span = f"[{entry.change.low:+.2g}, {entry.change.high:+.2g}]"
    mark = symbol(entry.outcome)
    if entry.outcome in ("cannot show", "not measurable"):
        span, mark = entry.outcome, ""
    first = f"{label} {change} {'' if entry.outcome == UNCERTAIN else mark}".strip()
    spans = [span] if len(span) <= _INTERVAL else span.replace(", ", ",\n").splitlines()
    lines = [line for line in (heading, first, *spans) if line]
    for k, line in enumerate(lines):
        strong = "bold" if line is first and entry.outcome in ("rises", "falls") else "normal"
        place = y + height / 2 + _LINE * 0.9 * (k - (len(lines) - 1) / 2)
        left = 0.04 if line is heading and entry.pursued else 0.0  # the dagger keeps clear of the literature's sign
        _words(axes, middle - left, place, line, color=_INK, weight=strong)


def _colour(entry: Entry) -> Any:
    """White where there is no verdict; pale where an interval leaves out zero, but seeds are too few for one."""
    harm = entry.harm
    sure = entry.outcome in ("rises", "falls")
    if not (sure or _leaning(entry)) or not math.isfinite(harm):
        return "#ffffff"
    strength = math.sqrt(min(abs(harm) / _FULL, 1)) * (1 if sure else 0.35)
    return _MAP(0.5 + math.copysign(0.08 + 0.42 * strength, harm))


def _leaning(entry: Entry) -> str:
    """Where seeds are too few for a verdict, but the interval leaves out 0: `up`, the risk would rise, or `down`."""
    return leaning(entry.change, entry.facts.harm) if entry.outcome == UNCERTAIN else ""


def _expected(axes: Axes, x: float, y: float, direction: str) -> None:
    marker = {"rises": "^", "falls": "v", "unexplored": "o"}[direction]
    size = 3.2 if direction == "unexplored" else 5
    axes.plot([x], [y], marker, markersize=size, markerfacecolor="#ffffff", markeredgecolor=_INK, markeredgewidth=0.8)


def _words(axes: Axes, x: float, y: float, text: str, **options: Any) -> None:
    settings: dict[str, Any] = {"size": _SIZE, "ha": "center", "va": "center", "color": style.INK, **options}
    axes.text(x, y, style.literal(text), **settings)


def _handles(interactions: Interactions) -> list[Any]:
    """What the legend explains: every colour and sign that some cell has."""
    entries = interactions.entries
    outcomes, colours = {entry.outcome for entry in entries}, {_leaning(entry) for entry in entries}
    expected = {entry.expected.direction for entry in entries if entry.expected}
    found: list[Any] = []
    for shown, colour, label in (
        ("rises" in outcomes, _MAP(0.85), "▲ the risk rises"),
        ("falls" in outcomes, _MAP(0.15), "▼ the risk falls"),
        ("up" in colours, _MAP(0.64), "interval without 0: risk may rise"),
        ("down" in colours, _MAP(0.36), "interval without 0: risk may fall"),
        ("" in colours and UNCERTAIN in outcomes, "#ffffff", "interval with 0, too few seeds"),
        ("no evidence" in outcomes, "#ffffff", f"{symbol('no evidence')} no evidence"),
        ("equivalent" in outcomes, "#ffffff", f"{symbol('equivalent')} too small to count"),
        (any(entry.fixed for entry in entries), "#f2f2f2", "= unchanged by construction"),
    ):
        if shown:
            hatch = "////" if label.startswith("=") else None
            found.append(Patch(facecolor=colour, edgecolor="#b0b0b0", hatch=hatch, label=label))
    look: dict[str, Any] = {"markerfacecolor": "#ffffff", "markeredgecolor": _INK, "linestyle": "none"}
    for direction, marker, size, label in (
        ("rises", "^", 5, "literature expects a rise"),
        ("falls", "v", 5, "literature expects a fall"),
        ("unexplored", "o", 3.2, "unexplored"),
    ):
        if direction in expected:
            found.append(Line2D([], [], marker=marker, markersize=size, label=label, **look))
    if any(entry.warnings for entry in entries):
        found.append(Line2D([], [], ls="none", marker="$!$", markersize=4, color=_INK, label="read its warnings"))
    return found


def _notes(interactions: Interactions) -> list[str]:
    corrected = f"; Holm-corrected over {interactions.compared} comparisons" if interactions.compared else ""
    seeds = f"paired over {format_numbers.plural(len(interactions.seeds), 'seed')}, with 95% interval{corrected}"
    described = [
        f"{interactions.title}: defended - undefended of the metric, in points; {seeds}.",
        "Symbol and colour are about the risk: it falls where robust accuracy rises. Strong colours: large changes.",
    ]
    if ways := _ways(interactions):
        described.append(ways)
    return [line for text in described for line in _lines(text, _WRAPPED)]


def _legend(axes: Axes, handles: Sequence[Any], y: float, width: float) -> None:
    axes.legend(
        handles=list(handles),
        loc="upper center",
        bbox_to_anchor=(width / 2, y),
        bbox_transform=axes.transData,
        ncols=_COLUMNS,
        frameon=False,
        fontsize=_SIZE,
        labelcolor=style.INK,
        handlelength=1.4,
        columnspacing=1.4,
        labelspacing=0.3,
    )
