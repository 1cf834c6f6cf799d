"""The statistics of the matrix on made-up results, from result folders to verdicts, against scipy."""

import csv
import io
import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from amulet.assessment.crossed import Change
from amulet.assessment.verdict import Comparison, detectable_difference, holm, judge
from amulet.core.evidence import Measurement
from amulet.core.facts import Metric
from amulet_cli.analysis.matrix.entries import interactions
from amulet_cli.results.reading import find_results
from amulet_cli.views.matrix_data import as_csv
from tests.helpers.made_up_results import MadeUp, choices, write

DEFENSES = {
    "adv_training": "amulet.evasion.defenses.AdversarialTrainingPGD",
    "outlier_removal": "amulet.poisoning.defenses.OutlierRemoval",
    "dp_sgd": "amulet.membership_inference.defenses.DPSGD",
}
METRICS = ("robust_accuracy", "attack_success_rate", "fidelity_kappa", "lira_online.auc")
SEEDS = 10


def folders(place: Path, values: Mapping[tuple[str, str], tuple[list[float], list[float]]]) -> Path:
    """Result folders of every defence and seed, with these values of the undefended and the defended victim."""
    for defense, target in DEFENSES.items():
        for seed in range(SEEDS):
            sides = [{m: values[defense, m][side][seed] for m in METRICS} for side in (0, 1)]
            made = MadeUp({"undefended": sides[0], "defended": sides[1]})
            settings: dict[str, Any] = {"defense._target_": target, "attack._target_": None}
            write(place, made, seed=seed, chosen=choices(defense, "none"), overrides=settings)
    return place


def test_the_whole_path_gives_scipys_numbers(tmp_path: Path) -> None:
    draw = np.random.default_rng(7)
    values: dict[tuple[str, str], tuple[list[float], list[float]]] = {}
    for i, defense in enumerate(DEFENSES):
        for j, metric in enumerate(METRICS):
            before = draw.normal(0.6, 0.03, SEEDS)
            effect = 0.006 * (i + j) * (-1) ** j
            values[defense, metric] = before.tolist(), (before + draw.normal(effect, 0.01, SEEDS)).tolist()
    found = interactions(find_results([folders(tmp_path, values)]))
    rows = {(row["defense"], row["metric"]): row for row in csv.DictReader(io.StringIO(as_csv(found)))}
    assert rows.keys() == values.keys()
    tests = {key: stats.ttest_rel(after, before) for key, (before, after) in values.items()}
    corrected = dict(zip(tests, holm_by_definition([float(t.pvalue) for t in tests.values()]), strict=True))
    words: set[str] = set()
    for key, (before, after) in values.items():
        row, test = rows[key], tests[key]
        interval = test.confidence_interval(0.95)
        assert float(row["change"]) == pytest.approx(np.mean(after) - np.mean(before))
        assert (float(row["change_low"]), float(row["change_high"])) == pytest.approx((interval.low, interval.high))
        assert float(row["change_error"]) == pytest.approx(float(stats.sem(np.subtract(after, before))))
        assert float(row["p_value"]) == pytest.approx(float(test.pvalue))
        differences = np.subtract(after, before)
        flips = [abs(np.dot(signs, differences)) for signs in itertools.product((-1, 1), repeat=SEEDS)]
        assert float(row["p_sign_flip"]) == pytest.approx(np.mean(flips >= abs(differences.sum()) - 1e-12))
        assert float(row["p_holm"]) == pytest.approx(corrected[key])
        assert (row["verdict"] != "no evidence") == (corrected[key] < 0.05)
        sd = float(np.std(np.subtract(after, before), ddof=1))
        assert float(row["detectable"]) == pytest.approx(
            detectable_difference(change_of(sd, SEEDS), 0.05 / len(values))
        )
        words.add(row["verdict"])
    assert words == {"no evidence", "rises", "falls"}


def change_of(sd: float, n: int) -> Change:
    """A change over n seeds, of which nothing matters but the spread."""
    return Change(n=n, mean=0.0, error=sd / math.sqrt(n), sd=sd, low=0.0, high=0.0, p_value=1.0, freedom=n - 1)


def holm_by_definition(p_values: list[float]) -> list[float]:
    """The adjusted p-value: the smallest level at which the step-down procedure rejects, tried out by bisection."""

    def rejected(i: int, level: float) -> bool:
        for step, j in enumerate(sorted(range(len(p_values)), key=lambda k: p_values[k])):
            if p_values[j] > level / (len(p_values) - step):
                return False
            if j == i:
                return True
        raise AssertionError

    found: list[float] = []
    for i in range(len(p_values)):
        low, high = 0.0, 1.0
        if not rejected(i, 1.0):
            found.append(1.0)
            continue
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if rejected(i, middle) else (middle, high)
        found.append(high)
    return found


def test_holm_against_its_definition_and_an_example_by_hand() -> None:
    draw = np.random.default_rng(0)
    for n in (1, 2, 5, 12):
        p_values = (draw.uniform(0, 1, n) ** 3).tolist()
        assert holm(p_values).tolist() == pytest.approx(holm_by_definition(p_values), abs=1e-9)
    # Worked by hand: sorted, times 4, 3, 2 and 1, then never less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_proportions_have_scipys_exact_interval_in_the_result() -> None:
    measured = Measurement()
    measured.proportion(Metric("robust_accuracy", "accuracy under attack"), 37, 214)
    exact = stats.binomtest(37, 214).proportion_ci(0.95, method="exact")
    assert measured.intervals["robust_accuracy"] == pytest.approx((exact.low, exact.high))


def grid(draw: np.random.Generator, cells: int, sd: float, effect: float = 0.0) -> dict[int, Comparison]:
    """Paired values of which only the first cell has an effect."""
    made: dict[int, Comparison] = {}
    for i in range(cells):
        before = draw.normal(0.6, 0.05, SEEDS)
        after = before + draw.normal(effect if i == 0 else 0.0, sd, SEEDS)
        made[i] = Comparison(undefended=before.tolist(), defended=after.tolist(), worse="higher")
    return made


def test_pure_noise_over_many_matrices_gives_at_most_the_nominal_share_of_verdicts() -> None:
    """60 comparisons each, as of six defences and ten metrics: any verdict at all in at most 5% of the matrices."""
    draw, matrices = np.random.default_rng(11), 500
    wrong = single = 0
    for _ in range(matrices):
        verdicts = judge(grid(draw, 60, 0.01)).values()
        wrong += any(verdict.outcome != "no evidence" for verdict in verdicts)
        single += sum(verdict.change.p_value < 0.05 for verdict in verdicts)
    assert stats.binomtest(wrong, matrices, 0.05, alternative="greater").pvalue > 0.01
    assert stats.binomtest(single, 60 * matrices, 0.05).pvalue > 0.001, "uncorrected, one test in twenty is wrong"
    assert wrong > 0


@pytest.mark.parametrize("cells", [1, 10, 60])
def test_an_effect_of_the_detectable_size_is_found_four_times_in_five(cells: int) -> None:
    """The promise holds at the strictest level of Holm's procedure, so the power is at least 0.8."""
    draw, trials, sd = np.random.default_rng(cells), 1500, 0.01
    effect = detectable_difference(change_of(sd, SEEDS), 0.05 / cells)
    found = sum(judge(grid(draw, cells, sd, effect))[0].outcome == "rises" for _ in range(max(trials // cells, 150)))
    share = found / max(trials // cells, 150)
    assert share == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / max(trials // cells, 150)))
