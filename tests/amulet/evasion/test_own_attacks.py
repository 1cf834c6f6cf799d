"""Evasion attacks that are nobody's but the user's: what they get from the base classes and from the protocol."""

import re
from typing import Any, Self

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Factory, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.evasion import protocol
from amulet.evasion.attacks import Ball, EvasionAttack, EvasionPGD, GradientAttack, L2Ball, LinfBall
from amulet.evasion.attacks.balls import BALLS
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import predict
from amulet.training import DataSplits, Recipe, Runtime, Victim

CENSUS = load_census(limit=1500)
RECIPE = Recipe(
    architecture=Factory("amulet.models.LinearNet", hidden=[32]),
    num_classes=2,
    optimizer=Factory("torch.optim.Adam", lr=1e-2),
    epochs=8,
)
SPLITS = DataSplits(
    data=CENSUS,
    victim_records=CENSUS.train,
    adversary_records=CENSUS.train,
    stream=Stream(0),
    runtime=Runtime(),
    plain_recipe=RECIPE,
)


@pytest.fixture(scope="module")
def victim() -> Victim:
    return Victim("undefended", RECIPE, CENSUS.train, Stream(0) / "victim")


class OneStep(EvasionAttack):
    """What `CONTRIBUTING.md` asks of an attack: one method. Its other settings are the base class's."""

    def __init__(self, *given: Any, epsilon: float | None = None, immutable: list[str] | None = None) -> None:
        super().__init__(*given)
        self.epsilon = epsilon
        self.immutable = immutable

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        point = x.clone().requires_grad_()
        logits = model(point)
        if not logits.requires_grad:
            return x
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), point)
        return (x + self.budget * gradient.sign() * (1 if mask is None else mask)).clamp(0, 1)


class Steps(OneStep):
    """As many of them, in L2."""

    norm = "l2"

    def __init__(self, *given: Any, epsilon: float | None = None, steps: int = 2) -> None:
        super().__init__(*given, epsilon=epsilon)
        self.steps = steps

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        ball, point = L2Ball(x, self.budget, mask), x
        for _ in range(self.steps):
            point = point.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)
            point = ball.step(point.detach(), gradient, self.budget / 20)
        return point


def test_one_method_is_a_whole_attack(victim: Victim) -> None:
    evidence = protocol.assess(victim, OneStep(epsilon=0.1), SPLITS)
    assert evidence.robust_correct.sum() < evidence.clean_correct.sum()
    assert not (evidence.robust_correct & ~evidence.clean_correct).any()
    assert {name: value for name, value in evidence.manifest.items() if name != "check"} == {
        "epsilon": 0.1,
        "norm": "linf",
        "records": len(CENSUS.test),
        "largest_change": pytest.approx(0.1),
    }
    defended = SPLITS.changed(defenses=(AdversarialTrainingPGD(epsilon=0.02),))
    assert protocol.assess(victim, OneStep(), defended).manifest["epsilon"] == 0.02
    assert protocol.assess(victim, OneStep(), SPLITS).manifest["epsilon"] == 0.03


def test_immutable_columns_are_kept_for_any_attack(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    attack = OneStep(epsilon=0.1, immutable=["one_hot", "age"])
    free, bound = (protocol.assess(victim, one, SPLITS).robust_correct.sum() for one in (OneStep(epsilon=0.1), attack))
    assert bound > free
    with pytest.raises(SettingError, match=r"`attack.immutable` must name columns of census or be one_hot, got agee"):
        protocol.check(OneStep(immutable=["agee"]), (), CENSUS)

    def heedless(*args: Any, **_: Any) -> Tensor:
        return (args[2] + 0.05).clamp(0, 1)

    monkeypatch.setattr(OneStep, "perturb", heedless)
    protocol.assess(victim, OneStep(epsilon=0.1), SPLITS)
    with pytest.raises(RuntimeError, match="changed columns that are immutable"):
        protocol.assess(victim, attack, SPLITS)


@pytest.mark.parametrize("bad", [float("nan"), 2.0])
def test_what_is_no_input_is_an_error(victim: Victim, bad: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(OneStep, "perturb", lambda *args, **_: torch.full_like(args[2], bad))  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(RuntimeError, match="left its budget"):
        protocol.assess(victim, OneStep(epsilon=1.0), SPLITS)


def test_the_budget_is_kept_in_the_attacks_norm(victim: Victim) -> None:
    evidence = protocol.assess(victim, Steps(epsilon=0.2, steps=30), SPLITS)
    assert evidence.manifest["norm"] == "l2"
    assert 0.19 < evidence.distance.max() <= 0.2 + 1e-6
    with pytest.raises(RuntimeError, match="largest l2 change"):
        protocol.assess(victim, type("Far", (OneStep,), {"norm": "l2"})(epsilon=0.1), SPLITS)


def test_an_attack_asks_for_the_data_it_needs() -> None:
    class Picky(OneStep):
        def check(self, data: AmuletDataset) -> None:
            raise SettingError(f"not on {data.name}")

    with pytest.raises(SettingError, match="not on census"):
        protocol.check(Picky(), (), CENSUS)
    protocol.check(Picky(), (), None)


def test_a_gradient_attack_overrides_what_it_raises(victim: Victim) -> None:
    class Certain(GradientAttack):
        """Raises the logit of class 1, whatever the label."""

        def __init__(self, *given: Any, epsilon: float | None = None, steps: int = 10) -> None:
            super().__init__(*given)
            self.epsilon = epsilon
            self.steps = steps

        def goal(self, logits: Tensor, y: Tensor) -> Tensor:
            return logits[:, 1] - logits[:, 0]

    negative = CENSUS.test.take(CENSUS.test.y == 0)
    x = Certain(epsilon=0.1).adversarial(victim.model, negative, Stream(1))
    plain = EvasionPGD(epsilon=0.1, steps=10).adversarial(victim.model, negative, Stream(1))
    held, also = ((predict(victim.model, one).argmax(1) == 0).double().mean().item() for one in (x, plain))
    assert held == pytest.approx(also, abs=0.01), "with two classes that is what PGD does to class 0"
    evidence = protocol.assess(victim, Certain(epsilon=0.1), SPLITS)
    assert evidence.manifest["search_dtype"] in ("float32", "bfloat16")


def test_a_gradient_attack_overrides_where_it_may_go_and_how(victim: Victim) -> None:
    class Upward(LinfBall):
        """No value may sink; steps have momentum, which a ball keeps beside each input."""

        def __init__(self, x: Tensor, epsilon: float, mask: Tensor | None = None) -> None:
            super().__init__(x, epsilon, mask)
            self.low = x
            self.pace = torch.zeros_like(x)

        def take(self, index: Tensor) -> Self:
            taken = super().take(index)
            taken.pace = self.pace[index]
            return taken

        def direction(self, gradient: Tensor) -> Tensor:
            self.pace = 0.9 * self.pace + gradient / gradient.flatten(1).norm(p=1, dim=1, keepdim=True).clamp_min(1e-12)
            return self.pace.sign()

    class Inflate(GradientAttack):
        def __init__(self, *given: Any, epsilon: float | None = None) -> None:
            super().__init__(*given)
            self.epsilon = epsilon

        def ball(self, x: Tensor, mask: Tensor | None) -> Ball:
            return Upward(x, self.budget, mask)

        def start(self, ball: Ball, generator: torch.Generator) -> Tensor:
            return ball.x.clone()

    records = CENSUS.test
    x = Inflate(epsilon=0.1).adversarial(victim.model, records, Stream(1))
    assert (x >= records.x).all()
    assert (x - records.x).max() == pytest.approx(0.1, abs=1e-6)
    clean, held = ((predict(victim.model, one).argmax(1) == records.y).double().mean() for one in (records.x, x))
    assert held < clean - 0.05
    assert protocol.assess(victim, Inflate(epsilon=0.1), SPLITS).manifest["norm"] == "linf"


@pytest.mark.parametrize("norm", BALLS)
@pytest.mark.parametrize("masked", [False, True])
def test_a_ball_keeps_what_is_drawn_and_moved_in_it(norm: str, masked: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(300, 2, 5, generator=generator)
    mask = (torch.rand(2, 5, generator=generator) > 0.5).float() if masked else None
    ball = BALLS[norm](x, 0.3, mask)
    gradient = torch.randn(x.shape, generator=generator)
    torch.testing.assert_close(ball.length(ball.direction(gradient.clone())), torch.ones(300))
    drawn = ball.draw(generator)
    for point in (drawn, ball.step(drawn.clone(), gradient.clone(), 0.5), ball.project(x + gradient)):
        assert ball.length(point - x).max() <= 0.3 + 1e-6
        assert point.min() >= 0
        assert point.max() <= 1
    moved = ball.step(x.clone(), gradient.clone(), 0.1)
    if mask is not None:
        assert torch.equal(moved * (1 - mask), x * (1 - mask))
        assert torch.equal(drawn * (1 - mask), x * (1 - mask))
    some = torch.tensor([5, 0, 7])
    assert torch.equal(ball.take(some).step(x[some], gradient[some], 0.1), moved[some])


def test_noise_is_uniform_in_the_ball() -> None:
    """In d dimensions the share of radii below r is r^d, of cubes as of Euclidean balls."""
    x = torch.full((20_000, 3), 0.5)
    for kind in (LinfBall, L2Ball):
        radius = kind.length(kind(x, 0.2).noise(torch.Generator().manual_seed(0))) / 0.2
        for r in (0.3, 0.6, 0.9):
            assert (radius < r).double().mean() == pytest.approx(r**3, abs=0.012)


def test_records_of_one_attack_do_not_depend_on_the_batch(victim: Victim) -> None:
    few: Records = CENSUS.test.take(torch.arange(64))
    attack = EvasionPGD(epsilon=0.05, random_start=False, search_dtype="float32")
    whole = attack.adversarial(victim.model, few, Stream(1))
    parts = attack.changed(batch_size=16).adversarial(victim.model, few, Stream(1))
    assert torch.allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize(("given", "got"), [(None, "NoneType"), ([0.0], "list"), (torch.zeros(3), "a tensor (3,)")])
def test_an_attack_that_returns_no_inputs_is_named(victim: Victim, given: Any, got: str) -> None:
    class Broken(OneStep):
        def perturb(self, *args: Any, **more: Any) -> Any:
            return given

    with pytest.raises(SettingError, match=rf"`Broken.perturb` must return inputs \(.*\), got {re.escape(got)}"):
        protocol.assess(victim, Broken(epsilon=0.05), SPLITS)
