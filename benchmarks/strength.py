"""By how much a single attack understates each risk, and which verdicts turn: two matrices side by side.

    amulet matrix dataset=census seeds=10 output_dir=single
    amulet matrix dataset=census seeds=10 strength=quick output_dir=suite store=single/models
    python benchmarks/strength.py single suite

For each risk, the metric that decides it on the undefended and on every defended victim: the mean over the seeds that
both have, by each risk's default attack and by the suite, and how much worse the suite makes it, with the standard
error of that difference over seeds. Then the verdicts on the change by a defence that differ. Fractions in per cent, as
Markdown.
"""

import argparse
import math

import pandas as pd

import amulet

HARM = {"higher": 1, "lower": -1}  # whether a metric is worse when it rises
KEYS = ["risk", "metric", "label", "harm", "unit", "victim", "seed"]


def values_of(results: amulet.Results) -> pd.DataFrame:
    """One value for each deciding metric, victim and seed; a victim is named by its defence."""
    frame = results.to_frame()
    frame = frame[frame["decides"]]
    frame = frame.assign(victim=frame["defense"].where(frame["victim"] == "defended", "undefended"))
    return frame.drop_duplicates(KEYS)[[*KEYS, "value"]]


def understated(single: amulet.Results, suite: amulet.Results) -> pd.DataFrame:
    """A row for each metric and victim: both means, how much worse the suite's is, its standard error, seeds."""
    both = values_of(single).merge(values_of(suite), on=KEYS, suffixes=("_single", "_suite")).dropna()
    both["worse"] = (both["value_suite"] - both["value_single"]) * both["harm"].map(HARM)
    found = both.groupby(KEYS[:-1], sort=False).agg(
        single=("value_single", "mean"),
        suite=("value_suite", "mean"),
        worse=("worse", "mean"),
        error=("worse", "sem"),
        seeds=("worse", "size"),
    )
    return found.reset_index()


def turned(single: amulet.Results, suite: amulet.Results) -> pd.DataFrame:
    """A row for each defence and metric whose verdict differs."""
    keys, kept = ["defense", "risk", "metric", "label"], ["change", "change_low", "change_high", "verdict"]
    frames = [results.verdicts[[*keys, *kept]] for results in (single, suite)]
    both = frames[0].merge(frames[1], on=keys, suffixes=("_single", "_suite"))
    return both[both["verdict_single"] != both["verdict_suite"]]


def percent(value: float, unit: str, sign: str = "") -> str:
    """A fraction in per cent, anything else with three digits."""
    if not math.isfinite(value):
        return "-"
    return f"{100 * value:{sign}.1f}" if unit == "fraction" else f"{value:{sign}.3g}"


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("single", help="the output folder of the matrix by single attacks")
    parser.add_argument("suite", help="the output folder of the matrix by suites")
    given = parser.parse_args()
    single, suite = amulet.load_results(given.single), amulet.load_results(given.suite)
    found = understated(single, suite)
    units = dict(zip(found["label"], found["unit"], strict=True))
    print("| risk | metric | victim | single attack | suite | worse by | seeds |\n|---|---|---|---|---|---|---|")
    for row in found.to_dict("records"):
        means = " | ".join(percent(row[name], row["unit"]) for name in ("single", "suite"))
        worse = f"{percent(row['worse'], row['unit'], '+')} ± {percent(row['error'], row['unit'])}"
        print(f"| {row['risk']} | {row['label']} | {row['victim']} | {means} | {worse} | {row['seeds']} |")
    print("\n| defence | metric | by single attacks | by suites |\n|---|---|---|---|")
    for row in turned(single, suite).to_dict("records"):
        unit = units.get(row["label"], "")
        cells = [
            f"{row[f'verdict_{name}']}: {percent(row[f'change_{name}'], unit, '+')}"
            f" [{percent(row[f'change_low_{name}'], unit, '+')}, {percent(row[f'change_high_{name}'], unit, '+')}]"
            for name in ("single", "suite")
        ]
        print(f"| {row['defense']} | {row['label']} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
