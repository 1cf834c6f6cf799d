"""The paper's tables, ours beside the paper's, cell by cell."""

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from amulet_cli.aggregate import Row, aggregate, flat
from amulet_cli.errors import UsageError, alike
from amulet_cli.plain import as_text, tidy_csv
from amulet_cli.results import Result

if TYPE_CHECKING:
    from amulet.interactions.verdict import Summary

RUNS = 10
"""Over how many runs the paper averages."""
BEYOND = 2.0
"""From how many combined errors a difference wants an explanation."""


@dataclass(frozen=True)
class _Layout:
    """Which of our runs and numbers a table of the paper shows."""

    title: str
    defense: str
    attack: str
    key: str
    """What its rows, or columns, step through."""
    columns: Mapping[str, tuple[str, str]]
    """The paper's name of a number, our victim and metric; the victim of an undefended row is the undefended one."""


_LAYOUTS = {
    "table7": _Layout(
        "Table 7: adversarial training and model extraction",
        "adv_training",
        "model_extraction",
        "defense.epsilon",
        {
            "Acc_te(M_def)": ("defended", "test_accuracy"),
            "Acc_rob(M_std)": ("undefended", "robust_accuracy"),
            "Acc_rob(M_def)": ("defended", "robust_accuracy"),
            "M_stol: Acc_te": ("defended", "stolen_test_accuracy"),
            "M_stol: Fid": ("defended", "fidelity"),
            "M_stol: Fid_cor": ("defended", "correct_fidelity"),
        },
    ),
    "table8": _Layout(
        "Table 8: outlier removal and model extraction",
        "outlier_removal",
        "model_extraction",
        "defense.percent",
        {
            "Acc_te": ("defended", "test_accuracy"),
            "M_stol: Acc_te": ("defended", "stolen_test_accuracy"),
            "M_stol: Fid": ("defended", "fidelity"),
            # Its numbers are the share of records on which both models agree and are right, not a conditional one.
            "M_stol: Fid_corr": ("defended", "agreement_and_correct"),
        },
    ),
}


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """A number of the paper and ours, in per cent."""

    setting: str
    column: str
    mean: float
    error: float
    """The paper's plus-minus."""
    source: str
    note: str = ""
    ours: "Summary | None" = None
    """As fractions; None where there is no run."""
    by_seed: Mapping[int, float] = field(default_factory=dict[int, float])
    flags: tuple[str, ...] = ()

    @property
    def difference(self) -> float:
        """Ours minus the paper's, in points."""
        return 100 * self.ours.mean - self.mean if self.ours else math.nan

    def distance(self, reading: str) -> float:
        """The difference in combined errors, sqrt(ours^2 + theirs^2); NaN where we have a single seed.

        Args:
            reading: `se`: the paper's plus-minus is a standard error; `sd`: a standard deviation over ten runs.
        """
        theirs = self.error if reading == "se" else self.error / math.sqrt(RUNS)
        combined = math.hypot(100 * self.ours.error, theirs) if self.ours else math.nan
        return abs(self.difference) / combined if combined else math.nan


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One data set's part of a table, with one variant of our runs."""

    name: str
    title: str
    cells: Sequence[PaperCell]

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
    if name not in _LAYOUTS:
        known = ", ".join(_LAYOUTS)
        raise UsageError(f"`--paper` must be one of {known}; got {name}", meant=alike(name, _LAYOUTS))
    layout = _LAYOUTS[name]
    printed = _printed(name)
    datasets = {row["dataset"] for row in printed}
    ours = [
        result
        for result in results
        if result.choices.get("defense") == layout.defense
        and result.choices.get("attack") == layout.attack
        and result.choices.get("dataset") in datasets
        and "second_defense" not in result.choices
    ]
    if not any(result.state == "done" for result in ours):
        raise UsageError(
            f"No finished run here belongs to {layout.title}",
            expected=f"defense={layout.defense} attack={layout.attack} on {', '.join(sorted(datasets))}",
            try_=f"amulet run +experiment={name}_census",
        )
    report = aggregate(ours)
    others = [key for key in report.keys if key != layout.key]
    variants: dict[tuple[str, ...], list[Row]] = {}
    for row in report.rows:
        labels = row.cell.labels
        variant = (as_text(labels["dataset"]), as_text(labels["model"]), *(as_text(labels[k]) for k in others))
        variants.setdefault(variant, []).append(row)
    tables: list[PaperTable] = []
    for (dataset, model, *values), rows in variants.items():
        words = [f"{key}={value}" for key, value in zip(others, values, strict=True) if value]
        cells = [_cell(line, layout, rows) for line in printed if line["dataset"] == dataset]
        title = " · ".join((layout.title, dataset, model, *words))
        tables.append(PaperTable(name=name, title=title, cells=cells))
    return tables


def as_csv(tables: Sequence[PaperTable]) -> str:
    """One row per cell: both numbers in per cent, the difference, both readings of the paper's plus-minus."""
    return tidy_csv(
        [
            {
                "table": table.name,
                "title": table.title,
                "setting": cell.setting,
                "column": cell.column,
                "ours": 100 * cell.ours.mean if cell.ours else math.nan,
                "ours_error": 100 * cell.ours.error if cell.ours else math.nan,
                "ours_sd": 100 * cell.ours.sd if cell.ours else math.nan,
                "n": cell.ours.n if cell.ours else 0,
                "paper": cell.mean,
                "paper_error": cell.error,
                "difference": cell.difference,
                "combined_errors_if_se": cell.distance("se"),
                "combined_errors_if_sd": cell.distance("sd"),
                "by_seed": " ".join(f"{seed}:{100 * value!r}" for seed, value in cell.by_seed.items()),
                "flags": "; ".join(cell.flags),
                "note": cell.note,
                "source": cell.source,
            }
            for table in tables
            for cell in table.cells
        ]
    )


def folder() -> Path:
    """Where the paper's numbers are: in the package, or in the checkout beside it."""
    package = Path(__file__).resolve().parent
    packaged = package / "paper"
    return packaged if packaged.is_dir() else package.parent / "experiments" / "paper"


def _printed(name: str) -> list[dict[str, str]]:
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


def _cell(line: Mapping[str, str], layout: _Layout, rows: Sequence[Row]) -> PaperCell:
    victim, metric = layout.columns[line["column"]]
    _, _, step = line["setting"].partition("=")
    fitting = [row for row in rows if row.metric == metric]
    if step:
        fitting = [row for row in fitting if _same(flat(row.cell.config).get(layout.key), float(step))]
    else:  # the undefended victim is the same one beside every strength of the defence
        victim = "undefended"
    values: dict[int, float] = {}
    for row in fitting:
        values = {**row.values[victim], **values}
    from amulet.interactions.verdict import summarize

    flags = [flag for row in fitting for flag in row.flags if flag.startswith(victim)]
    return PaperCell(
        setting=line["setting"],
        column=line["column"],
        mean=float(line["mean"]),
        error=float(line["error"]),
        source=line["source"],
        note=line["note"],
        ours=summarize(list(values.values())) if values else None,
        by_seed=dict(sorted(values.items())),
        flags=tuple(dict.fromkeys(flags)),
    )


def _same(value: object, step: float) -> bool:
    return isinstance(value, (int, float)) and math.isclose(value, step)
