"""The page's tables: per setting what decides, all metrics, every seed's value, and what was warned of."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import label_words, named, option_names, row_title
from amulet_cli.analysis.outcomes import symbol
from amulet_cli.analysis.rows import Row, RunGroup, groups_of
from amulet_cli.analysis.warnings import pattern
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.report_tables import label_keys, sections
from amulet_cli.views.row_numbers import row_numbers

if TYPE_CHECKING:
    from amulet.assessment.verdict import Verdict

_COMMON_WORD = "loss"  # a score of membership inference, and in every other warning of training


@dataclass(frozen=True, kw_only=True)
class Line:
    """One metric of one cell, as it is shown."""

    metric: str
    title: str
    """The metric in words, with its budget."""
    primary: bool
    worse: str
    labels: tuple[str, ...]
    victims: tuple[str, ...]
    baseline: str
    change: str
    interval: str
    n: int
    verdict: str
    mark: str
    detail: str
    """p-value and what could have been seen."""
    warnings: tuple[str, ...]
    notes: tuple[int, ...]
    """Numbers of the section's warnings that name this metric."""
    seeds: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True, kw_only=True)
class Warned:
    """One warning, however many runs gave it."""

    number: int
    text: str
    where: str


@dataclass(frozen=True, kw_only=True)
class Section:
    """One setting."""

    name: str
    title: str
    """The setting by its options."""
    heading: str
    """The setting in words."""
    fixed: str
    """What was set the same in all of it, where other settings differ."""
    keys: tuple[str, ...]
    deciding: tuple[Line, ...]
    others: tuple[Line, ...]
    seeds: tuple[int, ...]
    warnings: tuple[Warned, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of them."""
        return (*self.deciding, *self.others)


def sections_of(report: Report, *, every_metric: bool = True) -> list[Section]:
    """The report cut by setting.

    Args:
        report: what is shown.
        every_metric: also those that do not decide on a risk.
    """
    found: list[Section] = []
    keys, names = label_keys(report, "metric"), option_names(row.cell for row in report.rows)
    for index, (title, blocks) in enumerate(sections(report, "metric"), start=1):
        rows = [row for block in blocks.values() for row in block]
        values = {key: {as_text(row.cell.labels.get(key)) for row in rows} for key in keys}
        used = tuple(key for key in keys if len(values[key]) > 1)
        fixed = [f"{key} {value}" for key in keys if len(values[key]) == 1 and (value := values[key].copy().pop())]
        cells = groups_of(rows)
        warnings = list(_warnings(cells, used))
        lines = [_line(row, used, warnings) for row in rows]
        deciding = [line for line in lines if _decides(line)] or lines
        found.append(
            Section(
                name=f"setting-{index}",
                title=title,
                heading=named(title, names),
                fixed=", ".join(word for word in fixed if "_target_" not in word),
                keys=used,
                deciding=tuple(deciding),
                others=tuple(line for line in lines if not _decides(line))
                if every_metric and deciding != lines
                else (),
                seeds=tuple(sorted({seed for cell in cells for seed in cell.runs})),
                warnings=tuple(warnings),
            )
        )
    return found


def _decides(line: Line) -> bool:
    return line.primary or line.metric == "test_accuracy"


def verdict_detail(verdict: "Verdict", *, fraction: bool) -> str:
    """The p-value, and what could have been seen."""
    if verdict.outcome == "unchanged by construction":
        return "the defence alters no weight"
    parts = [] if math.isnan(verdict.p_value) else [f"p {verdict.p_value:.2g}"]
    if math.isfinite(verdict.detectable):
        parts.append(f"sees {format_numbers.number(verdict.detectable, fraction=fraction, unit=False)} or more")
    if verdict.reason:
        parts = [verdict.reason]
    return ", ".join(parts)


def _line(row: Row, keys: Sequence[str], warnings: Sequence[Warned]) -> Line:
    info, numbers, verdict = row.facts, row_numbers(row), row.verdict
    fraction = info.fraction
    bases = [format_numbers.number(row.baseline(victim), fraction=fraction, unit=False) for victim in VICTIMS]
    seeds = {
        victim: {
            seed: format_numbers.number(value, fraction=fraction, unit=False)
            for seed, value in row.values[victim].items()
        }
        for victim in VICTIMS
        if row.values[victim]
    }
    return Line(
        metric=row.metric,
        title=row_title(row),
        primary=info.decides,
        worse=info.worse,
        labels=tuple(as_text(row.cell.labels.get(key)) for key in keys),
        victims=numbers.victims,
        baseline=" / ".join(dict.fromkeys(base for base in bases if base != "-")),
        change=numbers.change,
        interval=numbers.interval,
        n=numbers.n,
        verdict=verdict.outcome if verdict else "",
        mark=symbol(verdict.outcome) if verdict else "",
        detail=verdict_detail(verdict, fraction=fraction) if verdict else "",
        warnings=row.warnings,
        notes=tuple(warned.number for warned in warnings if _names(warned.text, row)),
        seeds=seeds,
    )


def _names(text: str, row: Row) -> bool:
    """Whether a warning speaks of a metric: by its name, or by the attribute or score that it is about."""
    facts, words = row.facts, set(re.findall(r"[\w.]*\w", text))
    about = {value for key, value in facts.subject.items() if key in ("attribute", "score")} - {_COMMON_WORD}
    return bool({row.metric, facts.name, *about} & words)


def _warnings(cells: Sequence[RunGroup], keys: Sequence[str]) -> Iterator[Warned]:
    """Every warning once, in the words of the first run that gave it: texts that differ in numbers alone are one."""
    found: dict[str, tuple[str, list[tuple[RunGroup, int]]]] = {}
    for cell in cells:
        for seed, run in cell.runs.items():
            patterns = {pattern(text): text for text in reversed(run.warnings)}
            for kind in reversed(patterns):
                found.setdefault(kind, (patterns[kind], []))[1].append((cell, seed))
    total = sum(len(cell.runs) for cell in cells)
    for index, (text, places) in enumerate(found.values(), start=1):
        yield Warned(number=index, text=text, where=_where(places, total, keys))


def _where(places: Sequence[tuple[RunGroup, int]], total: int, keys: Sequence[str]) -> str:
    if total == 1:
        return ""
    if len(places) == total:
        return f"in all {total} runs; the numbers are the first's" if total > 1 else ""
    cell, seed = places[0]
    first = ", ".join((*label_words(cell.labels, keys), f"seed {seed}"))
    return f"in {len(places)} of {total} runs, first in {first}"
