"""`amulet compare`: two runs side by side, and what differs."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from amulet_cli.analysis.comparisons import difference
from amulet_cli.base import format_numbers
from amulet_cli.base.console import aligned, headed, here, out, print_json
from amulet_cli.base.errors import UsageError
from amulet_cli.base.flags import FOLDERS, CommandLine
from amulet_cli.base.serialize import as_text, flat
from amulet_cli.results.reading import find_results, read_result
from amulet_cli.results.result import VICTIMS, Result, shaping


def command_line() -> CommandLine:
    """Two folders."""
    return CommandLine(
        """
        amulet compare RUN_A RUN_B

        Shows the settings in which two runs differ, and every metric that differs, for both victims, with the
        intervals that the records leave. A run is its folder; a folder above it will do while it holds one run.

        Options:
        --json  for a program to read

        Examples:
        amulet compare outputs/census/linearnet/none/none/4b5a6978/seed=0 more/census/linearnet/none/none  \
            the same command on two machines; the second folder holds one run

        Over several seeds use amulet report: the difference of two runs may be the seed's.
        """,
        words=(FOLDERS,),
    )


def main(words: list[str]) -> int:
    """Print what differs."""
    runs, asked = command_line().parse(words)
    if len(runs) != 2:
        raise UsageError(f"`amulet compare` takes two runs, got {len(runs)}", try_="amulet compare --help")
    a, b = _run(runs[0]), _run(runs[1])
    if "--json" in asked:
        found = {"settings": _settings(a, b), "metrics": differences(a.metrics, b.metrics)}
        found["machine"] = differences(a.environment, b.environment)
        print_json({"runs": [str(a.folder), str(b.folder)], **found})
    else:
        out.print(*_comparison(a, b), sep="\n")
    return 0


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Keys of two nested mappings whose values differ, with dots; what is absent is the string `-`.

    >>> differences({"seed": 0, "attack": {"steps": 40}}, {"seed": 1, "attack": {"steps": 40}, "epochs": 3})
    {'seed': (0, 1), 'epochs': ('-', 3)}
    """
    first, second = flat(a), flat(b)
    pairs = {key: (first.get(key, "-"), second.get(key, "-")) for key in {**first, **second}}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def _run(path: str) -> Result:
    """The one run at or below a path."""
    found = find_results([path])
    if not found:
        raise UsageError(f"There is no run in `{path}`", expected="a folder named seed=<n>, with metrics.json in it")
    if len(found) > 1:
        some = ", ".join(str(result.folder) for result in found[:3])
        raise UsageError(f"There are {len(found)} runs in `{path}`; name one of them", expected=f"such as {some}")
    return read_result(found[0].folder)


def _comparison(a: Result, b: Result) -> Iterator[RenderableType]:
    yield Text.assemble(("A  ", "bold"), here(a.folder))
    yield Text.assemble(("B  ", "bold"), here(b.folder))
    yield from _pairs("Settings", _settings(a, b), "the same settings")
    metrics, same = _metrics(a, b)
    yield from headed("Metrics that differ" if metrics else "No metric differs")
    if metrics:
        yield aligned([[Text(""), Text("A"), Text("B"), Text("B - A"), Text("")], *metrics])
        yield Text(
            "in per cent and points; the difference with its 95% interval over test records that both share",
            style="dim",
        )
    if same:
        yield Text(
            f"{same} others are the same to the last bit" if metrics else f"all {same} are the same", style="dim"
        )
    machine = differences(a.environment, b.environment)
    if machine:
        yield from _pairs("Machine", machine, "")


def _settings(a: Result, b: Result) -> dict[str, tuple[Any, Any]]:
    return differences({**shaping(a.config), "seed": a.seed}, {**shaping(b.config), "seed": b.seed})


def _pairs(title: str, pairs: Mapping[str, tuple[Any, Any]], none: str) -> Iterator[RenderableType]:
    yield from headed(title if pairs else none.capitalize())
    if pairs:
        yield aligned([[Text(f"  {key}"), Text(as_text(old)), Text(as_text(new))] for key, (old, new) in pairs.items()])


def _metrics(a: Result, b: Result) -> tuple[list[list[Text]], int]:
    """A row per victim and metric that differs, and how many do not."""
    rows: list[list[Text]] = []
    same = 0
    for victim in VICTIMS:
        first, second = a.metrics.get(victim, {}), b.metrics.get(victim, {})
        block: list[list[Text]] = []
        for name in sorted({*first, *second}, key=lambda name: (a.facts.order(name), name)):
            values = (first.get(name, math.nan), second.get(name, math.nan))
            if values[0] == values[1] or all(map(math.isnan, values)):
                same += 1
                continue
            fraction = (a if name in first else b).facts.of(name).fraction
            spans = [run.intervals.get(victim, {}).get(name) for run in (a, b)]
            change = difference((a, b), (victim, victim), name)
            cells = [
                format_numbers.with_interval(v, span, fraction=fraction) for v, span in zip(values, spans, strict=True)
            ]
            moved = format_numbers.change(values[1] - values[0], fraction=fraction)
            span = format_numbers.interval(change.low, change.high, fraction=fraction, signed=True)
            block.append([Text(f"    {name}"), *map(Text, cells), Text(f"{moved:>6}"), Text(span, style="dim")])
        if block:
            rows += [[Text(f"  {victim}", style="bold"), *[Text("")] * 4], *block]
    return rows, same
