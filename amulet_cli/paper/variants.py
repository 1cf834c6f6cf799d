"""Variants of the runs behind a table of the paper."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.rows import Row
from amulet_cli.base.serialize import as_text, flat
from amulet_cli.paper.layouts import Layout
from amulet_cli.results.result import shaping

_TELLING = ("+experiment", "experiment", "+paper_size")
"""Overrides by which people know a variant; other differences are named where these are the same."""
_MOST = 6


@dataclass(frozen=True, kw_only=True)
class Variant:
    """Runs on one data set that differ in nothing but the seed and what the table steps through."""

    dataset: str
    models: tuple[str, ...]
    words: str
    rows: Sequence[Row]
    config: Mapping[str, Any]


def variants(report: Report, layout: Layout) -> list[Variant]:
    """The rows of a report, apart by all that shapes them but the seed and what the table steps through."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in report.rows:
        config = _config(row, layout)
        model = "" if layout.key == "model" else as_text(row.cell.labels["model"])
        groups.setdefault((as_text(row.cell.labels["dataset"]), model, json.dumps(config, sort_keys=True)), []).append(
            row
        )
    pieces = [piece for rows in groups.values() for piece in _without_rivals(rows, layout)]
    words = _words(pieces, layout)
    return [
        Variant(
            dataset=as_text(rows[0].cell.labels["dataset"]),
            models=tuple(dict.fromkeys(as_text(row.cell.labels["model"]) for row in rows)),
            words=said,
            rows=rows,
            config=_config(rows[0], layout),
        )
        for rows, said in zip(pieces, words, strict=True)
    ]


def _config(row: Row, layout: Layout) -> dict[str, Any]:
    """What shapes a run, less what the table steps through."""
    config = flat(shaping(row.cell.config))
    return {key: value for key, value in config.items() if key != layout.key and not key.startswith(layout.loose)}


def _without_rivals(rows: Sequence[Row], layout: Layout) -> list[list[Row]]:
    """Where a table's runs may differ loosely, no two kinds of them may claim the same cell: the second goes apart."""
    kinds: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        run = next(iter(row.cell.runs.values()))
        step = as_text(flat(row.cell.config).get(layout.key))
        rivals = kinds.setdefault((*run.setting, step), [])
        if run.hash not in rivals:
            rivals.append(run.hash)
    pieces: list[list[Row]] = [[] for _ in range(max(map(len, kinds.values())))]
    for row in rows:
        run = next(iter(row.cell.runs.values()))
        step = as_text(flat(row.cell.config).get(layout.key))
        pieces[kinds[(*run.setting, step)].index(run.hash)].append(row)
    return pieces


def _words(pieces: Sequence[Sequence[Row]], layout: Layout) -> list[str]:
    """What tells each variant from the others on its data: the experiment's name, or the settings that differ."""
    described = [_overrides(rows) for rows in pieces]
    places = [(as_text(r[0].cell.labels["dataset"]), as_text(r[0].cell.labels["model"])) for r in pieces]
    found: list[str] = []
    for i, rows in enumerate(pieces):
        same = [k for k, place in enumerate(places) if place == places[i]]
        by_name = {
            key: described[i].get(key, "") for key in _TELLING if len({described[k].get(key, "") for k in same}) > 1
        }
        twins = [k for k in same if k != i and all(described[k].get(key, "") == by_name[key] for key in by_name)]
        config, rest = _config(rows[0], layout), dict[str, str]()
        for k in twins:
            other = _config(pieces[k][0], layout)
            rest |= {key: as_text(config.get(key)) or "null" for key in config if config.get(key) != other.get(key)}
        words = {key.lstrip("+"): value for key, value in by_name.items() if value} | rest
        found.append(" · ".join(f"{key}={value}" for key, value in list(words.items())[:_MOST]))
    return found


def _overrides(rows: Sequence[Row]) -> dict[str, str]:
    runs = [run for row in rows for run in row.cell.runs.values()]
    return {
        key: "+".join(dict.fromkeys(as_text(run.overrides.get(key, "")).partition("/")[0] for run in runs))
        for key in _TELLING
    }
