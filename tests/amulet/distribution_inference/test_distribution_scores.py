"""The KL, loss and threshold tests against loops that follow the papers' text, and what must not change them."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import Tensor

from amulet.distribution_inference.attacks import DistributionInference
from amulet.distribution_inference.attacks.scores import (
    accuracies,
    kl_score,
    kl_votes,
    loss_score,
    mean_kl,
    threshold_score,
)

Answers = tuple[Tensor, Tensor, Tensor, Tensor]


def answers(
    seed: int = 0, victims: int = 6, models: int = 4, queries: int = 5, classes: int = 3, gap: float = 0.0
) -> Answers:
    """Victims', first and second models' log probabilities and the queries' labels; the second's lean by `gap`."""
    generator = torch.Generator().manual_seed(seed)

    def population(n: int, lean: float) -> Tensor:
        logits = torch.randn(2, n, queries, classes, generator=generator).double()
        logits[..., 0] += lean
        return logits.log_softmax(dim=3)

    half = victims // 2
    both = torch.cat([population(half, 0), population(victims - half, gap)], dim=1)
    labels = torch.randint(classes, (2, queries), generator=generator)
    return both, population(models, 0), population(models, gap), labels


def looped_votes(victim: np.ndarray, first: list[np.ndarray], second: list[np.ndarray]) -> float:
    """Suri et al., pair by pair and query by query; `first` and `second` are models, (sets, q, c)."""
    votes = []
    for queries in (0, 1):
        for a, b in itertools.product(first, second):
            to_first = np.mean([entropy(p, v) for p, v in zip(a[queries], victim[queries], strict=True)])
            to_second = np.mean([entropy(p, v) for p, v in zip(b[queries], victim[queries], strict=True)])
            votes.append(1.0 if to_first > to_second else 0.0)
    return float(np.mean(votes)) - 0.5


def models_of(part: Tensor) -> list[np.ndarray]:
    return list(part.exp().numpy().transpose(1, 0, 2, 3))


@given(st.integers(0, 1000), st.integers(2, 4))
def test_the_kl_test_is_the_paper_s_pair_by_pair(seed: int, classes: int) -> None:
    victims, first, second, _ = answers(seed, victims=3, models=3, queries=4, classes=classes, gap=0.5)
    found = kl_score(victims, first, second, calibrate=False)
    ones, twos = models_of(first), models_of(second)
    expected = [looped_votes(victim, ones, twos) for victim in models_of(victims)]
    # One vote is worth 1/18; what decides even votes is worth less.
    assert [value if abs(value) > 0.02 else 0 for value in found.tolist()] == pytest.approx(expected, abs=1e-9)


def test_the_calibrated_cut_is_midway_between_the_votes_for_the_adversary_s_own_models() -> None:
    victims, first, second, _ = answers(3, models=5, gap=0.7)
    ones, twos = models_of(first), models_of(second)
    of_first = [looped_votes(one, ones[:i] + ones[i + 1 :], twos) for i, one in enumerate(ones)]
    of_second = [looped_votes(two, ones, twos[:i] + twos[i + 1 :]) for i, two in enumerate(twos)]
    cut = float(np.mean(of_first) + np.mean(of_second)) / 2
    expected = kl_score(victims, first, second, calibrate=False) - cut
    assert torch.allclose(kl_score(victims, first, second), expected)
    alone = kl_score(victims, first[:, :1], second)
    assert torch.equal(alone, kl_score(victims, first[:, :1], second, calibrate=False))


def test_a_population_that_varies_more_is_no_disguise() -> None:
    """Votes alone go to the population whose models agree; the calibrated cut sees through that."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(2, 2, 1, 40, 2, generator=generator).double()

    def drawn(which: int, n: int) -> Tensor:
        noise = torch.randn(2, n, 40, 2, generator=generator).double()
        return (centres[which] + (0.5, 2.5)[which] * noise).log_softmax(dim=3)

    victims = torch.cat([drawn(0, 20), drawn(1, 20)], dim=1)
    first, second, truth = drawn(0, 20), drawn(1, 20), torch.arange(40) // 20

    def accuracy(*, calibrate: bool) -> float:
        score = kl_score(victims, first, second, calibrate=calibrate)
        return ((score > 0).long() == truth).double().mean().item()

    assert accuracy(calibrate=False) < 0.7
    assert accuracy(calibrate=True) >= 0.9


def test_mean_kl_is_torch_s() -> None:
    victims, first, _, _ = answers(1)
    found = mean_kl(first, victims)
    for queries, v, a in itertools.product(range(2), range(6), range(4)):
        expected = torch.nn.functional.kl_div(
            victims[queries, v], first[queries, a], reduction="batchmean", log_target=True
        )
        assert found[queries, v, a].item() == pytest.approx(expected.item(), abs=1e-12)


def test_even_votes_are_decided_by_the_mean_and_weigh_less_than_a_vote() -> None:
    far, near = torch.tensor([[[1.0]], [[3.0]]]), torch.tensor([[[2.0]], [[1.5]]])
    assert 0 < kl_votes(far, near).item() < 0.5 / 2
    assert -0.5 / 2 < kl_votes(near, far).item() < 0
    assert kl_votes(far, far).item() == 0


def test_sure_models_give_finite_scores() -> None:
    victims, first, second, labels = (part * 1e4 if part.is_floating_point() else part for part in answers(0))
    found = DistributionInference().scores(victims.log_softmax(3), first.log_softmax(3), second.log_softmax(3), labels)
    assert all(scores.isfinite().all() for scores in found.values())


@given(st.integers(0, 300))
def test_the_loss_test_compares_two_accuracies(seed: int) -> None:
    victims, _, _, labels = answers(seed)
    for model, score in enumerate(loss_score(victims, labels).tolist()):
        right = [(victims[q, model].argmax(1) == labels[q]).double().mean().item() for q in (0, 1)]
        assert score == pytest.approx(right[1] - right[0])


@given(st.integers(0, 300), st.floats(-2, 2))
def test_the_threshold_test_takes_the_best_threshold_there_is(seed: int, gap: float) -> None:
    victims, first, second, labels = answers(seed, models=6, queries=9, gap=gap)
    ours = accuracies(torch.cat([first, second], dim=1), labels)
    truth = torch.arange(12) // 6
    best = max(
        ((values > cut) == (truth == side)).double().mean().item()
        for values in ours
        for cut in (-1.0, *values.unique().tolist())
        for side in (0, 1)
    )
    themselves = threshold_score(torch.cat([first, second], dim=1), first, second, labels)
    found = ((themselves > 0).long() == truth).double().mean().item()
    assert found == pytest.approx(best)
    assert threshold_score(victims, first, second, labels).shape == (6,)


def test_no_score_depends_on_the_other_victims() -> None:
    victims, first, second, labels = answers(5, gap=0.5)
    attack = DistributionInference()
    together = attack.scores(victims, first, second, labels)
    for i in range(victims.shape[1]):
        alone = attack.scores(victims[:, i : i + 1], first, second, labels)
        for test, scores in together.items():
            assert alone[test].item() == pytest.approx(scores[i].item(), abs=1e-12), test


def test_populations_that_are_one_are_told_apart_half_of_the_time() -> None:
    """With equal ratios all models come from one population: every test must be right for half of them."""
    truth = torch.arange(10) // 5
    right: dict[str, list[float]] = {"kl": [], "loss": [], "threshold": []}
    for seed in range(400):
        found = DistributionInference().scores(*answers(seed, victims=10, models=5, queries=12, classes=2))
        for test, scores in found.items():
            right[test].append(((scores > 0).long() == truth).double().mean().item())
    for test, each in right.items():
        assert abs(np.mean(each) - 0.5) < 4 * np.std(each) / 20, test
