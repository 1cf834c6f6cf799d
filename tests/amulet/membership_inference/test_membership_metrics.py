"""What is read off the ROC curve, against brute force."""

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amulet.core import clopper_pearson
from amulet.membership_inference.metrics import (
    MembershipEvidence,
    auc,
    auc_interval,
    balanced_accuracy,
    hits_at_fpr,
    measure,
    most_exposed,
    roc,
    tpr_interval,
)

Sides = tuple[list[int], list[int]]
SIDES = st.tuples(
    st.lists(st.integers(-4, 4), min_size=1, max_size=12), st.lists(st.integers(-4, 4), min_size=1, max_size=12)
)


def joined(sides: Sides) -> tuple[np.ndarray, np.ndarray]:
    inside, outside = sides
    members = np.array([True] * len(inside) + [False] * len(outside))
    return members, np.array([*inside, *outside], dtype=float)


def drawn(n: int, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    draw = np.random.default_rng(seed)
    members = np.arange(2 * n) < n
    return members, draw.normal(size=2 * n) + shift * members


def evidence(members: np.ndarray, score: np.ndarray, **changes: object) -> MembershipEvidence:
    n = len(members)
    values: dict[str, object] = {
        "victim": "undefended",
        "ids": np.arange(n),
        "members": members,
        "correct": members | (np.arange(n) % 2 == 0),
        "scores": {"lira_online": score, "loss": -score},
        "target_signals": score,
        "shadow_signals": np.zeros((16, n)),
        "shadow_members": np.zeros((16, n), dtype=bool),
        **changes,
    }
    return MembershipEvidence(**values)  # type: ignore[arg-type]


@given(SIDES)
def test_auc_is_the_share_of_pairs_in_order(sides: Sides) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in sides[0] for b in sides[1]]
    assert auc(*joined(sides)) == pytest.approx(np.mean(pairs))


@given(SIDES)
def test_balanced_accuracy_is_the_best_over_all_thresholds(sides: Sides) -> None:
    members, score = joined(sides)
    best = max(((score[members] >= t).mean() + (score[~members] < t).mean()) / 2 for t in [*np.unique(score), math.inf])
    assert balanced_accuracy(members, score) == pytest.approx(best)


@given(SIDES, st.sampled_from([1.0, 2.0, 4.0]))
def test_hits_are_those_of_the_best_threshold_within_the_rate(sides: Sides, fold: float) -> None:
    members, score = joined(sides)
    rate = min(1.0, 10 * fold / len(sides[1]))  # a rate that the sample is taken to resolve
    found = hits_at_fpr(members, score, rate)
    if len(sides[1]) < round(10 / rate):
        assert found is None
        return
    best = max(
        (score[members] >= t).sum() for t in [*np.unique(score), math.inf] if (score[~members] >= t).mean() <= rate
    )
    assert found == best


@pytest.mark.parametrize(("n", "rate"), [(1000, 0.01), (10_000, 0.001)])
def test_interval_of_the_hits_covers_the_threshold_too(n: int, rate: float) -> None:
    """Clopper and Pearson's interval, for the given threshold, covers the true rate in 42 to 60 % of the draws."""
    normal = NormalDist()
    truth = 1 - normal.cdf(normal.inv_cdf(1 - rate) - 1.0)
    draws = 120 if n < 5000 else 40
    found = [
        (tpr_interval(*drawn(n, 1.0, seed), rate), hits_at_fpr(*drawn(n, 1.0, seed), rate)) for seed in range(draws)
    ]
    covered = np.mean([interval is not None and interval[0] <= truth <= interval[1] for interval, _ in found])
    fixed = [clopper_pearson(hits, n) for _, hits in found if hits is not None]
    assert covered > 0.9
    assert np.mean([low <= truth <= high for low, high in fixed]) < 0.75
    assert np.mean([interval[1] - interval[0] for interval, _ in found if interval]) < 1.2 * truth


def test_interval_of_the_hits_at_the_ends() -> None:
    members = np.arange(2000) < 1000
    assert tpr_interval(members, members.astype(float), 0.01) == (pytest.approx(0.9975, abs=0.001), 1.0)
    low, high = tpr_interval(members, np.zeros(2000), 0.01) or (1.0, 1.0)
    assert low == 0
    assert high < 0.004
    assert tpr_interval(members[1:], np.zeros(1999), 0.001) is None


def test_a_tie_across_the_rate_is_not_cut() -> None:
    """All non-members share the members' score: no threshold has few false positives, interpolation would claim one."""
    members = np.arange(2000) < 1000
    assert hits_at_fpr(members, np.zeros(2000), 0.01) == 0


def test_a_corner_on_a_straight_line_is_kept() -> None:
    members, score = joined(([3, 2, 1], [3, 2, 1]))
    assert len(roc(members, score)[0]) == 4


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_interval_of_the_auc_covers_as_it_says(shift: float) -> None:
    truth = 0.5 * (1 + math.erf(shift / 2))
    covered = [low <= truth <= high for low, high in (auc_interval(*drawn(150, shift, s)) for s in range(300))]
    assert 0.91 < np.mean(covered) < 0.985


def test_interval_of_the_auc_is_delong() -> None:
    members, score = joined(([3, 5, 2, 4, 4, 1, 2], [1, 2, 0, 3, 1, 4]))
    inside, outside = score[members], score[~members]
    wins = (inside[:, None] > outside) + (inside[:, None] == outside) / 2
    deviation = math.sqrt(wins.mean(axis=1).var(ddof=1) / 7 + wins.mean(axis=0).var(ddof=1) / 6)
    low, high = auc_interval(members, score)
    assert low == pytest.approx(wins.mean() - 1.959964 * deviation)
    assert high == pytest.approx(min(1.0, wins.mean() + 1.959964 * deviation))


def test_a_perfect_score_still_has_an_interval() -> None:
    members, score = joined(([5, 6, 7], [1, 2, 3, 4]))
    assert auc_interval(members, score) == clopper_pearson(3, 3)
    assert auc_interval(members, -score) == clopper_pearson(0, 3)


def test_measure_reports_each_score_with_intervals_and_baselines() -> None:
    members, score = drawn(10_000, 1.0)
    measured = measure(evidence(members, score))
    assert measured.warnings == []
    assert set(measured.metrics) == {
        f"{name}.{metric}"
        for name in ("strongest", "lira_online", "loss")
        for metric in ("auc", "balanced_accuracy", "tpr_at_1pct_fpr", "tpr_at_0.1pct_fpr")
    }
    assert set(measured.metrics) < set(measured.baselines)
    # Two unit Gaussians one apart: AUC Phi(1 / sqrt 2), best balanced accuracy Phi(1 / 2), TPR Phi(1 - quantile).
    assert measured.metrics["lira_online.auc"] == pytest.approx(0.7602, abs=0.01)
    assert measured.metrics["lira_online.balanced_accuracy"] == pytest.approx(0.6915, abs=0.01)
    assert measured.metrics["lira_online.tpr_at_1pct_fpr"] == pytest.approx(0.0924, abs=0.015)
    assert measured.metrics["lira_online.tpr_at_0.1pct_fpr"] == pytest.approx(0.0183, abs=0.008)
    assert measured.intervals["lira_online.tpr_at_1pct_fpr"] == tpr_interval(members, score, 0.01)
    assert measured.baselines["lira_online.auc"] == 0.5
    assert measured.baselines["lira_online.tpr_at_0.1pct_fpr"] == 0.001
    assert measured.baselines["train_test_gap"] == pytest.approx(0.5)
    assert measured.baselines["loss.balanced_accuracy"] == pytest.approx(0.75)  # the gap attack
    assert measured.metrics["lira_online.auc"] + measured.metrics["loss.auc"] == pytest.approx(1)


def test_the_chosen_score_decides_under_a_name_of_its_own() -> None:
    members, score = drawn(2000, 1.0)
    chosen = evidence(
        members, -score, deciding="loss", whole_split=True
    )  # "loss" is the score, "lira_online" its negative
    measured = measure(chosen)
    assert [name for name, facts in measured.facts.items() if facts.decides] == ["strongest.auc"]
    for metric in ("auc", "balanced_accuracy", "tpr_at_1pct_fpr"):
        assert measured.metrics[f"strongest.{metric}"] == measured.metrics[f"loss.{metric}"]
    assert measured.baselines["strongest.auc"] == 0.5
    only = measure(evidence(members, score, scores={"quantile": score}))
    assert [name for name, facts in only.facts.items() if facts.decides] == ["strongest.auc"]
    assert only.metrics["strongest.auc"] == only.metrics["quantile.auc"]


def test_the_auc_within_groups_is_that_of_their_records_alone() -> None:
    members, score = drawn(2000, 1.0)
    black, few = np.arange(4000) % 4 == 0, np.arange(4000) < 40
    measured = measure(evidence(members, score, groups={"race.Black": black, "race.other": few}))
    assert measured.metrics["race.Black.group_auc"] == auc(members[black], score[black])
    low, high = measured.intervals["race.Black.group_auc"]
    assert low < measured.metrics["race.Black.group_auc"] < high
    assert "race.other.group_auc" not in measured.metrics  # one side has fewer than 30 records
    facts = measured.facts["race.Black.group_auc"]
    assert dict(facts.subject) == {"attribute": "race", "group": "Black"}
    assert not facts.decides


def test_the_most_exposed_are_members_in_the_order_of_their_score() -> None:
    members = np.array([True, False, True, True, False])
    found = most_exposed(evidence(members, np.array([1.0, 2.0, 3.0, 2.0, 0.0])), count=2)
    assert found["ids"].tolist() == [2, 3]
    assert found["scores"].tolist() == [3.0, 2.0]
    assert found["false_alarms"].tolist() == [0.0, 0.5]  # a tie is a false alarm


def test_influence_is_that_of_delong_where_all_seeds_have_the_same_records() -> None:
    members, score = drawn(500, 1.0)
    measured = measure(evidence(members, score, whole_split=True))
    assert list(measured.influences) == ["strongest.auc"]
    low, high = measured.intervals["strongest.auc"]
    influence = measured.influences["strongest.auc"]
    assert influence.error == pytest.approx((high - low) / 2 / 1.959964, rel=0.25)  # estimated from blocks of records
    assert influence.records == 1000
    assert not measure(evidence(members, score)).influences


def test_mean_over_the_shadow_models_has_an_interval_over_pairs() -> None:
    members, score = drawn(500, 1.0)
    aucs = np.array([0.6, 0.62, 0.58, 0.6, 0.66, 0.66])  # means of pairs .61 .59 .66
    measured = measure(evidence(members, score, target_aucs={"loss": aucs}))
    assert measured.metrics["loss.auc_over_targets"] == pytest.approx(0.62)
    low, high = measured.intervals["loss.auc_over_targets"]
    half = 4.302653 * np.std([0.61, 0.59, 0.66], ddof=1) / math.sqrt(3)
    assert (low, high) == (pytest.approx(0.62 - half), pytest.approx(0.62 + half))
    assert "lira_online.auc_over_targets" not in measured.metrics


def test_nothing_above_chance_is_said_of_a_model_without_a_defence() -> None:
    members, score = drawn(1000, 0.0)
    (warning,) = [text for text in measure(evidence(members, score)).warnings if "chance is 0.5" in text]
    assert warning.startswith("undefended: no score tells members from others: lira_online, the strongest")
    defended = measure(evidence(members, score, victim="defended")).warnings
    assert not any("chance is 0.5" in text for text in defended)
    assert not any("chance is 0.5" in text for text in measure(evidence(*drawn(1000, 1.0))).warnings)


def test_a_rate_that_the_sample_cannot_resolve_is_left_out() -> None:
    measured = measure(evidence(*drawn(1000, 1.0)))
    assert math.isnan(measured.metrics["lira_online.tpr_at_0.1pct_fpr"])
    assert "lira_online.tpr_at_0.1pct_fpr" not in measured.intervals
    assert not math.isnan(measured.metrics["lira_online.tpr_at_1pct_fpr"])
    (warning,) = measured.warnings
    assert "1000 non-members cannot resolve it" in warning
    assert "attack.pool_size" in warning
    assert measure(evidence(*drawn(999, 1.0))).warnings[0].startswith("undefended: tpr_at_1pct_fpr is left out")


def test_retained_members_are_reported_beside_all() -> None:
    members, score = drawn(2000, 1.0)
    retained = members & (np.arange(4000) % 4 != 0)
    removed = members & ~retained
    score = np.where(removed, score - 1.0, score)  # the victim never saw them: they look like the others
    measured = measure(evidence(members, score, retained=retained))
    kept = retained | ~members
    assert measured.metrics["lira_online.retained.auc"] == auc(members[kept], score[kept])
    assert measured.metrics["lira_online.retained.auc"] > measured.metrics["lira_online.auc"] + 0.03
    assert measured.metrics["lira_online.auc"] == auc(members, score)


def test_no_retained_member_is_no_number() -> None:
    members, score = drawn(2000, 1.0)
    measured = measure(evidence(members, score, retained=np.zeros_like(members)))
    assert math.isnan(measured.metrics["lira_online.retained.auc"])
    assert any("nothing can be told apart" in warning for warning in measured.warnings)


def test_best_threshold_of_a_blind_score_is_above_half_by_as_much_as_stated() -> None:
    found = np.mean([balanced_accuracy(*drawn(500, 0.0, seed)) for seed in range(100)])
    assert found == pytest.approx(0.5 + 0.63 / math.sqrt(1000), abs=0.003)
