"""Whatever attack the configuration offers: it keeps to its budget, and breaks no certificate."""

import dataclasses
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Stream
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionAttack
from amulet.evasion.attacks.balls import BALLS
from amulet.models import predict
from amulet.training import DataSplits, Runtime, Victim
from tests.helpers.components import ATTACKS, option
from tests.helpers.digit_toys import RECIPE, digits

FOUND = {name: attack for name in ATTACKS if isinstance(attack := option("attack", name), EvasionAttack)}
CHOICES = [
    (name, norm)
    for name, attack in FOUND.items()
    for norm in (BALLS if "norm" in attack.settings() else (attack.norm,))
]
EPSILON = {"linf": 0.05, "l2": 0.25}
DATA = digits(train=600, test=120)
SPLITS = DataSplits(
    data=DATA,
    victim_records=DATA.train.take(torch.arange(300)),
    adversary_records=DATA.train.take(torch.arange(300, 600)),
    stream=Stream(0),
    runtime=Runtime(),
    plain_recipe=RECIPE.changed(epochs=2),
)


def bounds(model: nn.Sequential, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The logits of all inputs between `low` and `high` (b, *shape), by interval arithmetic (Gowal et al., 2018)."""
    for layer in model:
        if isinstance(layer, nn.Linear):
            centre, radius = layer((low + high) / 2), (high - low) / 2 @ layer.weight.abs().T
            low, high = centre - radius, centre + radius
        else:
            low, high = layer(low), layer(high)
    return low, high


def worst_case(model: nn.Sequential, x: Tensor, y: Tensor, epsilon: float) -> Tensor:
    """Logits (b, classes) that no input of the cube can do worse than: the true one at its lowest."""
    low, high = bounds(model, (x - epsilon).clamp(0, 1), (x + epsilon).clamp(0, 1))
    true = F.one_hot(y, low.shape[1]).bool()
    return torch.where(true, low, high)


@cache
def certified_model() -> nn.Sequential:
    """Trained to answer rightly in the whole cube."""
    with Stream(0).seed_global():
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 10))
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    x, y = DATA.train.x, DATA.train.y
    for epoch in range(120):
        epsilon = EPSILON["linf"] * min(1.0, epoch / 60)
        loss = F.cross_entropy(worst_case(model, x, y, epsilon), y) + F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def certified(model: nn.Sequential, norm: str) -> Tensor:
    """(n,) bool: which test records are right in the whole ball.

    L-inf by intervals. In L2 by Lipschitz constants: a difference of logits changes by at most the length of the change
    times the norm of the first layer's weights times that of the difference of the second's.
    """
    x, y = DATA.test.x, DATA.test.y
    with torch.no_grad():
        if norm == "linf":
            return worst_case(model, x, y, EPSILON[norm] + 1e-5).argmax(dim=1) == y
        first, second = (layer.weight for layer in model if isinstance(layer, nn.Linear))
        apart = (second[y].unsqueeze(1) - second).norm(dim=2) * torch.linalg.matrix_norm(first, 2)
        logits = model(x)
        margins = logits.gather(1, y.unsqueeze(1)) - logits - (EPSILON[norm] + 1e-5) * apart
        return margins.scatter(1, y.unsqueeze(1), 1.0).amin(dim=1) > 0


TRAINED = RECIPE.changed(epochs=1).produce(SPLITS.victim_records, 0)


def victim_of(model: nn.Module) -> Victim:
    victim = Victim("undefended", RECIPE, SPLITS.victim_records, Stream(0) / "victim")
    victim.__dict__["trained"] = dataclasses.replace(TRAINED, model=model)
    return victim


def sized(name: str, norm: str, **settings: Any) -> EvasionAttack:
    attack = FOUND[name]
    settings = {"epsilon": EPSILON[norm], "norm": norm, "steps": 15, **settings}
    return attack.changed(**{key: value for key, value in settings.items() if key in attack.settings()})


@pytest.mark.parametrize(("name", "norm"), CHOICES)
def test_no_attack_leaves_its_ball_or_breaks_a_certificate(name: str, norm: str) -> None:
    model, x, y = certified_model(), DATA.test.x, DATA.test.y
    victim, attack = victim_of(model), sized(name, norm)
    found = attack.bound(victim, SPLITS).adversarial(model, DATA.test, Stream(1))
    assert found.shape == x.shape
    assert found.dtype == torch.float32
    assert found.min() >= 0
    assert found.max() <= 1
    assert BALLS[attack.norm].length(found - x).max() <= EPSILON[norm] * (1 + 1e-5) + 1e-6
    safe, right = certified(model, norm), predict(model, found).argmax(dim=1) == y
    assert safe.sum() > 30
    assert right[safe].all(), "who turns these has left the ball"
    assert protocol.attempt(victim, attack, SPLITS).robust_correct[safe].all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_some_attack_turns_what_is_not_certified(norm: str) -> None:
    """Else the certificates would hold for want of an attack."""
    model = certified_model()
    left = protocol.attempt(victim_of(model), sized("apgd", norm, epsilon=4 * EPSILON[norm]), SPLITS).robust_correct
    clean = predict(model, DATA.test).argmax(dim=1) == DATA.test.y
    assert left.sum() < 0.8 * clean.sum()
