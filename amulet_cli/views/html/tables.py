"""The page's tables: per setting what decides, all metrics, every seed's value, and what was warned of."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import label_words, named, row_title
from amulet_cli.analysis.rows import Row, RunGroup, groups_of
from amulet_cli.analysis.warnings import gathered
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.report_tables import label_keys, sections
from amulet_cli.views.row_numbers import RowNumbers, row_numbers

if TYPE_CHECKING:
    from amulet.assessment.verdict import Verdict

_COMMON_WORD = "loss"  # a score of membership inference, and in every other warning of training


@dataclass(frozen=True, kw_only=True)
class Line:
    """One metric of one cell, as it is shown."""

    row: Row
    title: str
    """The metric in words, with its budget."""
    labels: tuple[str, ...]
    numbers: RowNumbers
    detail: str
    """p-value and what could have been seen."""
    notes: tuple[int, ...]
    """Numbers of the section's warnings that name this metric."""

    @property
    def seeds(self) -> Mapping[str, Mapping[int, str]]:
        """By victim and seed the value."""
        fraction = self.row.facts.fraction
        return {
            victim: {
                s: format_numbers.number(x, fraction=fraction, unit=False) for s, x in self.row.values[victim].items()
            }
            for victim in VICTIMS
            if self.row.values[victim]
        }


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
    deciding: Sequence[Line]
    others: Sequence[Line]
    seeds: Sequence[int]
    warnings: Sequence[tuple[str, str]]
    """Each with the runs that gave it, however many."""

    @property
    def lines(self) -> tuple[Line, ...]:
        """All of them."""
        return (*self.deciding, *self.others)

    @property
    def model(self) -> str:
        """Data set and model."""
        return " · ".join(self.heading.split(" · ")[:2])


def sections_of(report: Report, *, every_metric: bool = True) -> list[Section]:
    """The report cut by setting.

    Args:
        report: what is shown.
        every_metric: also those that do not decide on a risk.
    """
    found: list[Section] = []
    for index, (title, blocks) in enumerate(sections(report, "metric"), start=1):
        rows = [row for block in blocks.values() for row in block]
        cells = groups_of(rows)
        values = {
            key: list(dict.fromkeys(as_text(cell.labels.get(key)) for cell in cells))
            for key in label_keys(report, "metric")
        }
        used = tuple(key for key, its in values.items() if len(its) > 1)
        fixed = [f"{key} {its[0]}" for key, its in values.items() if its[0] and not its[1:] and "_target_" not in key]
        warnings = _warnings(cells, used)
        deciding, others = (
            [_line(row, used, warnings) for row in rows if _decides(row) == wanted] for wanted in (True, False)
        )
        found.append(
            Section(
                name=f"setting-{index}",
                title=title,
                heading=named(title, report.names),
                fixed=", ".join(fixed),
                keys=used,
                deciding=deciding or others,
                others=others if every_metric and deciding else (),
                seeds=sorted({seed for cell in cells for seed in cell.runs}),
                warnings=warnings,
            )
        )
    return found


def _decides(row: Row) -> bool:
    return row.facts.decides or row.metric == "test_accuracy"


def verdict_detail(verdict: "Verdict", *, fraction: bool) -> str:
    """The p-value, and what could have been seen."""
    if verdict.outcome == "unchanged by construction":
        return "the defence alters no weight"
    parts = [] if math.isnan(verdict.p_value) else [f"p {verdict.p_value:.2g}"]
    if math.isfinite(verdict.detectable):
        parts.append(f"sees {format_numbers.number(verdict.detectable, fraction=fraction, unit=False)} or more")
    return verdict.reason or ", ".join(parts)


def _line(row: Row, keys: Sequence[str], warnings: Sequence[tuple[str, str]]) -> Line:
    return Line(
        row=row,
        title=row_title(row),
        labels=tuple(as_text(row.cell.labels.get(key)) for key in keys),
        numbers=row_numbers(row),
        detail=verdict_detail(row.verdict, fraction=row.facts.fraction) if row.verdict else "",
        notes=tuple(number for number, (text, _) in enumerate(warnings, start=1) if _names(text, row)),
    )


def _names(text: str, row: Row) -> bool:
    """Whether a warning speaks of a metric: by its name, or by the attribute or score that it is about."""
    facts, words = row.facts, set(re.findall(r"[\w.]*\w", text))
    about = {value for key, value in facts.subject.items() if key in ("attribute", "score")} - {_COMMON_WORD}
    return bool({row.metric, facts.name, *about} & words)


def _warnings(cells: Sequence[RunGroup], keys: Sequence[str]) -> list[tuple[str, str]]:
    """Every warning once, with the runs that gave it."""
    runs = [(cell, seed) for cell in cells for seed in cell.runs]
    found = gathered(("", text, i) for i, (cell, seed) in enumerate(runs) for text in cell.runs[seed].warnings)
    return [(text, _where([runs[i] for i in places], len(runs), keys)) for _, text, places in found]


def _where(places: Sequence[tuple[RunGroup, int]], total: int, keys: Sequence[str]) -> str:
    if len(places) == total:
        return f"in all {total} runs; the numbers are the first's" if total > 1 else ""
    cell, seed = places[0]
    first = ", ".join((*label_words(cell.labels, keys), f"seed {seed}"))
    return f"in {len(places)} of {total} runs, first in {first}"
