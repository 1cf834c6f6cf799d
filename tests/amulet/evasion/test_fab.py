"""FAB: its projection beside scipy's solvers, the attack beside torchattacks' and the closed form of a linear model."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import LinearConstraint, linprog, minimize
from torch import Tensor, nn

from amulet.core import Stream
from amulet.evasion.attacks import FAB, L2Ball, LinfBall
from amulet.evasion.attacks.boundary import nearest, onto_plane
from amulet.models import predict
from tests.helpers.digit_toys import RECIPE, digits

DATA = digits()
MINIMIZE: Any = minimize
BALLS: dict[str, Any] = {"linf": LinfBall, "l2": L2Ball}


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return RECIPE.fit(DATA.train, Stream(0) / "victim")


def smallest(norm: str, x: np.ndarray, slope: np.ndarray, rise: float, mask: np.ndarray) -> float:
    """The length of the smallest change with slope @ change = rise, by a solver; what is possible if it is too much."""
    low, high = np.where(mask, -x, 0), np.where(mask, 1 - x, 0)
    if rise < 0:
        slope, rise = -slope, -rise
    rise = min(rise, float(np.maximum(slope * low, slope * high).sum()))
    n = len(x)
    if norm == "linf":
        sides = np.block([[np.eye(n), -np.ones((n, 1))], [-np.eye(n), -np.ones((n, 1))]])
        found: Any = linprog(
            [0] * n + [1], sides, np.zeros(2 * n), [[*slope, 0]], [rise], [*zip(low, high, strict=True), (0, None)]
        )
        return float(found.fun)
    solved = MINIMIZE(
        square,
        np.zeros(n),
        jac=True,
        bounds=list(zip(low, high, strict=True)),
        constraints=LinearConstraint(slope, rise, rise),
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 300},
    )
    return float(np.sqrt(solved.fun))


def square(change: np.ndarray) -> tuple[float, np.ndarray]:
    return float(change @ change), 2 * change


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("masked", [False, True])
def test_projection_agrees_with_a_solver(norm: str, masked: bool) -> None:
    generator = torch.Generator().manual_seed(3)
    x, slope = torch.rand(25, 6, generator=generator), torch.randn(25, 6, generator=generator)
    rise = torch.randn(25, generator=generator) * 1.5
    mask = torch.tensor([1.0, 1, 0, 1, 1, 0]) if masked else None
    ball = BALLS[norm](x, 0.1, mask)
    found = onto_plane(ball, x, slope, rise)
    assert found.min() >= 0
    assert found.max() <= 1
    free = np.ones(6, bool) if mask is None else mask.numpy() > 0
    for i in range(25):
        wanted = smallest(norm, x[i].double().numpy(), slope[i].double().numpy(), rise[i].item(), free)
        assert ball.length(found - x)[i].item() == pytest.approx(wanted, abs=2e-4)
        got, most = ((found - x) * slope)[i].sum().item(), rise[i].item()
        assert abs(got) <= abs(most) + 1e-4
    if mask is not None:
        assert torch.equal(found[:, mask == 0], x[:, mask == 0])


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_smallest_change_of_a_linear_model(norm: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(6, 3)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(3, 6, generator=generator))
        linear.bias.copy_(-linear.weight.sum(dim=1) / 2)
    x = 0.5 + 0.05 * torch.randn(100, 6, generator=generator)  # far from 0 and 1
    logits = linear(x).detach()
    y, others = logits.argmax(1), logits.argsort(1, descending=True)[:, 1:]
    weight = linear.weight.detach()
    order = {"linf": 1.0, "l2": 2.0}[norm]
    gaps = torch.stack(
        [
            (logits.gather(1, y[:, None])[:, 0] - logits.gather(1, others[:, k : k + 1])[:, 0])
            / (weight[y] - weight[others[:, k]]).norm(p=order, dim=1)
            for k in range(2)
        ]
    )
    for classes in (others, None):
        found = [
            nearest(
                linear,
                BALLS[norm](x, 1.0),
                y,
                one,
                start=x,
                steps=30,
                most=0.1,
                beyond=1.05,
                back=0.9,
                enough=0.0,
            )
            for one in ([classes] if classes is not None else others.split(1, dim=1))
        ]
        distance = torch.stack([d for _, d in found]).amin(0)
        assert torch.all(distance >= gaps.amin(0) - 1e-6), "nothing is nearer than the boundary"
        assert torch.all(distance <= 1.06 * gaps.amin(0) + 1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_as_strong_as_torchattacks(model: nn.Module, norm: Any) -> None:
    torchattacks = pytest.importorskip("torchattacks", reason="`make` installs it")
    epsilon = {"linf": 0.06, "l2": 0.35}[norm]
    other = torchattacks.FAB(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=epsilon, steps=30, n_classes=10)
    x, y = DATA.test.x, DATA.test.y
    left = int((predict(model, other(x, y)).argmax(1) == y).sum())
    for targets in (0, 3):
        found = FAB(epsilon=epsilon, norm=norm, steps=30, targets=targets).adversarial(model, DATA.test, Stream(0))
        assert abs(int((predict(model, found).argmax(1) == y).sum()) - left) <= 1
        assert BALLS[norm].length(found - x).max() <= epsilon


def test_restarts_begin_elsewhere_and_lose_nothing(model: nn.Module) -> None:
    few = DATA.test.take(torch.arange(60))

    def standing(**settings: Any) -> Tensor:
        attack = FAB(epsilon=0.06, steps=6, targets=2, **settings)
        return predict(model, attack.adversarial(model, few, Stream(0))).argmax(1) == few.y

    assert not (standing(restarts=3) & ~standing()).any()


def test_a_model_without_gradient_is_left_as_it_is() -> None:
    class Blind(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([x.detach().flatten(1).sum(1), x.detach().flatten(1)[:, 0]], dim=1)

    x = DATA.test.x[:5]
    generator = torch.Generator().manual_seed(0)
    for targets in (0, 1):
        attack = FAB(epsilon=0.05, steps=3, targets=targets)
        found = attack.perturb(Blind(), x, torch.zeros(5, dtype=torch.int64), mask=None, generator=generator)
        assert torch.equal(found, x)
