"""The table that closes a run."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from amulet.core.facts import MetricFacts
from amulet_cli.analysis.comparisons import change_of
from amulet_cli.analysis.deciding import suites_of
from amulet_cli.analysis.in_words import in_words
from amulet_cli.analysis.rows import RunGroup, change_words
from amulet_cli.base import format_numbers
from amulet_cli.base.console import ARROWS, Command, aligned, hanging, here
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    from amulet.assessment.crossed import Change

_WIDE = 110
_GOOD, _BAD = "green", "red"


def result_table(
    result: Result, words: Sequence[str] = (), config_dir: Path | None = None, width: int = 120
) -> RenderableType:
    """One run: undefended, defended and the change, by risk; warnings, the folder and what to do next.

    Args:
        result: the run.
        words: of the command that asked for it, to be given again.
        config_dir: the folder of the user's own options, without which the run cannot be repeated.
        width: of the console in columns; below 110 intervals have a line of their own.
    """
    victims = [victim for victim in VICTIMS if victim in result.metrics]
    names = sorted({name: 0 for victim in victims for name in result.metrics[victim]}, key=result.facts.order)
    blocks: dict[str, list[list[Text]]] = {}
    for name in names:
        blocks.setdefault(result.facts.of(name).risk, []).extend(_rows(result, victims, name, wide=width >= _WIDE))
    head = ["", *victims, *(["change", ""] if len(victims) > 1 else [])]
    heading = " · ".join((*result.setting, f"seed {result.seed}"))
    headed = {result.facts.heading(risk): rows for risk, rows in blocks.items()}
    parts = [Text(heading, style="bold underline"), Text(), *in_blocks([*map(Text, head)], headed)]
    legend = "↑ ↓ the way that is worse for the victim   * decides the verdict on its risk"
    if any(map(result.facts.pursued, names)):
        legend += "   † what the defence sets out to improve"
    if len(victims) > 1:
        legend += "\nchange in points, with its 95% interval over the test records: both victims answer the same ones"
        legend += "\n≈ 0 is in that interval   better, worse: for the victim, on this seed"
    parts += [Text(), Text(legend, style="dim"), *_suites(result)]
    for warning in result.warnings:
        parts += [Text(), hanging("warning  ", warning, "yellow")]
    told = in_words(result, {name: _told(result, name) for name in names}) if len(victims) > 1 else ""
    parts += [Text(), hanging("in words ", told)] if told else []
    parts += [Text(), hanging("results  ", here(result.folder))]
    parts += [Command("next     ", command) for command in next_commands(result, words, config_dir)]
    return Group(*parts)


def _told(result: Result, name: str) -> tuple[str, str]:
    """A change and what it means, as plain text."""
    change, _, word = change_cells(result, name)
    return change.plain.strip(), word.plain


def _suites(result: Result) -> list[RenderableType]:
    """For each suite, the attack that its number is from."""
    lines = [hanging("suite    ", line) for line in suites_of(RunGroup(labels={}, runs={0: result})).values()]
    return [Text(), *lines] if lines else []


def widths_of(head: Sequence[Text], blocks: Mapping[str, Sequence[Sequence[Text]]]) -> list[int]:
    """The width of each column."""
    return [max(map(len, column)) for column in zip(head, *chain.from_iterable(blocks.values()), strict=True)]


def in_blocks(
    head: Sequence[Text], blocks: Mapping[str, Sequence[Sequence[Text]]], style: str = "bold"
) -> Iterator[RenderableType]:
    """A head, and rows below the headings of their blocks, all in the same columns."""
    widths = widths_of(head, blocks)
    yield aligned([head], widths, "bold")
    for heading, rows in blocks.items():
        if heading:
            yield Text(heading, style=style)
        yield aligned(rows, widths)


def marked_name(name: str, facts: MetricFacts) -> str:
    """A metric with its marks: a star where it decides its risk, its budget, an arrow the way that is worse."""
    return f"{'*' if facts.decides else ' '} {at_budget(name, facts.at)}{ARROWS[facts.worse]}"


def at_budget(name: str, at: str) -> str:
    """A metric with the budget at which it was measured.

    >>> at_budget("robust_accuracy", "eps 0.05"), at_budget("fidelity", "")
    ('robust_accuracy (eps 0.05)', 'fidelity')
    """
    return f"{name} ({at})" if at else name


def _rows(result: Result, victims: Sequence[str], name: str, *, wide: bool) -> list[list[Text]]:
    """A metric's row with its intervals, which are in a row of their own if not `wide`; then its baselines."""
    info = result.facts.of(name)
    pursued = " †" if result.facts.pursued(name) else ""
    row = [Text(marked_name(name, info) + pursued, style="bold" if info.decides else "")]
    spans = [result.intervals.get(victim, {}).get(name) for victim in victims]
    below = [format_numbers.interval(*span, fraction=info.fraction) if span else "" for span in spans]
    row += [
        Text(format_numbers.number(result.metrics[victim].get(name, math.nan), fraction=info.fraction))
        for victim in victims
    ]
    if len(victims) > 1:
        change, span, word = change_cells(result, name)
        row += [change, word]
        below.append(span)
    rows = [row]
    if wide:
        for cell, text in zip(row[1:], below, strict=False):
            cell.append(f" {text}" if text else "", style="dim")
    elif any(below):
        rows.append([Text("    95% interval", style="dim"), *(Text(text, style="dim") for text in below)])
    bases = [result.baseline(victim, name) for victim in victims]
    if not all(map(math.isnan, bases)):
        cells = ["    baseline", *(format_numbers.number(base, fraction=info.fraction) for base in bases)]
        rows.append([Text(cell, style="dim") for cell in cells])
    return [[*cells, *[Text("")] * (len(row) - len(cells))] for cells in rows]


def change_cells(result: Result, name: str) -> tuple[Text, str, Text]:
    """The difference right-aligned in its column, its interval, and what it means for the victim."""
    found, info = change_of(result, name), result.facts.of(name)
    if found is None or math.isnan(found[0].mean):
        return Text(f"{'-':>6}"), "", Text("not measurable" if found and found[1] else "", style="dim")
    change, reason = found
    amount, span = change_words(change, fraction=info.fraction)
    text = Text(f"{amount:>6}")
    if reason and info.worse:
        return text, span, Text("not measurable" if result.facts.collapsed else "cannot show", style="yellow")
    return text, span, judged_word(change, info)


def judged_word(change: "Change", info: MetricFacts) -> Text:
    """What a change means for the victim: `better` or `worse` where its interval leaves out 0."""
    if not info.worse or not (math.isfinite(change.low) and math.isfinite(change.high)):
        return Text("")
    if change.low <= 0 <= change.high:
        return Text("≈", style="dim")
    bad = (change.mean > 0) == (info.worse == "higher")
    return Text("worse" if bad else "better", style=_BAD if bad else _GOOD)


def next_commands(result: Result, words: Sequence[str], config_dir: Path | None = None) -> list[list[str]]:
    """What is worth doing after one run, as words: of a trial the same in earnest; else over ten seeds, and a table."""
    kept = [word for word in words if word.partition("=")[0] not in ("seed", "++trial")]
    flags = [] if config_dir is None else ["--config-dir", here(config_dir)]
    if result.trial:
        return [["amulet", "run", *flags, *kept]]
    return [
        ["amulet", "run", *flags, "-m", *kept, "seed=range(0,10)"],
        ["amulet", "report", here(result.folder.parent)],
    ]
