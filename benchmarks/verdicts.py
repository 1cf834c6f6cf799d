"""How often verdicts and intervals are wrong, and what they find, where seeds share one test split. A few minutes.

A grid is 50 comparisons over 10 seeds on one test split. Records are easy or hard, and each victim has records that it
prefers: with another split another victim would look better. Nothing differs in truth, unless an effect is given.

    python benchmarks/verdicts.py [--grids 400] [--records 1000]
"""

import argparse

import numpy as np
from scipy.stats import binomtest, norm

from amulet.assessment.crossed import Change, block_effects, paired_change
from amulet.assessment.verdict import Comparison, judge
from amulet.core.influence import of_mean

SEEDS, CELLS = 10, 50
TASTES = (0.0, 0.5, 1.0)
"""The standard deviation of what a victim's records have in common over its seeds, in those of a seed's own noise."""
EFFECTS = (0.0, 0.01, 0.02, 0.03)


def comparison(draw: np.random.Generator, records: int, taste: float, effect: float) -> Comparison:
    """A share of records, such as an accuracy under attack, of two victims whose expectations differ by `effect`."""
    spread = np.sqrt(1 + 1 + taste**2 + 0.05**2)  # of records, of a seed's noise, of the victim's taste, of the seed
    bars = norm.ppf([0.7, 0.7 + effect]) * spread
    difficulty = draw.normal(size=records)
    answers = [
        difficulty
        + draw.normal(0, taste, records)
        + draw.normal(size=(SEEDS, records))
        + draw.normal(0, 0.05, (SEEDS, 1))
        < bar
        for bar in bars
    ]
    ids = np.arange(records)
    pairs = [(of_mean(ids, b).blocks(), of_mean(ids, a).blocks()) for b, a in zip(*answers, strict=True)]
    before, after = ([float(row.mean()) for row in rows] for rows in answers)
    return Comparison(undefended=before, defended=after, worse="lower", effects=block_effects(pairs))


def main() -> None:
    """Print the share of grids with a wrong verdict, the coverage of intervals and the power."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grids", type=int, default=400)
    parser.add_argument("--records", type=int, default=1000)
    asked = parser.parse_args()
    print(f"{asked.grids} grids of {CELLS} comparisons, {SEEDS} seeds, {asked.records} test records that all share")
    print(f"\n{'taste':>5}  {'grids with a wrong verdict':>34}  {'95% intervals that hold 0':>32}")
    print(f"{'':>5}  {'seeds and records':>23} {'seeds':>10}  {'seeds and records':>21} {'seeds':>10}")
    for taste in TASTES:
        draw = np.random.default_rng(round(10 * taste))
        wrong = covered = np.zeros(2)
        for _ in range(asked.grids):
            both = {i: comparison(draw, asked.records, taste, 0.0) for i in range(CELLS)}
            alone = {
                i: Comparison(undefended=c.undefended, defended=c.defended, worse="lower") for i, c in both.items()
            }
            verdicts = [judge(grid) for grid in (both, alone)]
            wrong = wrong + [any(v.outcome in ("rises", "falls") for v in some.values()) for some in verdicts]
            covered = covered + [sum(v.change.low <= 0 <= v.change.high for v in some.values()) for some in verdicts]
        span = binomtest(int(wrong[0]), asked.grids).proportion_ci(0.95, "exact")
        share, cover = wrong / asked.grids, covered / (asked.grids * CELLS)
        print(
            f"{taste:>5}  {share[0]:>8.1%} [{span.low:.1%}, {span.high:.1%}] {share[1]:>10.1%}  "
            f"{cover[0]:>21.1%} {cover[1]:>10.1%}"
        )
    print(f"\n{'taste':>5} {'effect':>8}  {'found alone':>12} {'found among 50':>15} {'intervals that hold it':>23}")
    for taste in TASTES:
        draw = np.random.default_rng(100 + round(10 * taste))
        for effect in EFFECTS[1:]:
            changes = [_changed(comparison(draw, asked.records, taste, effect)) for _ in range(2 * asked.grids)]
            found = [np.mean([change.p_value < 0.05 / k for change in changes]) for k in (1, CELLS)]
            held = np.mean([change.low <= effect <= change.high for change in changes])
            print(f"{taste:>5} {100 * effect:>6.0f} p  {found[0]:>12.0%} {found[1]:>15.0%} {held:>23.1%}")


def _changed(cell: Comparison) -> Change:
    return paired_change(cell.undefended, cell.defended, cell.effects)


if __name__ == "__main__":
    main()
