"""The table that closes a run."""

import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from amulet.core.facts import MetricFacts
from amulet_cli.base import format_numbers
from amulet_cli.base.console import ARROWS, Command, aligned, hanging, here
from amulet_cli.base.serialize import as_text
from amulet_cli.results.result import CHOICES, VICTIMS, Result

_GOOD, _BAD = "green", "red"


def result_table(result: Result, config_dir: Path | None = None) -> RenderableType:
    """One run: undefended, defended and the change, by risk; warnings, the folder and what to do next.

    `config_dir` is the folder of the user's own options, without which the run cannot be repeated.
    """
    victims = [victim for victim in VICTIMS if victim in result.metrics]
    names = sorted({name: 0 for victim in victims for name in result.metrics[victim]}, key=result.facts.order)
    blocks: dict[str, list[list[Text]]] = {}
    for name in names:
        blocks.setdefault(result.facts.of(name).risk, []).extend(_rows(result, victims, name))
    head = [Text(""), *(Text(victim) for victim in victims)]
    head += [Text("change"), Text("")] if len(victims) > 1 else []
    widths = [max(len(row[i]) for row in chain([head], *blocks.values())) for i in range(len(head))]
    heading = " · ".join((*result.setting, f"seed {result.seed}"))
    parts: list[RenderableType] = [Text(heading, style="bold underline"), Text(), aligned([head], widths, "bold")]
    for risk, rows in blocks.items():
        parts += [Text(result.facts.heading(risk), style="bold"), aligned(rows, widths)]
    legend = "↑ ↓ the way that is worse for the victim   * decides the verdict on its risk"
    if len(victims) > 1:
        legend += "\nchange in points   ≈ the 95% intervals of the records overlap"
    parts += [Text(), Text(legend, style="dim")]
    for warning in result.warnings:
        parts += [Text(), hanging("warning  ", warning, "yellow")]
    parts += [Text(), hanging("results  ", here(result.folder))]
    parts += [Command("next     ", command) for command in next_commands(result, config_dir)]
    return Group(*parts)


def marked_name(name: str, facts: MetricFacts) -> str:
    """A metric with its marks: a star where it decides its risk, an arrow the way that is worse for the victim."""
    return f"{'*' if facts.decides else ' '} {name}{ARROWS[facts.worse]}"


def _rows(result: Result, victims: Sequence[str], name: str) -> list[list[Text]]:
    """A metric's row, and the row of its baselines if it has any."""
    info = result.facts.of(name)
    values = [result.metrics[victim].get(name, math.nan) for victim in victims]
    spans = [result.intervals.get(victim, {}).get(name) for victim in victims]
    row = [Text(marked_name(name, info), style="bold" if info.decides else "")]
    for value, span in zip(values, spans, strict=True):
        cell = Text(format_numbers.number(value, fraction=info.fraction))
        if span and (bounds := format_numbers.interval(*span, fraction=info.fraction)):
            cell.append(f" {bounds}", style="dim")
        row.append(cell)
    if len(victims) > 1:
        row += _change(info, values, spans)
    rows = [row]
    bases = [result.baselines.get(victim, {}).get(name, math.nan) for victim in victims]
    if not all(map(math.isnan, bases)):
        cells = ["    baseline", *(format_numbers.number(base, fraction=info.fraction) for base in bases)]
        rows.append([Text(cell, style="dim") for cell in cells] + [Text("")] * (len(row) - len(cells)))
    return rows


def _change(
    info: MetricFacts, values: Sequence[float], spans: Sequence[tuple[float, float] | None]
) -> tuple[Text, Text]:
    """The difference right-aligned in its column, and in words what it means for the victim."""
    difference = values[1] - values[0]
    text = Text(f"{format_numbers.change(difference, fraction=info.fraction):>6}")
    first, second = spans
    if math.isnan(difference) or not info.worse or difference == 0:
        return text, Text("")
    if intervals_overlap(first, second):
        return text, Text("≈", style="dim")
    bad = (difference > 0) == (info.worse == "higher")
    return text, Text("worse" if bad else "better", style=_BAD if bad else _GOOD)


def intervals_overlap(first: tuple[float, float] | None, second: tuple[float, float] | None) -> bool:
    """Whether both are there and have a point in common.

    >>> intervals_overlap((0.1, 0.2), (0.2, 0.3)), intervals_overlap((0.1, 0.2), None)
    (True, False)
    """
    return bool(first and second and first[0] <= second[1] and second[0] <= first[1])


def next_commands(result: Result, config_dir: Path | None = None) -> list[list[str]]:
    """What is worth doing after one run, as words: the same over ten seeds, and the table of all seeds."""
    choices = {key: result.choices[key] for key in CHOICES if result.choices.get(key, "none") != "none"}
    settings = {key: value for key, value in result.overrides.items() if key not in (*choices, "seed")}
    words = [f"{key}={'null' if value is None else as_text(value)}" for key, value in {**choices, **settings}.items()]
    flags = ["-m"] if config_dir is None else ["--config-dir", here(config_dir), "-m"]
    return [
        ["amulet", "run", *flags, *words, "seed=range(0,10)"],
        ["amulet", "report", here(result.folder.parent)],
    ]
