"""Adversarial debiasing: what it lowers, its gradient, and what it says when the adversary wins."""

from functools import cache
from typing import Any

import pytest
import torch
from torch import nn

from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.discriminatory_behavior.defenses import AdversarialDebiasing
from amulet.discriminatory_behavior.metrics.gaps import count, gaps
from amulet.models import LinearNet
from amulet.training import Recipe, Training


def people(n: int, seed: int) -> Records:
    """The group makes the favourable label likelier (.7 against .3); x says both, and z more loudly than y."""
    generator = torch.Generator().manual_seed(seed)
    z = (torch.rand(n, generator=generator) < 0.5).long()
    y = (torch.rand(n, generator=generator) < 0.3 + 0.4 * z).long()
    noise = torch.randn(n, 2, generator=generator)
    x = torch.stack([y + 0.9 * noise[:, 0], z + 0.2 * noise[:, 1]], dim=1).mul(0.2).add(0.4).clamp(0, 1)
    return Records(x, y, z.unsqueeze(1), torch.arange(n), ("group",))


TRAIN, TEST = people(1500, 0), people(4000, 1)


def recipe(**changes: Any) -> Recipe:
    return Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=0.01),
        epochs=8,
        batch_size=128,
    ).changed(**changes)


@cache
def without() -> dict[str, float]:
    return shown()


def shown(*defenses: AdversarialDebiasing) -> dict[str, float]:
    model = recipe(defenses=defenses).fit(TRAIN, Stream(0) / "victim").eval()
    with torch.no_grad():
        answers = model(TEST.x).argmax(1)
    found = gaps(count(answers == 1, TEST.y == 1, TEST.z[:, 0], 2))
    return found | {"accuracy": (answers == TEST.y).double().mean().item(), "share": answers.double().mean().item()}


@pytest.mark.parametrize("projection", [False, True])
def test_each_objective_lowers_what_it_pursues(projection: bool) -> None:
    plain = without()
    parity, odds = (
        shown(AdversarialDebiasing(objective=objective, projection=projection, ramp=3, adversary_steps=2))
        for objective in ("demographic_parity", "equalized_odds")
    )
    for found in (parity, odds):
        assert 0.2 < found["share"] < 0.8, "both classes are answered"
    assert parity["demographic_parity_difference"] < 0.5 * plain["demographic_parity_difference"]
    assert odds["equalized_odds_difference"] < 0.5 * plain["equalized_odds_difference"]
    assert odds["accuracy"] > plain["accuracy"] - 0.1
    assert AdversarialDebiasing().pursues == ("demographic_parity_difference",)
    assert AdversarialDebiasing(objective="equalized_odds").pursues == ("equalized_odds_difference",)


def test_an_adversary_that_wins_is_warned_of() -> None:
    made = recipe(defenses=(AdversarialDebiasing(strength=50.0, ramp=0),), epochs=4).produce(TRAIN, Stream(0))
    (text,) = made.report["warnings"]
    assert "the debiasing adversary wins" in text
    assert "strength (now 50.0)" in text
    made = recipe(defenses=(AdversarialDebiasing(ramp=3),), epochs=4).produce(TRAIN, Stream(0))
    assert made.report["warnings"] == []
    assert len(made.report["adversary_losses"]) == len(made.report["losses"]) == 4, "both losses are logged"


def test_no_strength_is_plain_training_but_for_annealing() -> None:
    data = load_census(limit=400)
    plain = recipe(epochs=2).fit(data.train, 0)
    idle = recipe(epochs=2, defenses=(AdversarialDebiasing(strength=0.0, anneal=False),)).fit(data.train, 0)
    for a, b in zip(plain.parameters(), idle.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def started(model: nn.Module, hook: Any, data: AmuletDataset) -> Training:
    training = Training(
        model,
        torch.optim.SGD(model.parameters(), lr=0.1),
        data.train,
        objective="cross_entropy",
        epochs=1,
        batch_size=60,
        hooks=[hook],
        stream=Stream(0),
        precision="float32",
    )
    hook.start(training)
    return training


def test_an_objective_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SettingError, match="`objective` must be one of demographic_parity, equalized_odds; got parity"):
        AdversarialDebiasing(objective="parity")  # type: ignore[arg-type]


def test_looking_at_the_answers_moves_no_running_statistics() -> None:
    data = load_census(limit=60)
    model = nn.Sequential(nn.Linear(data.shape[0], 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    started(model, AdversarialDebiasing().hook(), data)
    assert torch.equal(torch.as_tensor(model[1].running_mean), torch.zeros(4))
    assert model.training


def test_the_models_gradient_is_loss_minus_weighted_adversary() -> None:
    data = load_census(limit=60)
    model = LinearNet(data.shape, 2, hidden=(4,))
    hook: Any = AdversarialDebiasing(strength=0.7, ramp=0, adversary_lr=1e-12).hook()
    training = started(model, hook, data)
    values, logits = training.loss(data.train)
    adversary = of_adversary(hook, logits.softmax(1), data)
    expected = nn.functional.cross_entropy(logits, data.train.y, reduction="none") - 0.7 * adversary
    assert torch.allclose(values, expected, atol=1e-5)


def test_the_projection_leaves_nothing_that_helps_the_adversary() -> None:
    """Zhang et al., Equation 1: g - proj_h g - strength h, with the adversary that sees the label."""
    data = load_census(limit=60)
    model = LinearNet(data.shape, 2, hidden=(4,))
    settings: dict[str, Any] = {"strength": 0.7, "ramp": 0, "adversary_lr": 1e-12, "projection": True}
    hook: Any = AdversarialDebiasing(objective="equalized_odds", **settings).hook()
    training = started(model, hook, data)
    values, logits = training.loss(data.train)
    seen = torch.cat([logits.softmax(1), nn.functional.one_hot(data.train.y, 2)], dim=1)
    plain = nn.functional.cross_entropy(logits, data.train.y)
    g, h, found = (
        torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)])
        for loss in (plain, of_adversary(hook, seen, data).mean(), values.mean())
    )
    assert torch.allclose(found, g - (g @ h) / (h @ h) * h - 0.7 * h, atol=1e-5)


def of_adversary(hook: Any, seen: torch.Tensor, data: AmuletDataset) -> torch.Tensor:
    parts = hook.adversary.layers(seen).split([2, 2], dim=1)
    losses = [nn.functional.cross_entropy(part, data.train.z[:, i], reduction="none") for i, part in enumerate(parts)]
    return torch.stack(losses).sum(dim=0)
