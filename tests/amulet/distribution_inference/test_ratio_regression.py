"""The ratio as a number: one component, the order of neurons, records leaked in effect, populations between."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from amulet.core import IncompatibleError, SettingError, Stream
from amulet.distribution_inference.attacks import DistributionInference, RatioRegression, WeightRegression
from amulet.distribution_inference.attacks.regression import one_component
from amulet.distribution_inference.attacks.weights import summary
from amulet.distribution_inference.metrics import DistributionEvidence, measure
from amulet.distribution_inference.metrics.leakage import leaked_by_regression, leaked_records, ratio_errors
from amulet.models import LinearNet, SmallCNN
from amulet.training import Recipe
from tests.helpers.distribution_toys import CountingStore, groups, recipe

VICTIM, ADVERSARY = groups(500, 0), groups(500, 1, first_id=1000)


def inferred(attack: RatioRegression | DistributionInference, made: Recipe | None = None) -> DistributionEvidence:
    made = made or recipe()
    return attack.infer(made, made, VICTIM, ADVERSARY, stream=Stream(0) / "attack")


@pytest.mark.parametrize(("n", "d"), [(12, 4), (30, 40)])
def test_the_component_is_scikit_learns_and_its_line_is_fitted_to_what_was_left_out(n: int, d: int) -> None:
    decomposition, linear_model = (
        pytest.importorskip(f"sklearn.{part}") for part in ("cross_decomposition", "linear_model")
    )
    random = np.random.default_rng(n)
    x, asked = random.normal(size=(n, d)), random.normal(size=(5, d))
    y = x[:, :4].sum(axis=1) + 0.3 * random.normal(size=n)

    def component(kept: np.ndarray) -> np.ndarray:
        made = decomposition.PLSRegression(n_components=1, scale=False).fit(x[kept], y[kept])
        length = np.linalg.norm((x[kept] - x[kept].mean(0)).T @ (y[kept] - y[kept].mean()))
        return made.x_weights_[:, 0] * length  # scikit-learn's have length 1

    everyone = np.arange(n)
    left = [(x[i] - x[everyone != i].mean(0)) @ component(everyone != i) for i in range(n)]
    line = linear_model.LinearRegression().fit(np.array(left)[:, None], y)
    assert line.coef_[0] > 0
    expected = line.predict(((asked - x.mean(0)) @ component(everyone >= 0))[:, None])
    found = one_component(torch.as_tensor(x), torch.as_tensor(y), torch.as_tensor(asked))
    assert found.numpy() == pytest.approx(expected, abs=1e-8)


def test_noise_predicts_the_middle_and_not_the_other_way_round() -> None:
    random, said = np.random.default_rng(0), list[float]()
    y = torch.as_tensor([0.2] * 10 + [0.8] * 10, dtype=torch.float64)
    for _ in range(30):
        x = torch.as_tensor(random.normal(size=(40, 200)))
        said.append((one_component(x[:20], y, x[20:]) - 0.5).abs().mean().item())
    assert np.mean(said) < 0.1
    assert one_component(torch.zeros(20, 3).double(), y, torch.rand(4, 3).double()).tolist() == [0.5] * 4


@settings(max_examples=25)
@given(n=st.integers(1, 40), a=st.integers(1, 9), b=st.integers(1, 9))
def test_no_sample_of_so_many_records_tells_more(n: int, a: int, b: int) -> None:
    """The best test of n records, by brute force over what can be drawn, is within the bound that n_leaked inverts."""
    one, other = sorted((a / 10, b / 10))
    if one == other:
        assert math.isnan(leaked_records(0.7, one, other))
        return
    counts = range(n + 1)
    accuracy = 0.5 * sum(
        math.comb(n, k) * max(one**k * (1 - one) ** (n - k), other**k * (1 - other) ** (n - k)) for k in counts
    )
    assert leaked_records(accuracy, one, other) == leaked_records(accuracy, other, one) <= n + 1e-6
    q = max(one / other, (1 - other) / (1 - one))
    bound = (1 + math.sqrt(1 - q**n)) / 2
    if bound < 1 - 1e-9:
        assert leaked_records(bound, one, other) == pytest.approx(n, rel=1e-3)


def test_nothing_is_leaked_by_chance_and_no_bound_holds_for_certainty() -> None:
    assert leaked_records(0.5, 0.2, 0.8) == leaked_records(0.3, 0.2, 0.8) == 0
    assert leaked_records(1.0, 0.2, 0.8) == leaked_records(0.8, 0.0, 1.0) == math.inf


@pytest.mark.parametrize("n", [3, 25])
def test_the_share_of_n_records_leaks_n(n: int) -> None:
    ratios = torch.tensor([0.2, 0.8, 0.5])
    population = torch.arange(3).repeat_interleave(20000)
    drawn = np.random.default_rng(0).binomial(n, ratios[population].double().numpy()) / n
    absolute, squared = ratio_errors(torch.as_tensor(drawn), population, ratios)
    assert leaked_by_regression(squared, ratios.double()) == pytest.approx(n, rel=0.03)
    assert absolute[2].item() == pytest.approx(np.abs(drawn[40000:] - 0.5).mean())


def shuffled(model: nn.Module, first: nn.Module, second: nn.Module, order: Tensor) -> nn.Module:
    """The same function: the neurons or channels of one layer in another order."""
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.copy_(parameter[order])
        weight = second.get_parameter("weight")
        by_channel = weight.reshape(len(weight), len(order), -1, *weight.shape[2:])
        weight.copy_(by_channel[:, order].reshape(weight.shape))
    return model


@pytest.mark.parametrize("image", [False, True])
def test_the_order_of_neurons_tells_nothing(image: bool) -> None:
    torch.manual_seed(0)
    shape = (1, 8, 8) if image else (6,)
    model = SmallCNN(shape, 3) if image else LinearNet(shape, 3, hidden=[8, 5])
    layers = [m for m in model.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    before, x = summary(model), torch.rand(4, *shape)
    answers = model.eval()(x)
    order = torch.randperm(len(layers[0].weight))
    shuffled(model, layers[0], layers[1], order)
    assert summary(model).numpy() == pytest.approx(before.numpy(), abs=1e-9)
    if not image:  # batch normalization of the CNN was not moved along
        assert torch.allclose(model(x), answers, atol=1e-5)
    with torch.no_grad():
        layers[0].weight.mul_(-1)
    assert not torch.allclose(summary(model), before)


@pytest.mark.parametrize("attack", [RatioRegression, WeightRegression])
def test_ratios_of_toys_are_inferred(attack: type[RatioRegression]) -> None:
    store = CountingStore()
    made = attack(n_models=4, n_between=2, n_shadow=8, steps=4)
    evidence = inferred(made, recipe(store, epochs=6))
    assert len(store.trained) == made.models_trained() == 8 + 3 * 2 + 5 * 8
    found = measure(evidence)
    assert evidence.ratios == (0.1, 0.9, 0.3, 0.5, 0.7)
    assert evidence.manifest["ratios_got"]["victim"] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])
    assert evidence.population.tolist() == [0] * 4 + [1] * 4 + [2, 2, 3, 3, 4, 4]
    assert found.metrics["distinguishing_accuracy"] >= 0.75
    assert found.baselines["ratio_error"] == pytest.approx(0.24)
    assert found.metrics["ratio_error"] < 0.2
    assert found.metrics["ratio_leaked_records"] > found.baselines["ratio_leaked_records"]
    low, high = found.intervals["ratio_error"]
    assert low < found.metrics["ratio_error"] < high
    assert found.facts["ratio_error"].harm == "lower"
    # The two-ratio test needs no model that these attacks have not trained.
    inferred(DistributionInference(n_models=4, n_shadow=8, size=evidence.manifest["size"]), recipe(store, epochs=6))
    assert len(store.trained) == made.models_trained()


def test_the_other_direction_and_equal_ratios() -> None:
    turned = measure(inferred(RatioRegression(n_models=4, n_shadow=6, ratio_1=0.9, ratio_2=0.1)))
    assert turned.metrics["distinguishing_accuracy"] >= 0.75
    equal = measure(inferred(RatioRegression(n_models=4, n_shadow=4, ratio_1=0.5, ratio_2=0.5, steps=1, size=40)))
    assert "leaked_records" not in equal.metrics
    assert equal.baselines["ratio_error"] == 0


def test_what_cannot_be_read_or_drawn_is_refused() -> None:
    with pytest.raises(SettingError, match="`steps` must divide the shares from"):
        RatioRegression(ratio_1=0.001, ratio_2=0.998, steps=7)
    with pytest.raises(IncompatibleError, match="no linear or convolutional layer"):
        WeightRegression().inside(nn.ReLU())


def test_models_of_few_records_learn_the_task() -> None:
    """In a batch of all records an epoch is one update: without more of them, all models answer one class."""
    sides = [groups(800, seed, first_id=1000 * seed, telling=False) for seed in (0, 1)]
    victim, adversary = (side.replace(y=(side.x[:, 0] > 0.7).long()) for side in sides)
    made, attack = recipe(epochs=8, batch_size=256), DistributionInference(n_models=5, ratio_1=0.4, ratio_2=0.6)
    few, enough = (
        attack.changed(min_updates=least).infer(made, made, victim, adversary, stream=Stream(0)) for least in (0, 4)
    )
    assert any("answer one class for every query" in text for text in few.warnings)
    assert not any("answer one class for every query" in text for text in enough.warnings)
    assert enough.accuracy["victim"].mean() > few.accuracy["victim"].mean() + 0.05
