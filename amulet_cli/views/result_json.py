"""Runs as JSON on the standard output: `--json` of `run`, `audit` and `matrix`."""

from collections.abc import Iterable
from typing import Any

from amulet_cli.base.console import print_json
from amulet_cli.results.result import Result


def print_runs(results: Iterable[Result]) -> None:
    """What became of every run: its numbers, or why there are none."""
    print_json({"runs": [_run(result) for result in results]})


def _run(result: Result) -> dict[str, Any]:
    return {
        "folder": str(result.folder),
        "state": result.state,
        "reason": result.reason,
        "seed": result.seed,
        "trial": result.trial,
        "choices": dict(result.choices),
        "overrides": dict(result.overrides),
        "metrics": result.metrics,
        "baselines": result.baselines,
        "intervals": result.intervals,
        "invalid": result.invalid,
        "warnings": list(result.warnings),
    }
