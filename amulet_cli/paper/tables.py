"""The paper's tables, ours beside the paper's, cell by cell."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from amulet_cli.analysis.groups import aggregate
from amulet_cli.analysis.rows import Row, RunGroup
from amulet_cli.analysis.warnings import warnings_of
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.serialize import as_text, flat, tidy_csv
from amulet_cli.paper.layouts import FIGURES, FIRST, LAYOUTS, Column, Layout
from amulet_cli.paper.origin import Origin, origin_of
from amulet_cli.paper.variants import variants
from amulet_cli.results.result import Result

if TYPE_CHECKING:
    from amulet.assessment.verdict import Summary

RUNS = 10
"""Over how many runs the paper averages."""
BEYOND = 2.0
"""From how many combined errors a difference needs an explanation."""
_HALF_A_DIGIT = 0.005
"""The paper prints two decimals: an error of 0.00 is no more than this."""


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """A number of the paper and ours, in the paper's unit: per cent, or as they are for an AUC and an MSE."""

    setting: str
    column: str
    mean: float
    error: float
    """The paper's plus-minus; NaN where it gives none."""
    source: str
    note: str = ""
    scale: float = 100.0
    """From ours to the paper's unit."""
    comparable: bool = True
    """Whether it is a number of the same data; else it stands there for orientation."""
    ours: "Summary | None" = None
    """As fractions; None where there is no run."""
    by_seed: Mapping[int, float] = field(default_factory=dict[int, float])
    warnings: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Ours minus the paper's, in the paper's unit; points for per cent."""
        return self.scale * self.ours.mean - self.mean if self.ours and self.comparable else math.nan

    def distance(self, reading: str) -> float:
        """The difference in combined errors, sqrt(ours^2 + theirs^2); NaN where we have a single seed.

        Args:
            reading: `se`: the paper's plus-minus is a standard error; `sd`: a standard deviation over ten runs.
        """
        printed = self.error if math.isnan(self.error) else max(self.error, _HALF_A_DIGIT)
        theirs = printed if reading == "se" else printed / math.sqrt(RUNS)
        combined = math.hypot(self.scale * self.ours.error, theirs) if self.ours else math.nan
        return abs(self.difference) / combined if combined else math.nan


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One data set's part of a table, with one variant of our runs."""

    name: str
    title: str
    cells: Sequence[PaperCell]
    dataset: str = ""
    variant: str = ""
    """What tells it from other variants on the same data; empty for the only one."""
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Its settings, with dotted keys."""
    origin: Origin = field(default_factory=lambda: Origin(words=""))
    """The experiment and the size of our runs."""

    def count(self, reading: str) -> tuple[int, int]:
        """How many cells lie within two combined errors, of how many that can be compared."""
        distances = [cell.distance(reading) for cell in self.cells]
        known = [distance for distance in distances if not math.isnan(distance)]
        return sum(distance <= BEYOND for distance in known), len(known)


def compare(name: str, results: Sequence[Result]) -> list[PaperTable]:
    """The paper's table beside each variant of our runs that it is about.

    Raises:
        UsageError: there is no such table here, or no run that belongs to it.
    """
    name = FIGURES[name][0] if name in FIGURES else name
    if name not in LAYOUTS:
        known = sorted((*LAYOUTS, *FIGURES, "table5"))
        raise UsageError(f"`--paper` must be one of {', '.join(known)}; got {name}", meant=similar(name, known))
    layout, lines = LAYOUTS[name], printed(name)
    theirs = {layout.stand_ins.get(line["dataset"], line["dataset"]): line["dataset"] for line in lines}
    ours = [result for result in results if _belongs(result, layout, theirs)]
    if not any(result.finished for result in ours):
        attacks = ", ".join(sorted(layout.attacks))
        raise UsageError(
            f"No finished run here belongs to {layout.title}",
            expected=f"defense={layout.defense} attack={attacks} on {', '.join(sorted(theirs))}",
            try_=layout.commands,
        )
    report = aggregate(ours)
    tables: list[PaperTable] = []
    for variant in variants(report, layout):
        # Of a data set that the paper has no numbers for, its others stand beside ours for orientation.
        paper = theirs.get(variant.dataset)
        fitting = [line for line in lines if line["dataset"] == paper] if paper else _oriented(lines, variant.models)
        cells = [_cell(line, layout, variant.rows, comparable=paper == variant.dataset) for line in fitting]
        origin = origin_of(variant.rows)
        names = (layout.title, variant.dataset, "+".join(variant.models), variant.words)
        title = " · ".join(filter(None, (*names, origin.other_size and "ours not of the paper's size")))
        tables.append(
            PaperTable(
                name=name,
                title=title,
                cells=cells,
                dataset=variant.dataset,
                variant=variant.words,
                config=variant.config,
                origin=origin,
            )
        )
    return [table for table in tables if any(cell.ours for cell in table.cells)]


def only(table: PaperTable, columns: Sequence[str], title: str) -> PaperTable:
    """Some columns of a table, as a figure shows them."""
    _, *place = table.title.split(" · ")
    cells = [cell for cell in table.cells if cell.column in columns]
    return replace(table, title=" · ".join((title, *place)), cells=cells)


def as_csv(tables: Sequence[PaperTable]) -> str:
    """One row per cell: both numbers in the paper's unit, the difference, both readings of the paper's plus-minus."""
    return tidy_csv([_record(table, cell) for table in tables for cell in table.cells])


def folder() -> Path:
    """Where the paper's numbers are: in the package, or in the checkout beside it."""
    here = Path(__file__).resolve().parent
    packaged = here / "printed"
    return packaged if packaged.is_dir() else here.parents[1] / "experiments" / "paper"


def printed(name: str) -> list[dict[str, str]]:
    """The paper's numbers of one table, or what else the file of that name says, line by line."""
    path = folder() / f"{name}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except OSError as error:
        raise UsageError(
            f"The paper's numbers cannot be read: {error.strerror}",
            where=str(path),
            try_="install amulet-cli again, or run this in a checkout",
        ) from error


def _belongs(result: Result, layout: Layout, datasets: Mapping[str, str]) -> bool:
    chosen = result.choices
    return (
        chosen.get("defense") == layout.defense
        and chosen.get("attack") in layout.attacks
        and (layout.anywhere or chosen.get("dataset") in datasets)
        and "second_defense" not in chosen
    )


def _oriented(lines: Sequence[dict[str, str]], models: Sequence[str]) -> list[dict[str, str]]:
    """The lines of the paper's first model, and of the one that a column has alone, for each model of ours."""
    first = {line["column"]: line for line in reversed(lines)}
    columns = [line["column"] for line in lines]
    return [{**first[c], "setting": f"model={model}"} for model in models for c in dict.fromkeys(columns)]


def _record(table: PaperTable, cell: PaperCell) -> dict[str, Any]:
    ours, scale = cell.ours, cell.scale
    return {
        "table": table.name,
        "title": table.title,
        "setting": cell.setting,
        "column": cell.column,
        "ours": scale * ours.mean if ours else math.nan,
        "ours_error": scale * ours.error if ours else math.nan,
        "ours_sd": scale * ours.sd if ours else math.nan,
        "n": ours.n if ours else 0,
        "runs": table.origin.words,
        "other_size": table.origin.other_size,
        "paper": cell.mean,
        "paper_error": cell.error,
        "comparable": cell.comparable,
        "difference": cell.difference,
        "combined_errors_if_se": cell.distance("se"),
        "combined_errors_if_sd": cell.distance("sd"),
        "by_seed": " ".join(f"{seed}:{scale * value!r}" for seed, value in cell.by_seed.items()),
        "flags": "; ".join(cell.warnings),
        "note": cell.note,
        "source": cell.source,
    }


def _cell(line: Mapping[str, str], layout: Layout, rows: Sequence[Row], *, comparable: bool) -> PaperCell:
    column = layout.columns[line["column"]]
    _, _, step = line["setting"].partition("=")
    if layout.key == "model":
        attack = layout.attack_of(line["column"])
        fitting = [r for r in rows if r.cell.labels["model"] == step and r.cell.labels["attack"] == attack]
    elif step:
        fitting = [row for row in rows if _same(flat(row.cell.config).get(layout.key), float(step))]
    else:  # the undefended victim is the same one beside every strength of the defence
        column, fitting = replace(column, victim="undefended"), list(rows)
    values: dict[int, float] = {}
    limits: set[str] = set()
    for row in fitting:
        if row.metric in _names(column, row.cell):
            values = {**_values(row, column), **values}
            limits |= _limits_of(row)
    from amulet.assessment.verdict import summarize

    wanted = [row for row in fitting if row.metric in _names(column, row.cell) and column.place == "metrics"]
    flags = [flag for row in wanted for flag in (*row.warnings, *_warnings_of(row)) if flag.startswith(column.victim)]
    return PaperCell(
        setting=line["setting"],
        column=line["column"],
        mean=float(line["mean"]),
        error=float(line["error"]) if line["error"] else math.nan,
        source=line["source"],
        note=line["note"],
        scale=column.scale,
        comparable=comparable and not limits,
        ours=summarize(list(values.values())) if values else None,
        by_seed=dict(sorted(values.items())),
        warnings=tuple(dict.fromkeys([*sorted(limits), *flags])),
    )


def _limits_of(row: Row) -> set[str]:
    """Why runs are no repetition of the paper's: they were trials on a part of the data."""
    limit = flat(row.cell.config).get("dataset.limit")
    return {f"ours: a trial on at most {limit:,} training records, not of the paper's size"} if limit else set()


def _warnings_of(row: Row) -> tuple[str, ...]:
    """What the measurement of the metric's risk warned of; nothing for a metric of no risk."""
    return warnings_of(row) if row.facts.risk in row.cell.facts.risks else ()


def _values(row: Row, column: Column) -> Mapping[int, float]:
    if column.place == "metrics":
        return row.values[column.victim]
    found = {seed: run.baselines.get(column.victim, {}).get(row.metric) for seed, run in row.cell.runs.items()}
    return {seed: value for seed, value in found.items() if value is not None and math.isfinite(value)}


def _names(column: Column, cell: RunGroup) -> list[str]:
    """The metrics that a column can be, on this data."""
    if not column.metric.startswith(FIRST):
        return column.metric.split("|")
    sensitive: Any = flat(cell.config).get("dataset.sensitive") or []
    return [column.metric.replace(FIRST, as_text(name)) for name in cast(list[Any], sensitive)[:1]]


def _same(value: object, step: float) -> bool:
    return isinstance(value, (int, float)) and math.isclose(value, step)
