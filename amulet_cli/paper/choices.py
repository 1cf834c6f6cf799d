"""Which choice, of those in which two variants of a table's runs differ, moves which column."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from amulet_cli.base.serialize import as_text
from amulet_cli.paper.tables import PaperTable


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Two variants of one table: in what they differ, and what this does to each column."""

    dataset: str
    names: tuple[str, str]
    differing: Mapping[str, tuple[str, str]]
    """By setting, its value in either."""
    columns: Mapping[str, tuple[float, float, float]]
    """By column: the second's mean minus the first's, and the mean distance of either from the paper."""


def choices(tables: Sequence[PaperTable]) -> list[Choice]:
    """Every two variants of the same table on the same data."""
    found: list[Choice] = []
    for i, first in enumerate(tables):
        for second in tables[i + 1 :]:
            if first.dataset != second.dataset or first.config == second.config:
                continue
            keys = dict.fromkeys((*first.config, *second.config))
            values = {key: (_value(first, key), _value(second, key)) for key in keys}
            columns = _moved(first, second)
            if columns:
                found.append(
                    Choice(
                        dataset=first.dataset,
                        names=(first.variant or "the first", second.variant or "the second"),
                        differing={key: pair for key, pair in values.items() if pair[0] != pair[1]},
                        columns=columns,
                    )
                )
    return found


def _moved(first: PaperTable, second: PaperTable) -> dict[str, tuple[float, float, float]]:
    pairs = [
        (a, b)
        for a, b in zip(first.cells, second.cells, strict=True)
        if a.ours and b.ours and not math.isnan(a.difference)
    ]
    found: dict[str, tuple[float, float, float]] = {}
    for column in dict.fromkeys(a.column for a, _ in pairs):
        of_it = [(a.difference, b.difference) for a, b in pairs if a.column == column]
        moved = sum(b - a for a, b in of_it) / len(of_it)
        found[column] = moved, sum(abs(a) for a, _ in of_it) / len(of_it), sum(abs(b) for _, b in of_it) / len(of_it)
    return found


def _value(table: PaperTable, key: str) -> str:
    return as_text(table.config[key]) or "null" if key in table.config else "default"
