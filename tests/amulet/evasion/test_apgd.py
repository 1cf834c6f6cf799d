"""APGD: beside torchattacks' on the same model, and what its parts promise."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amulet.core import IncompatibleError, Stream
from amulet.datasets import load_census
from amulet.evasion.attacks import APGD, EvasionPGD, L2Ball
from amulet.evasion.attacks.adaptive import GOALS, TOWARD, checkpoints
from amulet.models import predict
from tests.helpers.digit_toys import RECIPE, digits

BUDGETS = {"linf": 0.06, "l2": 0.35}
DATA = digits()


class Scaled(nn.Module):
    """The same decisions with larger logits."""

    def __init__(self, inner: nn.Module, scale: float) -> None:
        super().__init__()
        self.inner, self.scale, self.asked = inner, scale, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.asked.append(len(x))
        return self.inner(x) * self.scale


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return RECIPE.fit(DATA.train, Stream(0) / "victim")


def standing(model: nn.Module, attack: Any) -> int:
    """How many of the test records withstand."""
    x = attack.adversarial(model, DATA.test, Stream(0))
    return int((predict(model, x).argmax(1) == DATA.test.y).sum())


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(("loss", "theirs"), [("cross_entropy", "ce"), ("dlr", "dlr")])
def test_as_strong_as_torchattacks(model: nn.Module, norm: Any, loss: Any, theirs: str) -> None:
    torchattacks = pytest.importorskip("torchattacks", reason="`make` installs it")
    other = torchattacks.APGD(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=BUDGETS[norm], steps=100, loss=theirs)
    left = int((predict(model, other(DATA.test.x, DATA.test.y)).argmax(1) == DATA.test.y).sum())
    ours = standing(model, APGD(epsilon=BUDGETS[norm], norm=norm, loss=loss))
    assert abs(ours - left) <= 2  # of 250


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["margin", "dlr"])
def test_targets_are_as_strong_as_torchattacks_targets(model: nn.Module, norm: Any, loss: Any) -> None:
    torchattacks = pytest.importorskip("torchattacks", reason="`make` installs it")
    other = torchattacks.APGDT(model, norm={"linf": "Linf", "l2": "L2"}[norm], eps=BUDGETS[norm], steps=30, n_classes=4)
    left = int((predict(model, other(DATA.test.x, DATA.test.y)).argmax(1) == DATA.test.y).sum())
    targeted = standing(model, APGD(epsilon=BUDGETS[norm], norm=norm, loss=loss, targets=3, steps=30))
    assert abs(targeted - left) <= 1
    assert targeted <= standing(model, EvasionPGD(epsilon=BUDGETS[norm], norm=norm))


def test_targets_beyond_the_classes_are_all_classes(model: nn.Module) -> None:
    every = APGD(epsilon=0.06, loss="margin", targets=9, steps=10)
    assert standing(model, every) == standing(model, every.changed(targets=100))


def test_what_loss_saturates(model: nn.Module) -> None:
    """The ratio knows no scale; the margin neither; cross-entropy has no gradient left."""
    large = Scaled(model, 1e4).eval()
    losses: tuple[Any, ...] = ("dlr", "margin")
    plain = {loss: standing(model, APGD(epsilon=0.06, loss=loss)) for loss in losses}
    for loss, left in plain.items():
        assert abs(standing(large, APGD(epsilon=0.06, loss=loss)) - left) <= 1
    assert standing(large, APGD(epsilon=0.06, search_dtype="float32")) > plain["margin"] + 10


def test_low_precision_finds_as_many(model: nn.Module) -> None:
    precisions: tuple[Any, ...] = ("float32", "bfloat16")
    exact, low = (
        standing(model, APGD(epsilon=0.06, loss="margin", targets=2, search_dtype=dtype)) for dtype in precisions
    )
    assert abs(exact - low) <= 1


def test_records_that_fell_are_not_searched_on(model: nn.Module) -> None:
    counted = Scaled(model, 1.0).eval()
    APGD(epsilon=0.5, steps=100, search_dtype="float32").adversarial(counted, DATA.test, Stream(0))
    assert sum(counted.asked) < 20 * len(DATA.test), "each falls within a few steps of 100"


def test_goals_agree_with_their_formulas() -> None:
    logits, y, t = torch.tensor([[3.0, 1.0, 0.5, -2.0, 2.0]]), torch.tensor([0]), torch.tensor([1])
    assert GOALS["margin"](logits, y).item() == pytest.approx(2 - 3)
    assert GOALS["dlr"](logits, y).item() == pytest.approx(-(3 - 2) / (3 - 1))
    assert TOWARD["margin"](logits, y, t).item() == pytest.approx(1 - 3)
    assert TOWARD["dlr"](logits, y, t).item() == pytest.approx(-(3 - 1) / (3 - (1 + 0.5) / 2))
    assert TOWARD["cross_entropy"](logits, y, t).item() == pytest.approx(logits.log_softmax(1)[0, 1].item())
    wrong = torch.tensor([4])
    assert GOALS["dlr"](logits, wrong).item() == pytest.approx((3 - 2) / (3 - 1))


@pytest.mark.parametrize("steps", [1, 7, 40, 100, 1000])
def test_checkpoints_are_those_of_the_paper(steps: int) -> None:
    shares = [0.0, 0.22]
    while shares[-1] < 1:
        shares.append(shares[-1] + max(shares[-1] - shares[-2] - 0.03, 0.06))
    wanted = sorted({-int(-(round(share, 6) * steps) // 1) for share in shares[1:] if round(share, 6) <= 1})
    assert checkpoints(steps) == wanted


def test_a_step_is_as_long_where_columns_are_immutable() -> None:
    """In L2 the masked part of the gradient would take its share of the length."""
    x, mask = torch.full((2, 4), 0.5), torch.tensor([1.0, 0.0, 0.0, 1.0])
    moved = L2Ball(x, 0.2, mask).step(x.clone(), torch.tensor([[1.0, 50.0, -50.0, 1.0]]).expand(2, 4).clone(), 0.1)
    assert torch.allclose((moved - x).norm(dim=1), torch.full((2,), 0.1))
    assert torch.equal(moved[:, 1:3], x[:, 1:3])


def test_ratios_of_classes_that_are_not_there_are_refused() -> None:
    census = load_census(limit=300)
    with pytest.raises(IncompatibleError, match=r"at least 3 classes, and census has 2: set attack\.loss=margin"):
        APGD(loss="dlr").check(census)
    with pytest.raises(IncompatibleError, match="at least 4 classes with targets"):
        APGD(loss="dlr", targets=1).check(census)
    APGD(loss="dlr", targets=9).check(DATA)
    APGD(loss="margin", targets=3).check(census)
