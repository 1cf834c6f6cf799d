"""A run's files are written: each complete or not at all, `metrics.json` last."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import write_text, write_whole
from amulet_cli.base.serialize import canonical_json, plain, tidy_csv
from amulet_cli.results import seal
from amulet_cli.results.reading import from_content, read_result
from amulet_cli.results.result import CHOICES, LOST, SCHEMA, VICTIMS, Result

if TYPE_CHECKING:
    from amulet.assessment import Outcome

_TRIAL = "a trial (--limit {}): few records, few epochs, the least of each attack. No number means anything."


def write_status(folder: Path, state: str, **details: Any) -> None:
    """Write `status.json`: ``{"state": state, **details}``."""
    write_text(folder / "status.json", canonical_json(plain({"state": state, **details})))


def write_outcome(
    folder: Path,
    outcome: "Outcome",
    *,
    choices: Mapping[str, str],
    overrides: Mapping[str, Any],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> Result:
    """Write a run's files, each in one step, sealed by `metrics.json`, which comes last; and return the result.

    Numbers that are not finite become null, and a warning names them. What is in the place of `metrics.json` and was
    not written by Amulet, or has changed since, is kept as `metrics.json.bad`.
    """
    import numpy as np
    import yaml

    from amulet_cli.results.evidence_images import png, rows_by_file

    lost: list[str] = []
    content = {
        "schema": SCHEMA,
        "seed": config["seed"],
        "choices": dict(choices),
        "overrides": plain(overrides),
        "metrics": plain(outcome.metrics, "metrics", lost),
        "baselines": plain(outcome.baselines, "baselines", lost),
        "intervals": plain(outcome.intervals, "intervals", lost),
        "influences": {
            victim: {name: blocks.as_dict() for name, blocks in rows.items()}
            for victim, rows in outcome.influences.items()
        },
        "invalid": plain(outcome.invalid),
        "manifest": plain(outcome.manifest, "manifest", lost),
        "timings": plain(outcome.timings),
        "environment": plain(environment),
        "facts": plain(outcome.facts.as_dict()),
    }
    content["warnings"] = [
        *([_TRIAL.format(config["trial"])] if config.get("trial") else []),
        *outcome.warnings,
        *([f"{', '.join(f'`{name}`' for name in sorted(lost))}: {LOST}"] if lost else []),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _make_way(folder)  # until the end the files may not belong together
    settings = plain(config, finite=False)
    write_text(folder / "config.yaml", yaml.safe_dump(settings, sort_keys=False))
    written = from_content(folder, content, config)
    write_text(folder / "metrics.csv", tidy_csv(_table(written)))
    arrays = {name: np.asarray(value) for name, value in sorted(outcome.arrays.items())}
    save: Callable[..., None] = np.savez_compressed
    write_whole(folder / "evidence.npz", lambda file: save(file, **arrays))
    images = {f"{name}.png": png(rows) for name, rows in rows_by_file(arrays).items()}
    for name, drawn in images.items():
        write_whole(folder / name, lambda file, drawn=drawn: file.write(drawn))
    whole = seal.sealed(content, folder, ("config.yaml", "metrics.csv", "evidence.npz", *images))
    write_text(folder / "metrics.json", seal.as_text(whole, settings))
    write_status(folder, "done")
    return replace(written, files=seal.files_of(whole))


def _table(result: Result) -> list[dict[str, Any]]:
    """One row per victim and metric, in the order of tables: it tells nothing of what came from the store."""
    swept = {key: value for key, value in result.overrides.items() if key not in (*CHOICES, "seed")}
    names = {name: result.choices[name] for name in CHOICES if name in result.choices}
    rows: list[dict[str, Any]] = []
    for victim, metrics in sorted(result.metrics.items(), key=lambda row: (row[0] not in VICTIMS[:1], row[0])):
        for name, value in sorted(metrics.items(), key=lambda pair: (result.facts.order(pair[0]), pair[0])):
            low, high = result.intervals.get(victim, {}).get(name, (math.nan, math.nan))
            numbers = {"value": value, "baseline": result.baseline(victim, name), "low": low, "high": high}
            rows.append(names | swept | {"seed": result.seed, "victim": victim, "metric": name} | numbers)
    return rows


def _make_way(folder: Path) -> None:
    path = folder / "metrics.json"
    try:
        read_result(folder)
    except UsageError:
        if os.path.lexists(path):
            path.replace(path.with_name("metrics.json.bad"))
    else:
        path.unlink()
