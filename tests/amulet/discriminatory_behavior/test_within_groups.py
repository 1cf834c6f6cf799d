"""The worst intersection, calibration within groups and individual consistency, against brute force and fairlearn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from amulet.core import Stream
from amulet.core.intervals import clopper_pearson
from amulet.datasets import Records, load_census
from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
from amulet.discriminatory_behavior.metrics import BehaviorEvidence, intersections, measure
from amulet.discriminatory_behavior.metrics.calibration import bins_of, calibration_errors, worst_calibration
from amulet.discriminatory_behavior.metrics.consistency import agreement, nearest
from amulet.models import LinearNet

N = 600


def people(seed: int, min_records: int = 1) -> BehaviorEvidence:
    """Answers to people with two attributes; women of the third origin are few."""
    random = np.random.default_rng(seed)
    origin = random.choice(3, N, p=[0.6, 0.35, 0.05])
    groups = torch.as_tensor(np.stack([origin, random.integers(0, 2, N)], axis=1))
    p = torch.as_tensor(random.random(N))
    return BehaviorEvidence(
        ids=torch.arange(N),
        answers=(p > 0.5).long(),
        labels=torch.as_tensor(random.random(N) < p.numpy()).long(),
        groups=groups,
        attributes=("origin", "sex"),
        value_names=(("x", "y", "z"), ("man", "woman")),
        num_classes=2,
        probabilities=torch.stack([1 - p, p], dim=1),
        stream=Stream(seed),
        min_records=min_records,
        min_positives=1,
    )


@settings(max_examples=5)
@given(seed=st.integers(0, 1000))
def test_the_worst_intersection_is_fairlearns(seed: int) -> None:
    metrics, sklearn = pytest.importorskip("fairlearn.metrics"), pytest.importorskip("sklearn.metrics")
    given_ = people(seed)
    frame = metrics.MetricFrame(
        metrics={"accuracy": sklearn.accuracy_score, "count": metrics.count},
        y_true=given_.labels.numpy(),
        y_pred=given_.answers.numpy(),
        sensitive_features=given_.groups.numpy(),
    ).by_group
    measured, listed = measure(given_), intersections(given_)
    assert measured.metrics["intersection.worst_group_accuracy"] == pytest.approx(frame["accuracy"].min())
    assert measured.metrics["intersection.worst_group_records"] in set(
        frame["count"][frame["accuracy"] == frame["accuracy"].min()]
    )
    assert sorted(one["records"] for one in listed) == sorted(frame["count"])
    assert listed[0]["accuracy"] == round(frame["accuracy"].min(), 4)
    assert not any(f.decides for name, f in measured.facts.items() if name.startswith("intersection."))


def test_small_intersections_are_listed_with_wide_intervals_although_no_gap_counts_them() -> None:
    given_ = people(0, min_records=30)
    small = [one for one in intersections(given_) if one["records"] < 30]
    assert {one["group"] for one in small} == {"z and man", "z and woman"}
    for one in intersections(given_):
        low, high = clopper_pearson(round(one["accuracy"] * one["records"]), one["records"])
        assert one["interval"][0] < low + 0.03
        assert one["interval"][1] > high - 0.03
        assert 0 <= one["interval"][0] <= one["accuracy"] <= one["interval"][1] <= 1
    assert measure(given_).metrics["intersection.worst_group_records"] >= 30
    assert any("intersection: groups z and man, z and woman have" in text for text in measure(given_).warnings)


@settings(max_examples=20)
@given(seed=st.integers(0, 10000), groups=st.integers(1, 4))
def test_calibration_errors_are_those_of_a_loop(seed: int, groups: int) -> None:
    random = np.random.default_rng(seed)
    p, group = random.random(200).round(2), random.integers(0, groups, 200)
    happened, bins = random.random(200) < 0.5, bins_of(p)
    for g, found in enumerate(calibration_errors(p, happened, group, groups)):
        error = 0.0
        for b in range(10):
            inside = (group == g) & (bins == b)
            if inside.any():
                error += inside.sum() / (group == g).sum() * abs(happened[inside].mean() - p[inside].mean())
        assert found == pytest.approx(error)
    worst = worst_calibration(p, happened, group, np.arange(groups), np.random.default_rng(0))
    errors = calibration_errors(p, happened, group, groups)
    assert (worst.error, worst.group) == (pytest.approx(errors.max()), int(errors.argmax()))


@pytest.mark.parametrize(("shift", "sizes"), [(0.0, (900, 60)), (0.2, (900, 60)), (0.2, (60, 900))])
def test_calibration_intervals_hold_the_truth(shift: float, sizes: tuple[int, int]) -> None:
    """The second group's probabilities are too low by `shift`; nothing is wrong with the first's."""
    random, group = np.random.default_rng(1), np.repeat([0, 1], sizes)
    held = 0
    for _ in range(100):
        p = random.uniform(0.1, 0.7, len(group))
        happened = random.random(len(group)) < p + shift * group
        found = worst_calibration(p, happened, group, np.array([0, 1]), random)
        held += found.interval[0] <= shift <= found.interval[1]
    assert held >= 91  # of 100 draws with 95 in the mean, fewer come in 2 of 100


def test_calibration_is_within_each_group_and_left_out_without_probabilities() -> None:
    given_ = people(0)
    p = given_.probabilities
    assert p is not None
    women = given_.groups[:, 1] == 1
    swapped = torch.where(women.unsqueeze(1), p.flip(1), p)  # overall and for men nothing changes much
    fair, unfair = measure(given_), measure(given_.changed(probabilities=swapped))
    assert fair.intervals["sex.calibration_error"][0] == 0
    assert fair.metrics["sex.calibration_error"] < 0.12
    assert unfair.metrics["sex.calibration_error"] > 0.4
    assert unfair.intervals["sex.calibration_error"][0] > 0.3
    assert "sex.calibration_error" not in measure(given_.changed(probabilities=None)).metrics


@settings(max_examples=5)
@given(seed=st.integers(0, 1000), bytes_=st.booleans())
def test_consistency_is_that_of_scikit_learns_neighbours(seed: int, bytes_: bool) -> None:
    neighbors = pytest.importorskip("sklearn.neighbors")
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(300, 1, 4, 5, generator=generator)
    x = (x * 255).byte() if bytes_ else x
    records = Records.of(x, torch.zeros(300))
    answers = torch.randint(0, 2, (300,), generator=generator)
    anchors = torch.randperm(300, generator=generator)[:50]
    flat = records.inputs().flatten(1).numpy()
    _, near = neighbors.NearestNeighbors(n_neighbors=6).fit(flat).kneighbors(flat[anchors])
    expected = 1 - np.abs(answers[anchors].numpy() - answers.numpy()[near[:, 1:]].mean(axis=1))
    found = agreement(answers, anchors, nearest(records, anchors, 5))
    assert found.mean().item() == pytest.approx(expected.mean())


def test_neighbours_are_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amulet.discriminatory_behavior.metrics.consistency.batch_size_for", len)  # one, of shape (1,)
    x = torch.tensor([[0.0], [1.0], [0.1], *[[0.6]] * 20, [0.05], [0.95]])
    near = nearest(Records.of(x, torch.zeros(len(x))), torch.tensor([0, 1]), 2)
    assert [set(one) for one in near.tolist()] == [{2, 23}, {24, 3}] or near[1, 0] == 24


def test_a_model_that_answers_at_random_is_at_its_baseline_and_a_smooth_one_above() -> None:
    data = load_census(limit=600)
    attack, noise = DiscriminatoryBehavior(), torch.randint(0, 2, (len(data.test),))
    random = measure(attack.look(noise, data.test, 2, Stream(0)))
    low, high = random.intervals["consistency"]
    assert low - 0.03 < random.baselines["consistency"] < high + 0.03
    smooth = measure(DiscriminatoryBehavior(LinearNet(data.shape, 2), data.test).attack())
    assert smooth.metrics["consistency"] > 0.8 or smooth.baselines["consistency"] > 0.9
    assert {"sex.calibration_error", "intersection.calibration_error"} <= set(smooth.metrics)
    assert not smooth.facts["consistency"].decides
    assert smooth.facts["consistency"].harm == "lower"
