"""How often the 95 % intervals of fairness and of attribute inference hold the true value.

    python benchmarks/fairness_intervals.py [--samples 4000]

Groups as large as census' race in its test split (negatives 2,050 and 15,588, positives 296 and 5,290), an eighth of
that, and three and four groups of very different sizes. The true gap is in the true positive rate; the false positive
rates are equal; what a fair model would show stands below. Attribute inference: balanced accuracy and the advantage
over a baseline where one value of the attribute is rare.
"""

import argparse
from collections.abc import Callable

import numpy as np

from amulet.attribute_inference.metrics.intervals import balanced_interval, paired_interval
from amulet.discriminatory_behavior.metrics.gaps import of_rates
from amulet.discriminatory_behavior.metrics.intervals import (
    Rates,
    difference_interval,
    lowest_interval,
    ratio_interval,
)

CENSUS = np.array([296, 5290]), np.array([2050, 15588])
SIZES = {
    "census": CENSUS,
    "census / 8": (CENSUS[0] // 8, CENSUS[1] // 8),
    "3 groups": (np.array([60, 400, 3000]), np.array([300, 900, 9000])),
    "4 groups": (np.array([15, 80, 500, 500]), np.array([60, 300, 2000, 2000])),
}


def coverage(
    random: np.random.Generator,
    whole: list[np.ndarray],
    true: list[np.ndarray],
    value: float,
    interval: Callable[[list[Rates]], tuple[float, float]],
    samples: int,
) -> float:
    """The share of samples whose interval holds the true value."""
    drawn = [random.binomial(n, p, size=(samples, len(n))) for n, p in zip(whole, true, strict=True)]
    held = 0
    for parts in zip(*drawn, strict=True):
        low, high = interval([(part.astype(float), n.astype(float)) for part, n in zip(parts, whole, strict=True)])
        held += low - 1e-12 <= value <= high + 1e-12
    return held / samples


def shifted(k: int, base: float, gap: float, toward: float = -1) -> np.ndarray:
    """Rates of k groups: the first one is `gap` away from the last, the others lie between."""
    return base + toward * gap * np.linspace(1, 0, k)


def fairness(samples: int) -> None:
    """Gaps, ratios and worst groups."""
    random = np.random.default_rng(0)
    for name, (positives, negatives) in SIZES.items():
        k, n = len(positives), positives + negatives
        for gap in (0.0, 0.01, 0.03, 0.1):
            true = [shifted(k, 0.6, gap), np.full(k, 0.08)]
            odds = coverage(random, [positives, negatives], true, gap, difference_interval, samples)
            parity = coverage(random, [n], [shifted(k, 0.2, gap)], gap, difference_interval, samples)
            ratio = coverage(random, [n], [shifted(k, 0.2, gap)], 1 - gap / 0.2, ratio_interval, samples)
            worst = coverage(
                random, [n], [shifted(k, 0.85, gap)], 0.85 - gap, lambda parts: lowest_interval(parts[0]), samples
            )
            print(
                f"{name:>11} true gap {gap:.2f}: equalized odds {odds:.3f}, demographic parity {parity:.3f}, "
                f"p-rule {ratio:.3f}, worst group {worst:.3f}"
            )
        drawn = [
            (random.binomial(m, p, size=(20000, k)).astype(float), m.astype(float))
            for m, p in ((positives, 0.6), (negatives, 0.08))
        ]
        print(f"{name:>11} equalized odds of a fair model: {of_rates('equalized_odds_difference', drawn).mean():.4f}")


def attributes(samples: int) -> None:
    """Balanced accuracy and advantage."""
    random = np.random.default_rng(1)
    for sizes in ((3, 2000), (10, 2000), (30, 300), (40, 160), (2000, 20000), (8, 30, 400)):
        for rates in ((0.95, 0.65, 0.7), (0.6, 0.7, 0.5), (1.0, 0.65, 0.7)):
            whole, true = np.array(sizes), np.array(rates[: len(sizes)])
            held = coverage(
                random, [whole], [true], float(true.mean()), lambda parts: balanced_interval(*parts[0]), samples
            )
            # the baseline is right on 80 % of the records on which the attack is, and on 40 % of the others
            both = np.stack([0.8 * true, 0.2 * true, 0.4 * (1 - true), 0.6 * (1 - true)], axis=-1)
            drawn = np.stack([random.multinomial(n, p, size=samples) for n, p in zip(sizes, both, strict=True)], axis=1)
            gain, within = float((both[:, 1] - both[:, 2]).mean()), 0
            for cells in drawn:
                low, high = paired_interval(cells[:, 1], cells[:, 2], whole)
                within += low - 1e-12 <= gain <= high + 1e-12
            print(
                f"values with {sizes} records, recalls {rates[: len(sizes)]}: balanced accuracy {held:.3f}, "
                f"advantage {within / samples:.3f}"
            )


def main() -> None:
    """Print the coverage of every interval."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=4000)
    samples = parser.parse_args().samples
    fairness(samples)
    attributes(samples)


if __name__ == "__main__":
    main()
