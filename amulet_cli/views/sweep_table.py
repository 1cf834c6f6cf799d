"""The table that closes a sweep."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from amulet_cli.base import format_numbers
from amulet_cli.base.console import hanging, here
from amulet_cli.base.serialize import as_text, differing
from amulet_cli.results.result import CHOICES, VICTIMS, Result

_STYLES = {"done": "green", "failed": "bold red", "refused": "yellow", "unreadable": "bold red"}
_MAIN = 3  # metrics in the table of a sweep


def sweep_table(results: Sequence[Result]) -> RenderableType:
    """All jobs of a sweep: state, what they differ in, the main metrics, and where the failed ones left a log."""
    keys = differing([labels(result) for result in results])
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
    parts.append(Text(f"{format_numbers.plural(len(results), 'job')}: {summary}", style="bold"))
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


def _main_metrics(results: Sequence[Result]) -> list[str]:
    facts = {name: result.facts for result in results for row in result.metrics.values() for name in row}
    main = [name for name, its in facts.items() if its.of(name).decides or name == "test_accuracy"]
    return sorted(main, key=lambda name: (facts[name].order(name), name))[:_MAIN]


def _outcome(result: Result, name: str) -> str:
    fraction = result.facts.of(name).fraction
    values = [row[name] for victim in VICTIMS if name in (row := result.metrics.get(victim, {}))]
    return " → ".join(format_numbers.number(value, fraction=fraction, unit=False) for value in values)
