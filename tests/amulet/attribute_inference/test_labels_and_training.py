"""Attribute inference from labels alone, and what is inferred of training records beside others."""

import dataclasses

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score
from sklearn.tree import DecisionTreeClassifier

from amulet import victims
from amulet.assessment import Plan, Suite, assess
from amulet.attribute_inference.attacks import AttributeInference, AttributeLabels
from amulet.attribute_inference.metrics import measure
from amulet.attribute_inference.metrics.intervals import unpaired_interval
from amulet.core import Access, Factory
from amulet.datasets import load_census
from amulet.poisoning.defenses import OutlierRemoval
from tests.helpers.attribute_toys import answers_of_label, answers_with_leak, inferred, people, quick

ADVERSARY, TEST, TRAINING = people(1500, 0), people(1000, 1, first_id=5000), people(800, 2, first_id=9000)


def labels(**changes: object) -> AttributeLabels:
    return AttributeLabels(epochs=15, hidden=[16], lr=0.01, batch_size=128).changed(**changes)


def test_nothing_but_the_class_is_used() -> None:
    logits = [answers_with_leak(part, 3) for part in (ADVERSARY, TEST)]
    classes = [torch.nn.functional.one_hot(part.argmax(dim=1), 2).float() for part in logits]
    seen, told = (inferred(labels(), ADVERSARY, one[0], TEST, one[1]) for one in (logits, classes))
    for key, scores in seen.log_probabilities.items():
        assert torch.equal(scores, told.log_probabilities[key]), key
    assert labels().needs == Access.LABELS | Access.QUERIES


def test_from_the_class_alone_it_finds_what_counting_finds() -> None:
    """The best that a class allows are the frequencies of the values with it; the baseline knows no answer at all."""
    logits = [answers_with_leak(part, 3) for part in (ADVERSARY, TEST)]
    found = measure(inferred(labels(), ADVERSARY, logits[0], TEST, logits[1]))
    for metric in ("balanced_accuracy", "auc"):
        assert found.metrics[f"group.{metric}"] == found.baselines[f"group.predicted_label.{metric}"]
        assert found.baselines[f"group.{metric}"] == 0.5
    assert found.intervals["group.advantage"][0] > 0.15


def test_an_error_of_the_victim_tells_something_to_who_knows_the_label() -> None:
    """The victim is wrong about one group and right about the other: neither class nor label says so alone."""
    group = [torch.arange(len(part)) % 2 for part in (ADVERSARY, TEST)]
    coin = [(torch.rand(len(part), generator=torch.Generator().manual_seed(4)) < 0.5).long() for part in group]
    tables = [part.replace(y=y, z=z.unsqueeze(1)) for part, y, z in zip((ADVERSARY, TEST), coin, group, strict=True)]
    answers = [torch.nn.functional.one_hot(part.y ^ part.z[:, 0], 2).float() for part in tables]
    blind, knowing = (
        measure(inferred(labels(knows_label=knows), tables[0], answers[0], tables[1], answers[1]))
        for knows in (False, True)
    )
    assert blind.metrics["group.balanced_accuracy"] < 0.56
    assert knowing.metrics["group.balanced_accuracy"] > 0.99
    assert knowing.baselines["group.balanced_accuracy"] < 0.56


def test_a_victim_with_one_answer_tells_nothing() -> None:
    silent = [torch.zeros(len(part), 2) for part in (ADVERSARY, TEST)]
    found = measure(inferred(labels(epochs=1), ADVERSARY, silent[0], TEST, silent[1]))
    assert found.metrics["group.advantage"] == 0
    assert any("frequencies of its values alone" in warning for warning in found.warnings)


def test_training_records_are_measured_apart() -> None:
    logits = [answers_with_leak(part, strength) for part, strength in ((ADVERSARY, 2), (TEST, 1), (TRAINING, 4))]
    evidence = inferred(quick(), ADVERSARY, logits[0], TEST, logits[1], TRAINING, logits[2])
    found = measure(evidence)
    share = {
        name: [
            balanced_accuracy_score(truth["group"].numpy(), answers[key].numpy())
            for truth, answers in (
                (evidence.training_truth, evidence.training_answers),
                (evidence.truth, evidence.answers),
            )
        ]
        for name, key in (("attack", "group"), ("baseline", "group.predicted_label"))
    }
    metrics, baselines = found.metrics, found.baselines
    assert metrics["group.training_balanced_accuracy"] == pytest.approx(share["attack"][0])
    assert baselines["group.training_balanced_accuracy"] == pytest.approx(share["baseline"][0])
    assert metrics["group.training_advantage"] == pytest.approx(share["attack"][0] - share["baseline"][0])
    assert metrics["group.training_gap"] == pytest.approx(share["attack"][0] - share["attack"][1])
    assert baselines["group.training_gap"] == pytest.approx(share["baseline"][0] - share["baseline"][1])
    assert found.intervals["group.training_gap"][0] > 0.05
    for name, (low, high) in found.intervals.items():
        assert low <= metrics[name] <= high
    alone = inferred(quick(), ADVERSARY, logits[0], TEST, logits[1])
    assert torch.equal(alone.answers["group"], evidence.answers["group"]), "a record is judged by itself"
    assert not any("training" in name for name in measure(alone).metrics)


def test_an_attribute_without_variety_in_training_has_no_gap() -> None:
    one = TRAINING.replace(z=TRAINING.z * 0)
    logits = [answers_of_label(part) for part in (ADVERSARY, TEST, one)]
    found = measure(inferred(quick(epochs=1), ADVERSARY, logits[0], TEST, logits[1], one, logits[2]))
    assert not any("training" in name for name in found.metrics)


def test_the_unpaired_interval_covers_the_difference() -> None:
    """Two values of 15 and 120 records against 40 and 300: of 400 draws 95 % and more hold the true difference."""
    random = np.random.default_rng(0)
    sizes, others = np.array([15, 120]), np.array([40, 300])
    shares, theirs = np.array([0.8, 0.6]), np.array([0.7, 0.65])
    true = shares.mean() - theirs.mean()
    ends = [
        unpaired_interval(random.binomial(sizes, shares), sizes, random.binomial(others, theirs), others)
        for _ in range(400)
    ]
    assert np.mean([low <= true <= high for low, high in ends]) >= 0.94


def test_with_many_records_the_unpaired_interval_is_that_of_two_shares() -> None:
    low, high = unpaired_interval(np.array([60_000]), np.array([100_000]), np.array([20_000]), np.array([40_000]))
    error = np.sqrt(0.6 * 0.4 / 100_000 + 0.25 / 40_000)
    assert (low, high) == pytest.approx((0.1 - 1.96 * error, 0.1 + 1.96 * error), abs=1e-4)


def plan(**changes: object) -> Plan:
    settings: dict[str, object] = {
        "data": load_census(limit=400),
        "architecture": Factory("amulet.models.LinearNet", hidden=[8]),
        "optimizer": Factory("torch.optim.Adam", lr=0.01),
        "epochs": 1,
        "attack": AttributeInference(epochs=1),
    }
    return Plan(**{**settings, **changes})  # type: ignore[arg-type]


def test_records_that_a_defence_took_out_are_no_training_records() -> None:
    outcome = assess(plan(defenses=(OutlierRemoval(),), metrics=("P2",)))
    (removed,) = (array for name, array in outcome.arrays.items() if name.endswith(".removed"))
    sizes = [
        len(outcome.arrays[f"{victim}.attribute_inference.training_truth.sex"]) for victim in ("undefended", "defended")
    ]
    assert sizes == [200, 200 - removed.sum()]
    assert removed.sum() > 0


def test_a_given_victim_has_no_known_training_records() -> None:
    data = load_census(limit=400)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(data.train.inputs().numpy(), data.train.y.numpy())
    outcome = assess(plan(data=data, victim=victims.of(tree, data)))
    assert "sex.balanced_accuracy" in outcome.metrics["undefended"]
    assert not any("training_" in name for name in outcome.metrics["undefended"])


def test_a_victim_that_answers_labels_gets_the_attack_from_labels() -> None:
    data = load_census(limit=400)
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(data.train.inputs().numpy(), data.train.y.numpy())
    given = dataclasses.replace(victims.of(tree, data), access=Access.LABELS | Access.QUERIES)
    suite = Suite(
        risk="attribute_inference",
        attacks={"probabilities": AttributeInference(epochs=1), "labels": AttributeLabels(epochs=1)},
    )
    outcome = assess(plan(data=data, victim=given, attack=suite))
    decided = outcome.manifest["attribute_inference"]["undefended"]["suite"]["decided"]
    assert set(decided.values()) == {"labels"}
    assert any("leaves out probabilities" in warning for warning in outcome.warnings)


def test_the_reported_answers_choose_no_attack() -> None:
    """It is the victim of the adversary's own that says which attack is used."""
    suite = Suite(
        risk="attribute_inference",
        attacks={
            "long": AttributeInference(outputs="logits", epochs=4, lr=0.01),
            "labels": AttributeLabels(epochs=2, lr=0.01),
        },
    )
    outcome = assess(plan(data=load_census(limit=1200), attack=suite, epochs=3))
    told = outcome.manifest["attribute_inference"]["undefended"]["suite"]
    for name, member in told["decided"].items():
        tried = {one: numbers[name] for one, numbers in told["tried"].items()}
        assert member == max(tried, key=lambda one: tried[one])
        assert outcome.metrics["undefended"][name] == outcome.metrics["undefended"][f"{member}.{name}"]
