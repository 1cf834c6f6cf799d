"""Gaps between groups against fairlearn's, which groups count, and what is refused."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from amulet.core import IncompatibleError, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.discriminatory_behavior import protocol
from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
from amulet.discriminatory_behavior.defenses import AdversarialDebiasing
from amulet.discriminatory_behavior.metrics import BehaviorEvidence, Counts, gaps, measure
from amulet.discriminatory_behavior.metrics.gaps import count
from amulet.models import LinearNet


def evidence(answers: Any, labels: Any, groups: Any, **more: Any) -> BehaviorEvidence:
    groups = torch.as_tensor(groups)
    groups = groups.unsqueeze(1) if groups.dim() == 1 else groups
    settings: dict[str, Any] = {"num_classes": 2, "min_records": 1, "min_positives": 1, "stream": Stream(0)} | more
    return BehaviorEvidence(
        ids=torch.arange(len(groups)),
        answers=torch.as_tensor(answers),
        labels=torch.as_tensor(labels),
        groups=groups,
        attributes=tuple("abcdef"[: groups.shape[1]]),
        **settings,
    )


@given(seed=st.integers(0, 2**31), k=st.integers(2, 4))
def test_gaps_equal_fairlearns(seed: int, k: int) -> None:
    metrics = pytest.importorskip("fairlearn.metrics")
    random = np.random.default_rng(seed)
    n = 400
    group, labels, answers = random.integers(0, k, n), random.integers(0, 2, n), random.integers(0, 2, n)
    found = gaps(count(torch.as_tensor(answers == 1), torch.as_tensor(labels == 1), torch.as_tensor(group), k))
    given_ = {"y_true": labels, "y_pred": answers, "sensitive_features": group}
    assert found["demographic_parity_difference"] == pytest.approx(
        metrics.demographic_parity_difference(**given_), abs=1e-12
    )
    assert found["p_rule"] == pytest.approx(metrics.demographic_parity_ratio(**given_), abs=1e-12)
    assert found["equalized_odds_difference"] == pytest.approx(metrics.equalized_odds_difference(**given_), abs=1e-12)
    frame = metrics.MetricFrame(
        metrics={"t": metrics.true_positive_rate, "f": metrics.false_positive_rate}, **given_
    ).difference()
    assert found["true_positive_rate_difference"] == pytest.approx(frame["t"], abs=1e-12)
    assert found["false_positive_rate_difference"] == pytest.approx(frame["f"], abs=1e-12)


def test_equalized_odds_is_the_larger_gap_not_the_sum() -> None:
    counts = Counts(np.array([8, 5]), np.array([1, 2]), np.array([2, 5]), np.array([9, 8]))
    found = gaps(counts)
    assert found["true_positive_rate_difference"] == pytest.approx(0.3)
    assert found["false_positive_rate_difference"] == pytest.approx(0.1)
    assert found["equalized_odds_difference"] == pytest.approx(0.3)


def test_small_groups_have_no_gap_and_are_named() -> None:
    group = np.array([0] * 100 + [1] * 100 + [2] * 5)
    labels = np.array(([0, 1] * 103)[:205])
    answers = np.where(group == 2, 1, labels)  # the small group looks badly treated
    measured = measure(evidence(answers, labels, group, min_records=30, min_positives=10))
    assert measured.metrics["a.demographic_parity_difference"] == 0
    assert any("groups a 2 have under 30 records" in w for w in measured.warnings)
    named = evidence(answers, labels, group, min_records=30, min_positives=10).changed(value_names=(("x", "y", "zed"),))
    assert any("a: groups zed have under 30 records" in w for w in measure(named).warnings)
    both = evidence(answers, labels, np.stack([group, group], axis=1), min_records=30, intersections=True)
    named = both.changed(value_names=(("x", "y", "zed"), ()))
    assert any("intersection: groups zed and b 2 have" in w for w in measure(named).warnings)
    lonely = measure(evidence(answers[100:], labels[100:], group[100:], min_records=30, min_positives=10))
    assert math.isnan(lonely.metrics["a.demographic_parity_difference"])
    assert any("fewer than two groups" in w for w in lonely.warnings)
    assert "a.demographic_parity_difference" not in lonely.intervals


def test_more_than_two_classes_take_the_worst_class_and_attributes_intersect() -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 2, (900, 2))
    labels = random.integers(0, 3, 900)
    answers = np.where((groups.sum(1) == 2) & (labels == 2), 0, labels)
    measured = measure(evidence(answers, labels, groups, num_classes=3, intersections=True))
    by_class = [
        measure(evidence(answers, labels, groups, num_classes=3, positive=c)).metrics["a.true_positive_rate_difference"]
        for c in range(3)
    ]
    assert measured.metrics["a.true_positive_rate_difference"] == max(by_class)
    assert measured.metrics["intersection.true_positive_rate_difference"] == 1
    assert {m.split(".")[0] for m in measured.metrics} == {"a", "b", "intersection"}


def test_protocol_refuses_data_without_attributes() -> None:
    records = Records.of(torch.rand(40, 3), torch.arange(40) % 2)
    other = Records(records.x, records.y, records.z, records.ids + 40)
    data = AmuletDataset(name="plain", modality="tabular", train=records, test=other, num_classes=2)
    with pytest.raises(IncompatibleError, match="needs a sensitive attribute, and the data set has none"):
        protocol.check(DiscriminatoryBehavior(), (), data)
    with pytest.raises(SettingError, match="must be a class below 2, got 5"):
        protocol.check(DiscriminatoryBehavior(positive=5), (), load_census(limit=40))
    with pytest.raises(SettingError, match="`attributes` must be among race, sex; got age"):
        AdversarialDebiasing(attributes=["age"]).check(load_census(limit=40))
    with pytest.raises(IncompatibleError, match="adversarial debiasing needs a sensitive attribute"):
        AdversarialDebiasing().hidden(())


def test_by_hand_on_a_model() -> None:
    data = load_census(limit=500)
    model = LinearNet(data.shape, 2)
    found = DiscriminatoryBehavior(model, data.test).attack()
    assert set(measure(found).metrics) >= {"race.equalized_odds_difference", "sex.p_rule"}
    with pytest.raises(SettingError, match="must be built with a model and records"):
        DiscriminatoryBehavior().attack()
