"""The interaction matrix as data: tidy CSV, and JSON with everything."""

from typing import Any

from amulet_cli.analysis.matrix.entries import Entry, Interactions
from amulet_cli.base.serialize import canonical_json, plain, tidy_csv
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.row_numbers import change_record, seed_records, victim_records

SCHEMA = 2


def as_csv(interactions: Interactions) -> str:
    """One row for each entry: statistics as fractions, the verdict, the literature's expectation, every seed."""
    return tidy_csv([_record(name, entry) for name, entry in interactions.named])


def as_json(interactions: Interactions) -> str:
    """The same with refused pairs, warnings, verification and the folders of the runs."""
    content = {
        "schema": SCHEMA,
        "setting": dict(interactions.setting),
        "defenses": interactions.defenses,
        "risks": interactions.risks,
        "seeds": interactions.seeds,
        "compared": interactions.compared,
        "entries": [
            {
                **_record(name, entry),
                **{victim: {str(s): x for s, x in entry.values[victim].items()} for victim in VICTIMS},
                "runs": {str(seed): str(run.folder) for seed, run in entry.cell.runs.items()},
                "flags": entry.warnings,
            }
            for name, entry in interactions.named
        ],
        "refused": [{"defense": n, "risk": code, "reason": why} for (n, code), why in interactions.refused.items()],
        "flags": interactions.victim_warnings,
        "verification": {
            name: {row.metric: {str(seed): x for seed, x in row.values[VICTIMS[1]].items()} for row in rows}
            for name, rows in interactions.verification.items()
        },
        "missing": [{"folder": str(r.folder), "state": r.state, "reason": r.reason} for r in interactions.missing],
        "notes": interactions.notes,
    }
    return canonical_json(plain(content))


def _record(name: str, entry: Entry) -> dict[str, Any]:
    info = entry.facts
    record: dict[str, Any] = {
        "defense": name,
        "risk": entry.risk.code,
        "metric": entry.metric,
        "at": info.at,
        "measured_by": entry.setting,
        "worse": info.worse,
        "pursued": entry.pursued,
        "n": entry.change.n,
    }
    record |= {
        **victim_records(entry),
        **change_record(entry, entry.verdict),
        "expected": entry.expected.direction if entry.expected else None,
        "expected_note": (entry.expected.note or None) if entry.expected else None,
        "agreement": entry.agreement,
        "not_comparable": entry.not_comparable,
    }
    return record | seed_records(entry)
