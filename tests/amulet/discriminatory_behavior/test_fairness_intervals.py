"""Intervals of gaps, ratios and worst groups, what a fair model shows, and the influence of records."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats

from amulet.core import Stream
from amulet.core.intervals import wilson
from amulet.discriminatory_behavior.metrics import BehaviorEvidence, measure
from amulet.discriminatory_behavior.metrics.gaps import PARTS, count, gaps, of_rates
from amulet.discriminatory_behavior.metrics.intervals import (
    Rates,
    difference_interval,
    lowest_interval,
    ratio_interval,
)

POSITIVES, NEGATIVES = np.array([296, 5290]), np.array([2050, 15588])
"""Census' test split by race, as the income is high or not."""


Interval = Callable[[list[Rates]], tuple[float, float]]


def covered(whole: list[np.ndarray], true: list[np.ndarray], value: float, interval: Interval) -> float:
    """The share of 500 samples whose interval holds the true value."""
    random = np.random.default_rng(1)
    drawn = [random.binomial(n, p, size=(500, len(n))) for n, p in zip(whole, true, strict=True)]
    ends = [
        interval([(part.astype(float), n.astype(float)) for part, n in zip(parts, whole, strict=True)])
        for parts in zip(*drawn, strict=True)
    ]
    return float(np.mean([low - 1e-9 <= value <= high + 1e-9 for low, high in ends]))


@pytest.mark.parametrize("gap", [0.0, 0.01, 0.03])
def test_the_interval_of_equalized_odds_holds_the_truth_at_its_rate(gap: float) -> None:
    """A percentile bootstrap of the gap holds a true gap of 0 in none of the samples."""
    true = [np.array([0.6 - gap, 0.6]), np.array([0.08, 0.08])]
    assert 0.93 <= covered([POSITIVES, NEGATIVES], true, gap, difference_interval) <= 0.985


@pytest.mark.parametrize("gap", [0.0, 0.02, 0.1])
def test_the_intervals_of_selection_hold_the_truth_at_their_rate(gap: float) -> None:
    whole, true = [POSITIVES + NEGATIVES], [np.array([0.2 - gap, 0.2])]
    assert 0.92 <= covered(whole, true, gap, difference_interval) <= 0.98
    assert 0.92 <= covered(whole, true, 1 - gap / 0.2, ratio_interval) <= 0.98


@pytest.mark.parametrize("gap", [0.0, 0.05])
def test_more_and_small_groups_are_on_the_safe_side(gap: float) -> None:
    whole, spread = [np.array([15, 80, 500])], gap * np.linspace(1, 0, 3)
    assert covered(whole, [0.9 - spread], gap, difference_interval) >= 0.93
    assert covered(whole, [0.9 - spread], (0.9 - gap) / 0.9, ratio_interval) >= 0.93
    assert covered(whole, [0.9 - spread], 0.9 - gap, lambda parts: lowest_interval(parts[0])) >= 0.93


def test_a_pair_of_groups_has_newcombes_interval() -> None:
    """Newcombe (1998), Table II (a): 56 of 70 and 48 of 80, method 10: .0524 to .3339. Far from 0 at both ends."""
    _, high = difference_interval([(np.array([56.0, 48.0]), np.array([70.0, 80.0]))])
    assert high == pytest.approx(0.3339, abs=1e-4)
    many = np.array([5600.0, 4800.0]), np.array([7000.0, 8000.0])
    (l1, u1), (l2, u2) = (stats.binomtest(x, n).proportion_ci(method="wilson") for x, n in ((5600, 7000), (4800, 8000)))
    expected = 0.2 - np.hypot(0.8 - l1, u2 - 0.6), 0.2 + np.hypot(u1 - 0.8, 0.6 - l2)
    assert difference_interval([many]) == pytest.approx(expected, abs=1e-5)
    ends = stats.binomtest(3, 3).proportion_ci(method="wilson")
    assert [float(end) for end in wilson(3, 3)] == pytest.approx([ends.low, ends.high], abs=1e-6)


def test_the_ends_are_in_range_and_around_what_is_seen() -> None:
    random = np.random.default_rng(0)
    for _ in range(200):
        whole = random.integers(1, 60, 3).astype(float)
        part = random.binomial(whole.astype(int), random.random(3) ** 3).astype(float)
        gap = float(of_rates("demographic_parity_difference", [(part, whole)]))
        low, high = difference_interval([(part, whole)])
        assert 0 <= low <= gap <= high <= 1
        if part.any():
            ratio = float(of_rates("p_rule", [(part, whole)]))
            low, high = ratio_interval([(part, whole)])
            assert 0 <= low <= ratio + 1e-12 <= high + 2e-12 <= 1 + 2e-12


def people(seed: int, n: int = 6000, rare: float = 0.1, gap: float = 0.0) -> BehaviorEvidence:
    """Answers that depend on the label, and in the rare group on it by `gap` less."""
    random = np.random.default_rng(seed)
    group, labels = (random.random(n) < rare).astype(int), (random.random(n) < 0.3).astype(int)
    answers = random.random(n) < np.where(labels == 1, 0.6 - gap * group, 0.1)
    return BehaviorEvidence(
        ids=torch.arange(n) + 100,
        answers=torch.as_tensor(answers.astype(int)),
        labels=torch.as_tensor(labels),
        groups=torch.as_tensor(group).unsqueeze(1),
        attributes=("a",),
        num_classes=2,
        stream=Stream(seed),
    )


def test_the_baseline_is_what_a_fair_model_shows() -> None:
    """The mean over fair samples; a gap of .023 on census' race is no unfairness."""
    metrics = ("demographic_parity_difference", "equalized_odds_difference", "p_rule", "worst_group_accuracy")
    samples = [measure(people(seed)) for seed in range(30)]
    for metric in metrics:
        shown = np.mean([one.metrics[f"a.{metric}"] for one in samples])
        stated = np.mean([one.baselines[f"a.{metric}"] for one in samples])
        spread = np.std([one.metrics[f"a.{metric}"] for one in samples]) / np.sqrt(30)
        assert abs(shown - stated) < 4 * spread, metric
    assert samples[0].baselines["a.equalized_odds_difference"] > 0.02


def test_the_labels_own_gaps_stand_beside() -> None:
    group = torch.tensor([0, 1] * 200)
    labels = (torch.arange(400) % 3 == 0).long() * (group == 0)
    fields = {"answers": labels, "labels": labels, "groups": group.unsqueeze(1), "ids": torch.arange(400)}
    measured = measure(people(0).changed(**fields))
    for metric in ("demographic_parity_difference", "p_rule"):
        assert measured.metrics[f"a.{metric}"] == measured.baselines[f"a.labels.{metric}"]
    assert measured.metrics["a.demographic_parity_difference"] > 0.2
    assert measured.metrics["a.worst_group_accuracy"] == 1


def test_the_influence_of_records_gives_the_error_over_records() -> None:
    evidence = people(0, n=3000, gap=0.3)
    measured = measure(evidence)
    random, k = np.random.default_rng(0), 2
    draws = torch.as_tensor(random.integers(0, 3000, (400, 3000)))
    answers, labels, group = evidence.answers == 1, evidence.labels == 1, evidence.groups[:, 0]
    resampled = [gaps(count(answers[draw], labels[draw], group[draw], k)) for draw in draws]
    for metric in PARTS:
        influence = measured.influences[f"a.{metric}"]
        assert influence.records == len(evidence.ids)
        assert abs(sum(influence.sums)) < 1e-6
        if metric != "false_positive_rate_difference":  # equal in truth: no normal error
            assert influence.error == pytest.approx(np.std([one[metric] for one in resampled]), rel=0.3), metric
    decides = {name for name, facts in measured.facts.items() if facts.decides}
    assert decides == {"a.demographic_parity_difference", "a.equalized_odds_difference"}


def test_the_influence_allows_for_another_worst_rate() -> None:
    """The false positive rates differ a little more, the true ones less surely: either may be the larger gap."""
    sizes = {(0, 0): (700, 3500), (1, 0): (350, 3500), (0, 1): (300, 500), (1, 1): (251, 500)}  # favourable, all
    cells = [(group, label, i < yes) for (group, label), (yes, n) in sizes.items() for i in range(n)]
    group, labels, answers = (torch.tensor(part).long() for part in zip(*cells, strict=True))
    fields = {"answers": answers, "labels": labels, "groups": group.unsqueeze(1)}
    measured = measure(people(0, n=len(cells)).changed(**fields))
    draws = torch.as_tensor(np.random.default_rng(0).integers(0, len(cells), (300, len(cells))))
    resampled = [gaps(count(answers[draw] == 1, labels[draw] == 1, group[draw], 2)) for draw in draws]
    error = measured.influences["a.equalized_odds_difference"].error
    assert error > 1.4 * measured.influences["a.false_positive_rate_difference"].error
    assert error == pytest.approx(np.std([one["equalized_odds_difference"] for one in resampled]), rel=0.35)


def test_few_favourable_answers_have_a_fair_value() -> None:
    evidence = people(0, n=2000)
    answers = torch.zeros_like(evidence.answers)
    answers[:2] = 1
    assert 0 <= measure(evidence.changed(answers=answers)).baselines["a.p_rule"] <= 1


def test_a_model_with_one_answer_shows_no_gap_and_no_influence() -> None:
    evidence = people(0)
    measured = measure(evidence.changed(answers=torch.ones_like(evidence.answers)))
    assert measured.metrics["a.equalized_odds_difference"] == measured.baselines["a.equalized_odds_difference"] == 0
    assert measured.intervals["a.equalized_odds_difference"][0] == 0
    assert measured.influences["a.equalized_odds_difference"].spread == 0
