"""What is looked for beside an attack: hidden gradients, searches that stop short, records that cannot exist."""

import copy
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Factory, Stream
from amulet.datasets import load_census
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionAttack, EvasionPGD, L2Ball, LinfBall, SquareAttack
from amulet.evasion.metrics import EvasionEvidence
from amulet.models import predict
from amulet.training import DataSplits, Recipe, Runtime, Victim

EPSILON = 0.05
CENSUS = load_census(limit=1200)
HALF = len(CENSUS.train) // 2
RECIPE = Recipe(
    architecture=Factory("amulet.models.LinearNet", hidden=[32]),
    num_classes=2,
    optimizer=Factory("torch.optim.Adam", lr=1e-2),
    epochs=8,
)
SPLITS = DataSplits(
    data=CENSUS,
    victim_records=CENSUS.train.take(torch.arange(HALF)),
    adversary_records=CENSUS.train.take(torch.arange(HALF, len(CENSUS.train))),
    stream=Stream(0),
    runtime=Runtime(),
    plain_recipe=RECIPE,
)
ONE_HOT = ["one_hot"]


class Behind(nn.Module):
    """A model behind something, with its logits scaled and shifted."""

    def __init__(self, inner: nn.Module, before: Callable[[Tensor], Tensor], scale: float = 1.0) -> None:
        super().__init__()
        self.inner, self.before, self.scale = inner, before, scale

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.before(x)) * self.scale


def shattered(x: Tensor) -> Tensor:
    """Hardly another input, with a gradient of which nothing is to be learned."""
    return x + 0.01 * torch.sin(2 * torch.pi * 70 * x)


def rounded(x: Tensor) -> Tensor:
    """No gradient but zero."""
    return (x * 16).round() / 16


def cut(x: Tensor) -> Tensor:
    """No gradient at all."""
    return x.detach()


def same(x: Tensor) -> Tensor:
    return x


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return RECIPE.fit(SPLITS.victim_records, Stream(0) / "victim")


def assessed(
    model: nn.Module, before: Callable[[Tensor], Tensor], attack: EvasionAttack, scale: float = 1.0
) -> EvasionEvidence:
    victim = Victim("undefended", RECIPE, SPLITS.victim_records, Stream(0) / "victim")
    behind = Behind(model, before, scale).eval()
    victim.__dict__["trained"] = dataclasses.replace(RECIPE.produce(SPLITS.victim_records, 1), model=behind)
    return protocol.assess(victim, attack, SPLITS)


def of_victim(evidence: EvasionEvidence) -> list[str]:
    return [warning for warning in evidence.warnings if warning.startswith("undefended: ")]


class OneStep(EvasionAttack):
    """One step along the gradient."""

    def __init__(self, *given: Any, epsilon: float | None = None, immutable: list[str] | None = None) -> None:
        super().__init__(*given)
        self.epsilon, self.immutable = epsilon, immutable

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        point = x.clone().requires_grad_()
        logits = model(point)
        if not logits.requires_grad:
            return x
        (gradient,) = torch.autograd.grad(F.cross_entropy(logits, y, reduction="sum"), point)
        return (x + self.budget * gradient.sign() * (1 if mask is None else mask)).clamp(0, 1)


class Guess(OneStep):
    """Needs no gradient, and finds little."""

    follows_gradients = False

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        return LinfBall(x, self.budget, mask).draw(generator)


class Steps(OneStep):
    """A few steps, in L2."""

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


@pytest.mark.parametrize("immutable", [None, ONE_HOT], ids=["free", "one-hot kept"])
@pytest.mark.parametrize(
    ("hide", "kind"),  # one long step passes over the waves of `shattered`
    [(shattered, EvasionPGD), (rounded, EvasionPGD), (cut, EvasionPGD), (rounded, OneStep), (cut, OneStep)],
)
def test_hidden_gradients_are_found_without_them(
    model: nn.Module, hide: Callable[[Tensor], Tensor], kind: type[Any], immutable: list[str] | None
) -> None:
    evidence = assessed(model, hide, kind(epsilon=0.1, immutable=immutable))
    (warning,) = [w for w in of_victim(evidence) if "hides its gradients" in w]
    assert "Use attack=square" in warning
    checked = evidence.manifest["check"]
    assert checked["robust_accuracy_checked"] < checked["robust_accuracy"] - 0.03
    assert max(checked["fell_to"]["transfer"], checked["fell_to"]["square"]) > 5
    measured = protocol.measure(evidence)
    assert measured.invalid == {"robust_accuracy": evidence.invalid}
    advised = assessed(model, hide, SquareAttack(epsilon=0.1, immutable=immutable, queries=300))
    assert advised.robust_correct.sum() < evidence.robust_correct.sum() - 10, "the advice works"
    assert not advised.invalid


@pytest.mark.parametrize("scale", [1.0, 10.0])
@pytest.mark.parametrize("immutable", [None, ONE_HOT], ids=["free", "one-hot kept"])
def test_a_model_that_hides_nothing_is_not_suspected(
    model: nn.Module, immutable: list[str] | None, scale: float
) -> None:
    evidence = assessed(model, same, EvasionPGD(epsilon=EPSILON, immutable=immutable), scale)
    assert of_victim(evidence) == []
    assert not evidence.invalid
    plain = assessed(model, same, EvasionPGD(epsilon=EPSILON, immutable=immutable))
    assert abs(evidence.robust_correct.double().mean() - plain.robust_correct.double().mean()).item() <= 0.005


def test_the_advice_for_a_loss_that_saturates_works(model: nn.Module) -> None:
    evidence = assessed(model, same, EvasionPGD(epsilon=EPSILON, loss="cross_entropy"), scale=1000.0)
    (warning,) = [w for w in of_victim(evidence) if "gradients of the margin" in w]
    assert warning.endswith("Set attack.loss=margin, raise attack.steps or attack.restarts")
    assert evidence.invalid
    followed = assessed(model, same, EvasionPGD(epsilon=EPSILON, loss="margin", steps=100), scale=1000.0)
    assert of_victim(followed) == []
    assert followed.robust_correct.sum() < evidence.robust_correct.sum() - 10


def noisy(x: Tensor) -> Tensor:
    return x + 0.05 * torch.randn(x.shape)


@pytest.mark.parametrize(
    ("attack", "advice"),
    [(EvasionPGD(epsilon=EPSILON, steps=5), "Set"), (SquareAttack(epsilon=EPSILON, queries=5), "Use attack=apgd")],
)
def test_random_answers_ask_for_their_mean(model: nn.Module, attack: EvasionAttack, advice: str) -> None:
    evidence = assessed(model, noisy, attack)
    (warning,) = of_victim(evidence)
    assert f"{advice} attack.eot=20, which attacks the mean" in warning
    assert "change from call to call" in evidence.invalid


def test_the_mean_of_random_answers_is_attacked_and_judged(model: nn.Module) -> None:
    """The expected answer of a linear-like model under noise is that of the model without it."""
    plain = assessed(model, same, EvasionPGD(epsilon=EPSILON, steps=5, rel_step_size=0.3)).robust_correct
    single = assessed(model, noisy, EvasionPGD(epsilon=EPSILON, steps=5, rel_step_size=0.3))
    mean = assessed(model, noisy, EvasionPGD(epsilon=EPSILON, steps=5, rel_step_size=0.3, eot=8))
    agreeing = [(found.robust_correct == plain).double().mean().item() for found in (single, mean)]
    assert agreeing[1] > agreeing[0]
    assert agreeing[1] > 0.97
    assert not mean.invalid
    assert of_victim(mean) == []
    assert mean.manifest["eot"] == 8
    again = assessed(model, noisy, EvasionPGD(epsilon=EPSILON, steps=5, rel_step_size=0.3, eot=8))
    assert torch.equal(again.robust_correct, mean.robust_correct), "also random answers are drawn from the run's seed"


def test_too_few_answers_for_a_mean_are_named(model: nn.Module) -> None:
    def loud(x: Tensor) -> Tensor:
        return x + 0.6 * torch.randn(x.shape)

    evidence = assessed(model, loud, EvasionPGD(epsilon=EPSILON, steps=5, eot=2))
    (warning,) = of_victim(evidence)
    assert warning.endswith("Raise attack.eot (2 now)")
    assert "mean of 2 answers" in evidence.invalid


def test_a_model_of_one_answer_is_not_said_to_hide_anything(model: nn.Module) -> None:
    evidence = assessed(model, same, EvasionPGD(epsilon=EPSILON), scale=0.0)
    (warning,) = of_victim(evidence)
    assert "answers class 0 for every test record" in warning
    assert "`epochs`" in warning
    assert "gradient" not in warning


def test_a_search_that_stops_short_is_named(model: nn.Module) -> None:
    warned = of_victim(assessed(model, same, Steps(epsilon=0.3, steps=8)))
    assert any(w.endswith("the attack had not converged. Raise attack.steps (8 now)") for w in warned)
    assert not any("hides" in w for w in warned)
    assert of_victim(assessed(model, same, Steps(epsilon=0.3, steps=40))) == []
    short = EvasionPGD(epsilon=0.2, steps=5, rel_step_size=0.05, random_start=False)
    assert any("had not converged" in w for w in of_victim(assessed(model, same, short)))
    evidence = assessed(model, same, Guess(epsilon=EPSILON))
    assert evidence.invalid, "what needs no gradient can be weak as well"
    assert not any("hides" in w for w in of_victim(evidence))


def test_the_largest_budget_leaves_nothing_standing(model: nn.Module) -> None:
    """The other searches keep to the attack's budget, in which this model is robust to all of them."""

    def narrow(x: Tensor) -> Tensor:  # the inputs as they are, nothing around them
        return torch.where((x * 64 - (x * 64).round()).abs() < 0.5, x.detach(), x)

    unbounded = EvasionPGD(epsilon=0.001)
    warned = of_victim(assessed(model, narrow, unbounded))
    assert any("with the largest budget" in w for w in warned)


def test_a_gradient_that_is_zero_is_named_where_no_search_finds_more(model: nn.Module) -> None:
    def coarse(x: Tensor) -> Tensor:
        return (x * 2).round() / 2

    evidence = assessed(model, coarse, EvasionPGD(epsilon=0.001, immutable=ONE_HOT))
    assert sum(evidence.manifest["check"]["fell_to"].values()) <= 2
    (warning,) = of_victim(evidence)
    assert "the gradient is exactly zero for 100% of the records probed" in warning
    assert evidence.invalid
    assert not assessed(model, coarse, SquareAttack(epsilon=0.001, immutable=ONE_HOT, queries=50)).invalid


def test_records_that_cannot_exist_are_said_once(model: nn.Module) -> None:
    first = assessed(model, same, OneStep(epsilon=EPSILON)).warnings
    (said,) = [w for w in first if "cannot exist" in w]
    assert "attack.immutable=[one_hot]" in said
    assert "undefended" not in said, "the same words for both victims, which a run says once"
    for attack in (OneStep(epsilon=EPSILON, immutable=ONE_HOT), OneStep(epsilon=0.0)):
        assert not any("cannot exist" in w for w in assessed(model, same, attack).warnings)
    assert any("cannot exist" in w for w in assessed(model, same, OneStep(epsilon=EPSILON, immutable=["age"])).warnings)


def test_the_surrogate_is_trained_once_and_leaves_the_victim_alone(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    first, second = (assessed(model, same, EvasionPGD(epsilon=EPSILON)) for _ in range(2))
    assert first.manifest == second.manifest
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.2)])
@pytest.mark.parametrize("masked", [False, True])
def test_square_comes_near_to_gradients(model: nn.Module, norm: Any, epsilon: float, masked: bool) -> None:
    records = CENSUS.test.take(torch.arange(200))
    attack = SquareAttack(epsilon=epsilon, norm=norm, queries=400, immutable=ONE_HOT if masked else None)
    mask = attack.changeable(CENSUS)
    x = attack.adversarial(model, records, Stream(0), mask=mask)
    assert attack.distance(x, records.x).max() <= epsilon + 1e-6
    assert x.min() >= 0
    assert x.max() <= 1
    if mask is not None:
        assert torch.equal(x[:, mask == 0], records.x[:, mask == 0])
    pgd = EvasionPGD(epsilon=epsilon, norm=norm, search_dtype="float32")
    best = pgd.adversarial(model, records, Stream(0), mask=mask)
    clean, square, gradient = (
        (predict(model, one).argmax(1) == records.y).double().mean().item() for one in (records.x, x, best)
    )
    assert gradient <= square + 0.005
    assert square - gradient < 0.15 * (clean - gradient) + 0.01
    again = attack.adversarial(model, records, Stream(0), mask=mask)
    assert torch.equal(x, again)


def test_square_moves_squares_of_images() -> None:
    """A model that looks at one corner of one channel falls; what does not matter is left to chance."""

    class Corner(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            dark = x[:, 1, :3, :3].mean(dim=(1, 2)) - 0.5
            return torch.stack([torch.zeros_like(dark), dark], dim=1)

    x = torch.full((40, 3, 8, 8), 0.5)
    x[:, 1, :3, :3] += 0.02
    y = torch.ones(40, dtype=torch.int64)
    mask = torch.ones(3, 8, 8)
    generator = torch.Generator().manual_seed(0)
    found = SquareAttack(epsilon=0.05, queries=200).perturb(Corner(), x, y, mask=mask, generator=generator)
    assert (Corner()(found).argmax(1) == 0).double().mean() > 0.9
    assert (found - x).abs().max() <= 0.05 + 1e-6
    mask[1] = 0
    kept = SquareAttack(epsilon=0.05, queries=200).perturb(Corner(), x, y, mask=mask, generator=generator)
    assert torch.equal(kept[:, 1], x[:, 1])
    assert (Corner()(kept).argmax(1) == 1).all()
