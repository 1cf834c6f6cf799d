"""What closes a sweep: means over seeds, verdicts, what went wrong, and the next command."""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from amulet_cli.analysis.groups import aggregate
from amulet_cli.base import format_numbers
from amulet_cli.base.console import Command, hanging, here
from amulet_cli.base.serialize import as_text, differing
from amulet_cli.results.result import CHOICES, Result
from amulet_cli.views.report_tables import LEGEND, section_tables, verdict_lines

_STYLES = {"done": "green", "failed": "bold red", "refused": "yellow", "unreadable": "bold red"}


def sweep_table(results: Sequence[Result], width: int = 80, *, means: bool = True) -> RenderableType:
    """A sweep for a console of `width` columns: means over seeds if asked, and jobs without a result."""
    parts: list[RenderableType] = []
    names = _main_metrics(results) if means else []
    if names:
        report = aggregate(results, names)
        parts += [*section_tables(report, width=width), Text(LEGEND, style="dim"), *verdict_lines(report, width)]
        parts.append(Text())
    count = Counter(result.state for result in results)
    summary = ", ".join(f"{n} {state}" for state, n in count.items())
    parts.append(Text(f"{format_numbers.plural(len(results), 'job')}: {summary}", style="bold"))
    parts += _without_result(results)
    if names:
        folder = os.path.commonpath([result.folder.parent.absolute() for result in results if result.finished])
        parts += [Text(), Command("next     ", ["amulet", "report", here(Path(folder))])]
    return Group(*parts)


def labels(result: Result) -> dict[str, str]:
    """All that can tell two runs apart: choices, overrides and the seed, as text."""
    chosen = {key: as_text(result.choices[key]) for key in CHOICES if key in result.choices}
    others = {key: as_text(value) for key, value in result.overrides.items() if key not in chosen}
    return {**chosen, **others, "seed": str(result.seed)}


def _without_result(results: Sequence[Result]) -> Iterator[RenderableType]:
    """What distinguishes each of them, why there is no result, and where the log is."""
    keys = differing([labels(result) for result in results])
    for result in results:
        if not result.reason:
            continue
        row = labels(result)
        what = " ".join(f"{key}={row[key]}" for key in keys if row.get(key))
        yield Text()
        yield hanging(f"{result.state}  ", what, _STYLES.get(result.state, "bold"))
        yield Padding(Text(result.reason.strip()), (0, 0, 0, 4))
        if result.state != "refused":
            yield hanging("    log  ", here(result.log), "dim")


def _main_metrics(results: Sequence[Result]) -> list[str]:
    """What decides on a risk, and how useful the victims are."""
    facts = {name: result.facts for result in results for name in result.names}
    return [name for name, its in facts.items() if its.of(name).decides or name == "test_accuracy"]
