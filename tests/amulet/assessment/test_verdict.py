"""The statistics over seeds, against scipy, against definitions, and on pure noise."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from amulet.assessment.crossed import Change, paired_change
from amulet.assessment.verdict import Comparison, clopper_pearson, detectable_difference, holm, judge, summarize

VALUES = st.lists(st.floats(0, 1), min_size=2, max_size=12)


def pairs(seed: int, n: int, effect: float = 0.0) -> tuple[list[float], list[float]]:
    generator = np.random.default_rng(seed)
    before = generator.normal(0.8, 0.02, n)
    return before.tolist(), (before + effect + generator.normal(0, 0.01, n)).tolist()


def change_of(sd: float, n: int) -> Change:
    """A change over n seeds, of which nothing matters but the spread."""
    error = sd / math.sqrt(n) if n > 1 else math.nan
    return Change(n=n, mean=0.0, error=error, sd=sd, low=0.0, high=0.0, p_value=1.0, freedom=n - 1)


@given(VALUES)
def test_summary_is_scipys(values: list[float]) -> None:
    summary = summarize(values)
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(sum(values) / len(values))
    assert summary.error == pytest.approx(float(stats.sem(values)))
    assert summary.sd == pytest.approx(summary.error * math.sqrt(len(values)))


def test_summary_leaves_out_what_is_no_number_and_has_no_error_for_one_seed() -> None:
    one = summarize([0.5, math.nan])
    assert (one.n, one.mean) == (1, 0.5)
    assert math.isnan(one.error)
    assert math.isnan(one.sd)
    assert summarize([]).n == 0
    assert summarize([8.0, 8.0 + 1e-15, 8.0 - 1e-15]).sd == 0, "rounding is no spread"
    assert math.isnan(summarize([]).mean)


@pytest.mark.parametrize("n", [2, 3, 10, 30])
def test_paired_change_is_scipys_paired_t_test(n: int) -> None:
    before, after = pairs(n, n, 0.004)
    change = paired_change(before, after)
    expected = stats.ttest_rel(after, before)
    interval = expected.confidence_interval(0.95)
    assert change.n == n
    assert change.mean == pytest.approx(np.mean(after) - np.mean(before))
    assert change.p_value == pytest.approx(float(expected.pvalue))
    assert (change.low, change.high) == pytest.approx((interval.low, interval.high))
    wider = paired_change(before, after, confidence=0.99)
    assert wider.low < change.low < change.high < wider.high


def test_pairs_with_a_missing_number_are_left_out() -> None:
    change = paired_change([0.1, math.nan, 0.3, 0.2], [0.2, 0.9, 0.5, math.inf])
    assert change.n == 2
    assert change.mean == pytest.approx(0.15)


def test_a_single_pair_has_a_difference_and_no_interval() -> None:
    change = paired_change([0.25], [0.75])
    assert change.mean == 0.5
    assert math.isnan(change.low)
    assert math.isnan(change.p_value)


def test_differences_that_are_all_the_same() -> None:
    same = paired_change([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    assert (same.mean, same.low, same.high, same.p_value) == (0, 0, 0, 1)
    shifted = paired_change([0.1, 0.2, 0.3], [0.2, 0.3, 0.4])  # 0.1 each, but for float rounding
    assert shifted.p_value == 0.25  # of 8 patterns of signs 2 are as extreme: never 0
    assert shifted.low == shifted.high == pytest.approx(0.1)


def test_victims_must_have_the_same_seeds() -> None:
    with pytest.raises(ValueError, match="`defended` must pair"):
        paired_change([0.1, 0.2], [0.1])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=10))
def test_holm_rejects_what_its_step_down_procedure_rejects(p_values: list[float]) -> None:
    """Holm (1979), literally: the smallest p against alpha/m, the next against alpha/(m-1), and so on to a failure."""
    alpha = 0.05
    rejected: set[int] = set()
    order_ = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for step, i in enumerate(order_):
        if p_values[i] * (len(p_values) - step) > alpha:
            break
        rejected.add(i)
    corrected = holm(p_values)
    assert {i for i, p in enumerate(corrected) if p <= alpha} == rejected
    assert all(p <= q <= 1 for p, q in zip(p_values, corrected, strict=True))


def test_holm_refuses_a_test_that_was_not_made() -> None:
    with pytest.raises(ValueError, match="`p_values` must hold no NaN"):
        holm([0.1, math.nan])
    assert holm([]).tolist() == []


@pytest.mark.parametrize(("successes", "trials"), [(0, 50), (1, 50), (25, 50), (50, 50), (19_000, 23_224)])
def test_clopper_pearson_is_scipys_exact_interval(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="exact")
    assert clopper_pearson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("n", "alpha"), [(2, 0.05), (3, 0.05), (5, 0.05), (10, 0.05), (10, 0.05 / 63), (100, 0.01)])
def test_the_detectable_difference_is_detected_four_times_in_five(n: int, alpha: float) -> None:
    """By simulation: paired t-tests on normal differences with that mean."""
    sd, trials = 0.02, 40_000
    effect = detectable_difference(change_of(sd, n), alpha)
    draws = np.random.default_rng(n).normal(effect, sd, (trials, n))
    t = draws.mean(axis=1) / (draws.std(axis=1, ddof=1) / math.sqrt(n))
    found = np.abs(t) > float(stats.t.ppf(1 - alpha / 2, n - 1))
    assert found.mean() == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / trials))


def test_the_detectable_difference_against_scipys_non_central_t() -> None:
    shift = detectable_difference(change_of(1.0, 10)) * math.sqrt(10)
    critical = stats.t.ppf(0.975, 9)
    power = stats.nct.sf(critical, 9, shift) + stats.nct.cdf(-critical, 9, shift)
    assert power == pytest.approx(0.8, abs=1e-3)
    assert math.isnan(detectable_difference(change_of(0.1, 1)))
    assert detectable_difference(change_of(0.0, 10)) == 0


def cell(effect: float, worse: str, n: int = 10, seed: int = 0, *, fixed: bool = False) -> Comparison:
    before, after = pairs(seed, n, effect)
    direction = "higher" if worse == "higher" else "lower"
    return Comparison(undefended=before, defended=after, worse=direction, by_construction=fixed)


@pytest.mark.parametrize(
    ("effect", "worse", "word"),
    [
        (0.1, "higher", "rises"),
        (-0.1, "higher", "falls"),
        (0.1, "lower", "falls"),
        (-0.1, "lower", "rises"),
        (0.0, "higher", "no evidence"),
    ],
)
def test_a_verdict_speaks_of_the_risk_not_of_the_number(effect: float, worse: str, word: str) -> None:
    assert judge({"x": cell(effect, worse)})["x"].outcome == word


def test_too_few_seeds_get_an_interval_and_what_could_have_been_seen_but_no_verdict() -> None:
    verdict = judge({"x": cell(0.3, "higher", n=9)})["x"]
    assert verdict.outcome == "too few seeds"
    assert math.isnan(verdict.p_value)
    assert verdict.change.low < verdict.change.mean < verdict.change.high
    assert verdict.detectable == pytest.approx(detectable_difference(change_of(verdict.change.sd, 9)))


def test_what_cannot_change_is_never_no_evidence_and_counts_as_no_test() -> None:
    alone = judge({"x": cell(0.012, "higher")})["x"]
    grid = judge(
        {
            "x": cell(0.012, "higher"),
            "fixed": Comparison(undefended=[0.5] * 10, defended=[0.5] * 10, worse="higher", by_construction=True),
            "few": cell(0.1, "higher", n=3),
        }
    )
    assert grid["fixed"].outcome == "unchanged by construction"
    assert math.isnan(grid["fixed"].detectable)
    assert grid["x"].p_value == alone.p_value


def test_more_comparisons_ask_for_more_evidence() -> None:
    few = judge({"x": cell(0.02, "higher")})["x"]
    many = judge({"x": cell(0.02, "higher")} | {f"noise {i}": cell(0, "higher", seed=i + 1) for i in range(30)})["x"]
    assert many.p_value > few.p_value
    assert many.detectable > few.detectable


def test_a_grid_of_pure_noise_gives_at_most_the_nominal_share_of_verdicts() -> None:
    """Holm bounds the chance of even one wrong verdict in a grid: exact binomial test over 600 grids of 12 cells."""
    grids, seeds = 600, 10
    generator = np.random.default_rng(2024)

    def noise() -> Comparison:
        before = generator.normal(0.5, 0.05, seeds)
        return Comparison(
            undefended=before.tolist(), defended=generator.normal(0.5, 0.05, seeds).tolist(), worse="lower"
        )

    wrong = 0
    for _ in range(grids):
        verdicts = judge({i: noise() for i in range(12)})
        wrong += any(verdict.outcome != "no evidence" for verdict in verdicts.values())
    assert wrong > 0  # a test that never fires would be no test
    assert stats.binomtest(wrong, grids, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize(
    ("change", "facts", "outcome"),
    [
        (0.1, {"invalid": "the search strayed"}, "cannot show"),
        (0.1, {"not_measurable": "2 of 12 seeds have no number"}, "not measurable"),
        (-0.1, {"at_least": "the attack is at its baseline"}, "cannot show"),
        (0.0, {"at_least": "the attack is at its baseline"}, "cannot show"),
        (0.1, {"at_least": "the attack is at its baseline"}, "rises"),
        (0.1, {"at_most": "the attack always succeeds"}, "cannot show"),
        (-0.1, {"at_most": "the attack always succeeds"}, "falls"),
        (0.0, {"smallest_effect": 0.02}, "equivalent"),
        (0.03, {"smallest_effect": 0.02}, "rises"),
    ],
)
def test_a_verdict_says_no_more_than_its_numbers_can_carry(change: float, facts: dict[str, Any], outcome: str) -> None:
    one = dataclasses.replace(cell(change, "higher"), **facts)
    verdict = judge({"x": one})["x"]
    assert verdict.outcome == outcome
    if outcome in ("cannot show", "not measurable"):
        assert verdict.reason in facts.values()


def test_what_cannot_be_tested_does_not_count_as_a_test() -> None:
    alone = judge({"x": cell(0.012, "higher")})["x"]
    invalid = dataclasses.replace(cell(0.1, "higher", seed=1), invalid="collapsed")
    assert judge({"x": cell(0.012, "higher"), "y": invalid})["x"].p_value == alone.p_value


def test_no_interval_goes_beyond_what_is_possible() -> None:
    before, after = [0.1, 0.2], [0.6, 0.1]
    free, whole = paired_change(before, after), paired_change(before, after, most=1.0)
    assert free.low < -1
    assert free.high > 1
    assert (whole.low, whole.high) == (-1.0, 1.0)
    assert (whole.mean, whole.p_value) == (free.mean, free.p_value)
    cell = Comparison(undefended=before, defended=after, worse="higher", most=1.0)
    assert judge({"a": cell})["a"].change == whole
