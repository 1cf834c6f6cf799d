"""Metrics of attribute inference and the thresholds behind them, against independent ones."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score
from torch import Tensor

from amulet.attribute_inference.attacks.features import by_frequency, principal_axes
from amulet.attribute_inference.decision import answers, balanced_thresholds
from amulet.attribute_inference.metrics import AttributeEvidence, attack_accuracy, balanced_accuracy, measure
from amulet.attribute_inference.metrics.intervals import balanced_interval, paired_interval
from amulet.core.ranking import one_vs_rest_auc


def guesses(n: int, k: int, seed: int, signal: float = 1.0) -> tuple[Tensor, Tensor]:
    """Log probabilities with some truth in them, and the truth; every value occurs."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.cat([torch.arange(k), (torch.rand(n - k, generator=generator) ** 2 * k).long()])
    logits = torch.randn(n, k, generator=generator) + signal * torch.nn.functional.one_hot(truth, k)
    return logits.double().log_softmax(dim=1), truth


def evidence(**values: object) -> AttributeEvidence:
    scores, truth = guesses(400, 2, 0)
    constant = torch.zeros_like(scores)
    defaults: dict[str, object] = {
        "ids": torch.arange(400),
        "truth": {"race": truth},
        "log_probabilities": {"race": scores, "race.predicted_label": constant},
        "answers": {"race": scores.argmax(dim=1), "race.predicted_label": truth * 0},
    }
    return AttributeEvidence(**{**defaults, **values})  # type: ignore[arg-type]


@given(st.integers(2, 5), st.integers(0, 1000))
def test_metrics_are_those_of_scikit_learn(k: int, seed: int) -> None:
    scores, truth = guesses(60, k, seed)
    probabilities, guessed = scores.exp().numpy(), scores.argmax(dim=1)
    expected = roc_auc_score(truth.numpy(), probabilities[:, 1] if k == 2 else probabilities, multi_class="ovr")
    assert one_vs_rest_auc(scores, truth) == pytest.approx(float(expected), abs=1e-12)
    assert balanced_accuracy(guessed, truth) == pytest.approx(balanced_accuracy_score(truth.numpy(), guessed.numpy()))
    assert attack_accuracy(scores, truth) == pytest.approx(accuracy_score(truth.numpy(), guessed.numpy()))


def test_a_value_that_no_record_has_does_not_count() -> None:
    truth = torch.tensor([0, 0, 2, 2])
    assert balanced_accuracy(torch.tensor([0, 1, 2, 2]), truth) == 0.75
    scores = torch.tensor([[0.6, 0.2, 0.2], [0.5, 0.3, 0.2], [0.1, 0.8, 0.1], [0.2, 0.2, 0.6]]).log()
    by_hand = [roc_auc_score((truth == c).numpy(), scores[:, c].numpy()) for c in (0, 2)]
    assert one_vs_rest_auc(scores, truth) == pytest.approx(float(np.mean(by_hand)))


@given(st.integers(0, 500))
def test_two_values_get_the_best_threshold_there_is(seed: int) -> None:
    scores, truth = guesses(25, 2, seed, signal=0.5)
    scores = (scores * 2).round() / 2 if seed % 2 else scores  # with ties
    odds = scores[:, 1] - scores[:, 0]
    cuts = [-math.inf, *odds.unique().tolist()]
    best = max(balanced_accuracy((odds > cut).long(), truth) for cut in cuts)
    chosen = answers(scores, balanced_thresholds(scores, truth))
    assert balanced_accuracy(chosen, truth) == pytest.approx(best)


@pytest.mark.parametrize("seed", range(5))
def test_more_values_get_thresholds_near_the_best(seed: int) -> None:
    scores, truth = guesses(40, 3, seed, signal=0.7)
    grid = [torch.tensor([0.0, a, b]) for a, b in itertools.product(np.linspace(-3, 3, 25), repeat=2)]
    best = max(balanced_accuracy(answers(scores, thresholds), truth) for thresholds in grid)
    chosen = balanced_accuracy(answers(scores, balanced_thresholds(scores, truth)), truth)
    assert chosen >= best - 0.05
    assert chosen >= balanced_accuracy(scores.argmax(dim=1), truth)


def test_a_value_without_held_out_records_is_no_accident() -> None:
    scores, truth = guesses(30, 3, 1)
    thresholds = balanced_thresholds(scores, truth.clamp_max(1))
    assert thresholds.isfinite().all()
    assert balanced_thresholds(torch.zeros(4, 1), torch.zeros(4, dtype=torch.int64)).shape == (1,)


@given(st.integers(0, 200), st.integers(2, 4))
def test_frequencies_are_counted(seed: int, k: int) -> None:
    generator = np.random.default_rng(seed)
    labels, values = generator.integers(0, 3, 30), generator.integers(0, k, 30)
    found = by_frequency(torch.from_numpy(labels), torch.from_numpy(values), torch.arange(4), k).exp()
    for label in range(4):
        mine = [int(v) for v, one in zip(values, labels, strict=True) if one == label]
        expected = [(mine.count(c) + (values == c).mean()) / (len(mine) + 1) for c in range(k)]
        assert found[label].tolist() == pytest.approx(expected)


def test_principal_axes_rotate_the_answers_until_they_do_not_correlate() -> None:
    outputs = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) @ torch.tensor([[3.0, -3.0], [0.1, 0.1]])
    axes = principal_axes(outputs)
    assert torch.allclose(axes @ axes.T, torch.eye(2), atol=1e-5)
    assert torch.corrcoef((outputs @ axes).T)[0, 1].abs() < 1e-3
    assert principal_axes(outputs[:, :1]).abs().item() == pytest.approx(1)


def test_every_metric_has_its_baseline_and_the_advantage_is_their_difference() -> None:
    found = measure(evidence())
    for metric in ("balanced_accuracy", "auc", "attack_accuracy"):
        assert found.baselines[f"race.{metric}"] == found.baselines[f"race.predicted_label.{metric}"]
    assert found.baselines["race.auc"] == 0.5
    difference = found.metrics["race.balanced_accuracy"] - found.baselines["race.balanced_accuracy"]
    assert found.metrics["race.advantage"] == pytest.approx(difference)
    for name, (low, high) in found.intervals.items():
        assert low <= found.metrics[name] <= high
    assert found.warnings == []


def test_the_interval_of_balanced_accuracy_covers_it() -> None:
    """Of many samples of one population, about 95 in 100 have the population's value in their interval."""
    generator = torch.Generator().manual_seed(1)
    covered = 0
    for _ in range(150):
        truth = (torch.arange(200) < 40).long()
        right = torch.rand(200, generator=generator) < torch.where(truth == 1, 0.6, 0.8)
        scores = torch.stack([1.0 - truth, truth.float()], dim=1)
        guessed = torch.where(right, truth, 1 - truth)
        fields = {"truth": {"race": truth}, "log_probabilities": {"race": scores}, "answers": {"race": guessed}}
        found = measure(evidence(ids=torch.arange(200), **fields))
        low, high = found.intervals["race.balanced_accuracy"]
        covered += low <= 0.7 <= high
    assert 0.90 <= covered / 150 <= 0.98


def test_three_records_that_are_all_right_prove_little() -> None:
    """A Wald interval gives .80 to .83; three of three alone have the exact interval .29 to 1."""
    truth = torch.cat([torch.ones(3), torch.zeros(2000)]).long()
    guessed = truth.clone()
    guessed[3:703] = 1
    scores = torch.nn.functional.one_hot(guessed, 2).double().log_softmax(dim=1)
    answers = {"race": guessed, "race.predicted_label": truth * 0}
    fields = {"answers": answers, "log_probabilities": dict.fromkeys(answers, scores)}
    found = measure(evidence(ids=torch.arange(2003), truth={"race": truth}, **fields))
    assert found.metrics["race.balanced_accuracy"] == pytest.approx((1 + 0.65) / 2)
    low, high = found.intervals["race.balanced_accuracy"]
    assert low == pytest.approx(0.825 - (1 - 0.2924) / 2, abs=0.002)
    assert 0.83 < high < 0.85
    low, high = paired_interval(np.array([3, 0]), np.array([0, 0]), np.array([3, 2000]))
    assert low < 0.2
    assert high > 0.49


def test_with_many_records_the_paired_interval_is_that_of_mcnemar() -> None:
    gained, lost, records = np.array([1200, 14000]), np.array([1600, 12000]), np.array([10000, 100000])
    difference = (gained - lost) / records
    error = np.sqrt((((gained + lost) / records - difference**2) / records).sum()) / 2
    low, high = paired_interval(gained, lost, records)
    assert (low, high) == pytest.approx((difference.mean() - 1.96 * error, difference.mean() + 1.96 * error), abs=2e-4)


def test_the_influence_of_records_gives_the_error_over_records() -> None:
    base = evidence()
    found, random = measure(base), np.random.default_rng(0)
    truth, guessed, scores = base.truth["race"], base.answers["race"], base.log_probabilities["race"]
    draws = torch.as_tensor(random.integers(0, 400, (300, 400)))
    resampled = {
        "balanced_accuracy": [balanced_accuracy(guessed[draw], truth[draw]) for draw in draws],
        "auc": [one_vs_rest_auc(scores[draw], truth[draw]) for draw in draws],
        "attack_accuracy": [attack_accuracy(scores[draw], truth[draw]) for draw in draws],
        "advantage": [
            balanced_accuracy(guessed[draw], truth[draw]) - balanced_accuracy(truth[draw] * 0, truth[draw])
            for draw in draws
        ],
    }
    for metric, values in resampled.items():
        assert found.influences[f"race.{metric}"].error == pytest.approx(np.std(values), rel=0.3), metric


@pytest.mark.parametrize(("sizes", "rates"), [((5, 300), (0.9, 0.65)), ((8, 30, 400), (0.6, 0.7, 0.5))])
def test_intervals_hold_where_a_value_is_rare(sizes: tuple[int, ...], rates: tuple[float, ...]) -> None:
    random, whole, true = np.random.default_rng(0), np.array(sizes), np.array(rates)
    drawn = random.binomial(whole, true, size=(300, len(sizes)))
    ends = [balanced_interval(right, whole) for right in drawn]
    assert np.mean([low <= true.mean() <= high for low, high in ends]) >= 0.94


def test_an_attack_no_better_than_its_baseline_is_warned_of() -> None:
    scores, truth = guesses(400, 2, 0)
    same = dict.fromkeys(("race", "race.predicted_label"), scores.argmax(dim=1))
    found = measure(evidence(answers=same, log_probabilities=dict.fromkeys(same, scores)))
    assert found.metrics["race.advantage"] == 0
    assert any("better than from the predicted class alone" in warning for warning in found.warnings)
    inputs = {"race": truth * 0, "race.inputs": truth}
    found = measure(evidence(answers=inputs, log_probabilities=dict.fromkeys(inputs, scores), reference="inputs"))
    assert found.metrics["race.advantage"] < 0
    assert any("better than from the inputs alone" in warning for warning in found.warnings)


def test_an_attribute_that_does_not_vary_is_no_number() -> None:
    scores, truth = guesses(400, 2, 0)
    found = measure(evidence(truth={"race": truth * 0}))
    assert math.isnan(found.metrics["race.auc"])
    assert math.isnan(found.metrics["race.balanced_accuracy"])
    assert any("the same race" in warning for warning in found.warnings)
    assert math.isnan(one_vs_rest_auc(scores, truth * 0))
