"""The two consoles, and the tables that close a run and a sweep."""

import math
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amulet_cli import numbers
from amulet_cli.plain import as_text
from amulet_cli.results import CHOICES, VICTIMS, Result

if TYPE_CHECKING:
    from amulet.interactions.harm import MetricInfo

_NO_TERMINAL = 120  # columns where nobody says how many there are
_STYLES = {"done": "green", "failed": "bold red", "refused": "yellow", "unreadable": "bold red"}
_GOOD, _BAD = "green", "red"
ARROWS = {"higher": " ↑", "lower": " ↓", "": ""}
_MAIN = 3  # metrics in the table of a sweep


def _console(*, stderr: bool) -> Console:
    """Width and colour as the terminal, COLUMNS and NO_COLOR have them; else no colour, and room for a table."""
    return Console(stderr=stderr, highlight=False, emoji=False, width=None if _knows_width() else _NO_TERMINAL)


def _knows_width() -> bool:
    if os.environ.get("COLUMNS", "").isdigit():
        return True
    for stream in (0, 1, 2):
        try:
            os.get_terminal_size(stream)
        except (OSError, ValueError):
            continue
        return True
    return False


out = _console(stderr=False)
"""What was asked for: tables, lists."""
err = _console(stderr=True)
"""What happens meanwhile: progress, notes, mistakes."""


def result_table(result: Result, config_dir: Path | None = None) -> RenderableType:
    """One run: undefended, defended and the change, by risk; warnings, the folder and what to do next.

    `config_dir` is the folder of the user's own options, without which the run cannot be repeated.
    """
    from amulet.interactions.harm import metric_info, order, title

    victims = [victim for victim in VICTIMS if victim in result.metrics]
    names = sorted(dict.fromkeys(name for victim in victims for name in result.metrics[victim]), key=order)
    blocks: dict[str, list[list[Text]]] = {}
    for name in names:
        blocks.setdefault(metric_info(name).risk, []).extend(_rows(result, victims, name))
    head = [Text(""), *(Text(victim) for victim in victims)]
    head += [Text("change"), Text("")] if len(victims) > 1 else []
    widths = [max(len(row[i]) for row in chain([head], *blocks.values())) for i in range(len(head))]
    heading = " · ".join((*result.setting, f"seed {result.seed}"))
    parts: list[RenderableType] = [Text(heading, style="bold underline"), Text(), aligned([head], widths, "bold")]
    for risk, rows in blocks.items():
        parts += [Text(title(risk), style="bold"), aligned(rows, widths)]
    legend = "↑ ↓ the way that is worse for the victim   * decides the verdict on its risk"
    if len(victims) > 1:
        legend += "\nchange in points   ≈ the 95% intervals of the records overlap"
    parts += [Text(), Text(legend, style="dim")]
    for warning in result.warnings:
        parts += [Text(), hanging("warning  ", warning, "yellow")]
    parts += [Text(), hanging("results  ", here(result.folder))]
    parts += [Command("next     ", command) for command in next_commands(result, config_dir)]
    return Group(*parts)


def _rows(result: Result, victims: Sequence[str], name: str) -> list[list[Text]]:
    """A metric's row, and the row of its baselines if it has any."""
    from amulet.interactions.harm import metric_info

    info = metric_info(name)
    values = [result.metrics[victim].get(name, math.nan) for victim in victims]
    spans = [result.intervals.get(victim, {}).get(name) for victim in victims]
    row = [Text(f"{'*' if info.primary else ' '} {name}{ARROWS[info.worse]}", style="bold" if info.primary else "")]
    for value, span in zip(values, spans, strict=True):
        cell = Text(numbers.number(value, fraction=info.fraction))
        if span and (bounds := numbers.interval(*span, fraction=info.fraction)):
            cell.append(f" {bounds}", style="dim")
        row.append(cell)
    if len(victims) > 1:
        row += _change(info, values, spans)
    rows = [row]
    bases = [result.baselines.get(victim, {}).get(name, math.nan) for victim in victims]
    if not all(map(math.isnan, bases)):
        cells = ["    baseline", *(numbers.number(base, fraction=info.fraction) for base in bases)]
        rows.append([Text(cell, style="dim") for cell in cells] + [Text("")] * (len(row) - len(cells)))
    return rows


def _change(
    info: "MetricInfo", values: Sequence[float], spans: Sequence[tuple[float, float] | None]
) -> tuple[Text, Text]:
    """The difference right-aligned in its column, and in words what it means for the victim."""
    difference = values[1] - values[0]
    text = Text(f"{numbers.change(difference, fraction=info.fraction):>6}")
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


def aligned(rows: Sequence[Sequence[Text]], widths: Sequence[int], style: str = "") -> RenderableType:
    """Rows in columns of the same widths as those of other calls."""
    grid = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
        grid.add_column(min_width=width, style=style, overflow="fold")
    for row in rows:
        grid.add_row(*row)
    return grid


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


class Command:
    """A command that can be copied from the console: broken only between words, as the shell wants it."""

    def __init__(self, label: str, words: Sequence[str]) -> None:
        self.label, self.words = label, [shlex.quote(word) for word in words]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        indent, lines = " " * len(self.label), [""]
        for word in self.words:
            if lines[-1] and len(indent) + len(lines[-1]) + len(word) + 3 > options.max_width:
                lines.append(f"  {word}")
            else:
                lines[-1] += f" {word}" if lines[-1] else word
        command = f" \\\n{indent}".join(lines)  # nothing may follow the backslash: no table, which would pad
        yield Text.assemble((self.label, "bold"), (command, "cyan"), overflow="fold")


def here(folder: Path) -> str:
    """A folder as seen from the working directory, where it is below it."""
    path, here = folder.absolute(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def hanging(label: str, text: str, style: str = "") -> RenderableType:
    """A label and a text that stays to the right of it over all its lines."""
    grid = Table.grid()
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row(Text(label, style=style or "bold"), Text(text))
    return grid


def sweep_table(results: Sequence[Result]) -> RenderableType:
    """All jobs of a sweep: state, what they differ in, the main metrics, and where the failed ones left a log."""
    keys = varying([labels(result) for result in results])
    names = _main_metrics(results)
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("state")
    for key in keys:
        table.add_column(key, justify="right", overflow="fold")
    for name in names:
        table.add_column(name, justify="right", overflow="fold")
    failed: list[Result] = []
    for result in results:
        row = labels(result)
        cells = [_outcome(result, name) for name in names]
        table.add_row(
            Text(result.state, style=_STYLES.get(result.state, "dim")),
            *(row.get(k, "") for k in keys),
            *cells,
        )
        if result.reason:
            failed.append(result)
    count = Counter(result.state for result in results)
    summary = ", ".join(f"{n} {state}" for state, n in count.items())
    parts: list[RenderableType] = [table, Text()]
    if names:
        parts.append(Text("undefended → defended, in per cent", style="dim"))
    parts.append(Text(f"{numbers.plural(len(results), 'job')}: {summary}", style="bold"))
    for result in failed:
        row = labels(result)
        what = " ".join(f"{key}={row[key]}" for key in keys if row.get(key))
        parts += [Text(), hanging(f"{result.state}  ", what, _STYLES.get(result.state, "bold"))]
        parts.append(Padding(Text(result.reason.strip()), (0, 0, 0, 4)))
        if result.state != "refused":
            parts.append(hanging("    log  ", here(result.log), "dim"))
    return Group(*parts)


def labels(result: Result) -> dict[str, str]:
    """All that can tell two runs apart: choices, overrides and the seed, as text."""
    chosen = {key: as_text(result.choices[key]) for key in CHOICES if key in result.choices}
    others = {key: as_text(value) for key, value in result.overrides.items() if key not in chosen}
    return {**chosen, **others, "seed": str(result.seed)}


def varying(rows: Sequence[dict[str, str]]) -> list[str]:
    """The keys whose values differ among the rows; an absent key is a value too.

    >>> varying([{"a": "1", "b": "2"}, {"a": "1", "b": "3"}])
    ['b']
    """
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if len({row.get(key) for row in rows}) > 1]


def _main_metrics(results: Sequence[Result]) -> list[str]:
    from amulet.interactions.harm import metric_info, order

    names = {name for result in results for row in result.metrics.values() for name in row}
    main = [name for name in names if metric_info(name).primary or name == "test_accuracy"]
    return sorted(main, key=lambda name: (order(name), name))[:_MAIN]


def _outcome(result: Result, name: str) -> str:
    from amulet.interactions.harm import metric_info

    fraction = metric_info(name).fraction
    values = [row[name] for victim in VICTIMS if name in (row := result.metrics.get(victim, {}))]
    return " → ".join(numbers.number(value, fraction=fraction, unit=False) for value in values)
