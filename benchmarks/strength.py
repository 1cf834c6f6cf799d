"""By how much a single attack understates each risk, and which verdicts turn: two matrices side by side.

    amulet matrix dataset=census seeds=10 output_dir=single
    amulet matrix dataset=census seeds=10 strength=quick output_dir=suite store=single/models
    python benchmarks/strength.py single suite

For each risk, the metric that decides it on the undefended and on every defended victim: the mean over the seeds that
both have, by each risk's default attack and by the suite; in bold where the suite is worse for the victim by more than
two standard errors of that difference over seeds and by a thousandth at least, in italics where it is better by as
much. Then the verdicts on the change by a defence that differ. Fractions in per cent, as Markdown.
"""

import argparse
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

import amulet

HARM = {"higher": 1, "lower": -1}  # whether a metric is worse when it rises
KEYS = ["risk", "metric", "victim"]
UNDEFENDED = "undefended"
SMALLEST = 0.001


def values_of(results: amulet.Results) -> pd.DataFrame:
    """One value for each deciding metric, victim and seed; a victim is named by its defence."""
    frame = results.to_frame()
    frame = frame[frame["decides"]]
    frame = frame.assign(victim=frame["defense"].where(frame["victim"] == "defended", UNDEFENDED))
    return frame.drop_duplicates([*KEYS, "seed"])[[*KEYS, "seed", "harm", "unit", "value"]]


def understated(single: amulet.Results, suite: amulet.Results) -> pd.DataFrame:
    """A row for each metric and victim: both means, how much worse the suite's is, its standard error, seeds."""
    both = values_of(single).merge(values_of(suite), on=[*KEYS, "seed", "harm", "unit"], suffixes=("_single", "_suite"))
    both = both.dropna()
    both["worse"] = (both["value_suite"] - both["value_single"]) * both["harm"].map(HARM)
    found = both.groupby([*KEYS, "unit"], sort=False).agg(
        single=("value_single", "mean"),
        suite=("value_suite", "mean"),
        worse=("worse", "mean"),
        error=("worse", "sem"),
        seeds=("worse", "size"),
    )
    return found.reset_index()


def turned(single: amulet.Results, suite: amulet.Results) -> pd.DataFrame:
    """A row for each defence and metric whose verdict differs."""
    keys, kept = ["defense", "risk", "metric"], ["change", "change_low", "change_high", "verdict"]
    frames = [results.verdicts[[*keys, *kept]] for results in (single, suite)]
    both = frames[0].merge(frames[1], on=keys, suffixes=("_single", "_suite"))
    return both[both["verdict_single"] != both["verdict_suite"]]


def percent(value: float, unit: str, sign: str = "") -> str:
    """A fraction in per cent, anything else with three digits."""
    if not math.isfinite(value):
        return "-"
    return f"{100 * value:{sign}.1f}" if unit == "fraction" else f"{value:{sign}.3g}"


def cell(row: Mapping[Any, Any]) -> str:
    """`47.8, 47.7`, the second in bold or italics where it differs by more than chance."""
    unit, worse, error = str(row["unit"]), float(str(row["worse"])), float(str(row["error"]))
    single, suite = (percent(float(str(row[name])), unit) for name in ("single", "suite"))
    if abs(worse) > max(2 * error, SMALLEST):
        suite = f"**{suite}**" if worse > 0 else f"*{suite}*"
    return f"{single}, {suite}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("single", help="the output folder of the matrix by single attacks")
    parser.add_argument("suite", help="the output folder of the matrix by suites")
    given = parser.parse_args()
    single, suite = amulet.load_results(given.single), amulet.load_results(given.suite)
    found = understated(single, suite)
    victims = sorted(set(found["victim"]), key=lambda name: (name != UNDEFENDED, name))
    cells = {(row["risk"], row["metric"], row["victim"]): cell(row) for row in found.to_dict("records")}
    print(f"Single attack, suite; {min(found['seeds'])} seeds.\n")
    print(f"| metric | {' | '.join(victims)} |\n|---|{'---|' * len(victims)}")
    moved = found.assign(moved=found["worse"].abs() > 0).groupby(["risk", "metric"], sort=False)["moved"].any()
    for risk, metric in moved[moved].index:
        print(f"| `{metric}` | {' | '.join(cells.get((risk, metric, victim), '-') for victim in victims)} |")
    same = [f"`{metric}`" for _, metric in moved[~moved].index]
    if same:
        print(f"\nThe same number for every victim and seed: {', '.join(same)}.")
    units = dict(zip(found["metric"], found["unit"], strict=True))
    print("\n| defence | metric | by single attacks | by suites |\n|---|---|---|---|")
    for row in turned(single, suite).to_dict("records"):
        unit = units.get(row["metric"], "")
        verdicts = [
            f"{row[f'verdict_{name}']}: {percent(row[f'change_{name}'], unit, '+')}"
            f" [{percent(row[f'change_low_{name}'], unit, '+')}, {percent(row[f'change_high_{name}'], unit, '+')}]"
            for name in ("single", "suite")
        ]
        print(f"| {row['defense']} | `{row['metric']}` | {' | '.join(verdicts)} |")


if __name__ == "__main__":
    main()
