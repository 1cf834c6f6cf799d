"""Model inversion: what its search does, on hand-made models and on digits."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from amulet.core import Reporter, SettingError, Stage, Stream
from amulet.data_reconstruction.attacks import ModelInversion
from amulet.data_reconstruction.attacks.inversion import total_variation


class Sure(nn.Module):
    """Logits that are linear in the mean over columns from each class's pattern: the way is known."""

    def __init__(self, patterns: Tensor, scale: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(patterns.flatten(1))
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x.flatten(1) @ self.weight.T


PATTERNS = torch.tensor([[1.0, -1.0, 0.0, 0.0], [-1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -1.0]])
STREAM = Stream(0) / "attack"


def reference(model: nn.Module, shape: tuple[int, ...], label: int, start: float, steps: int, size: float) -> Tensor:
    """Algorithm 1 for one class, written plainly, with a history and `min` over it."""
    x = torch.full((1, *shape), start)
    history: list[tuple[float, Tensor]] = []
    for _ in range(steps + 1):
        x = x.detach().requires_grad_()
        loss = nn.functional.cross_entropy(model(x).double(), torch.tensor([label]))
        (gradient,) = torch.autograd.grad(loss, x)
        history.append((loss.item(), x.detach()))
        x = (x - size * gradient).clamp(0, 1)
    lowest = min(loss for loss, _ in history)
    return next(x[0] for loss, x in history if loss == lowest)


@pytest.mark.parametrize(("start", "value"), [("zero", 0.0), ("gray", 0.5)])
def test_plain_descent_is_algorithm_1_for_every_class(start: str, value: float) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 3))
    attack = ModelInversion(steps=40, step_size=0.3, update="plain", start=start, tolerance=0, tv=0)  # type: ignore[arg-type]
    found = attack.reconstruct(model, (3, 2, 2), 3, STREAM)
    for label in range(3):
        expected = reference(model, (3, 2, 2), label, value, 40, 0.3)
        assert torch.allclose(found.x[label], expected, atol=1e-5)
    assert (found.loss < found.first_loss).all()


def test_adam_is_torchs_adam() -> None:
    model = Sure(PATTERNS, 3.0)
    found = ModelInversion(steps=30, start="gray", tolerance=0).reconstruct(model, (4,), 3, STREAM)
    x = torch.full((3, 4), 0.5, requires_grad=True)
    optimizer = torch.optim.Adam([x], lr=0.01, eps=1e-20)
    for _ in range(30):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x).double(), torch.arange(3), reduction="sum").backward()
        optimizer.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    assert torch.allclose(found.x, x.detach(), atol=1e-5)


def test_it_finds_what_each_class_looks_like() -> None:
    found = ModelInversion(steps=400, start="gray", tolerance=0).reconstruct(Sure(PATTERNS), (4,), 3, STREAM)
    assert torch.equal(found.x, torch.tensor([[1, 0, 0, 1], [0, 1, 0, 1], [0.5, 0.5, 1, 0]]))


def test_the_best_iterate_is_returned_not_the_last() -> None:
    model = Sure(PATTERNS)
    # A step of this length jumps over the way out and back: the loss of the last iterate is worse than the first.
    wild = nn.Sequential(model, nn.Hardtanh(-0.3, 0.3))
    found = ModelInversion(steps=25, step_size=40.0, update="plain", start="gray", tolerance=0).reconstruct(
        wild, (4,), 3, STREAM
    )
    with torch.no_grad():
        loss = nn.functional.cross_entropy(wild(found.x).double(), torch.arange(3), reduction="none")
    assert torch.allclose(loss, found.loss)
    assert (found.loss <= found.first_loss).all()


def test_it_moves_where_gradients_are_tiny_and_plain_descent_does_not() -> None:
    faint = Sure(PATTERNS, 1e-6)
    moving = ModelInversion(steps=60).reconstruct(faint, (4,), 3, STREAM)
    still = ModelInversion(steps=60, update="plain", step_size=0.003).reconstruct(faint, (4,), 3, STREAM)
    assert moving.moved.min() > 0.2
    assert (moving.loss < moving.first_loss).all()
    assert still.moved.max() < 1e-6


def test_the_loss_is_lowered_even_where_the_model_is_sure_at_the_start() -> None:
    class Biased(Sure):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.tensor([25.0, 0.0, 0.0])

    found = ModelInversion(steps=200).reconstruct(Biased(PATTERNS, 4.0), (4,), 3, STREAM)
    assert found.first_loss[0] < 1e-9
    assert (found.loss < found.first_loss).all()
    assert (found.loss[0] <= found.first_loss[0] / 10).all()


def test_a_search_that_is_sure_enough_ends() -> None:
    class Counting(Stage):
        seen = 0

        def advance(self, steps: int = 1, **figures: float) -> None:
            Counting.seen += steps

    class Telling(Reporter):
        def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
            assert (name, total, unit) == ("mine", 3000, "step")
            return Counting(name, total, unit)

    found = ModelInversion().reconstruct(Sure(PATTERNS, 10.0), (4,), 3, STREAM, Telling(), "mine")
    assert 1 < found.steps == Counting.seen < 1500
    assert ((found.loss <= 0.001) & (found.loss > 1e-5)).all()


def test_restarts_leave_the_way_that_ends_lowest() -> None:
    class Trap(nn.Module):
        """From zero the first column leads uphill only; from most places the second leads far down."""

        def forward(self, x: Tensor) -> Tensor:
            good = torch.relu(x[:, 1] - 0.3) * 20
            return torch.stack([good, torch.ones_like(good)], dim=1)

    once = ModelInversion(steps=100).reconstruct(Trap(), (2,), 2, STREAM)
    often = ModelInversion(steps=100, restarts=6).reconstruct(Trap(), (2,), 2, STREAM)
    assert once.loss[0] == once.first_loss[0]
    assert once.moved[0] == 0
    assert often.loss[0] < 0.01
    assert often.start[0].max() > 0.3
    assert torch.equal(often.start[1], torch.zeros(2)) or often.loss[1] <= once.loss[1]


@given(
    start=st.sampled_from(["zero", "gray", "random"]),
    update=st.sampled_from(["adam", "plain"]),
    seed=st.integers(0, 99),
)
def test_always_in_range_and_never_worse(start: str, update: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    attack = ModelInversion(start=start, update=update, steps=12, step_size=0.7, restarts=2)  # type: ignore[arg-type]
    found = attack.reconstruct(model, (5,), 3, Stream(seed))
    assert found.x.min() >= 0
    assert found.x.max() <= 1
    assert (found.loss <= found.first_loss).all()
    assert torch.equal(found.x, attack.reconstruct(model, (5,), 3, Stream(seed)).x)


def test_the_victim_is_left_as_it_was() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(), nn.Linear(16, 3)
    )
    model.train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    modes = [m.training for m in model.modules()]
    ModelInversion(steps=5).reconstruct(model, (1, 4, 4), 3, STREAM)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [m.training for m in model.modules()] == modes
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_prior_for_smooth_pictures() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 3))
    plain, smooth = (
        ModelInversion(steps=150, tv=tv, tolerance=0).reconstruct(model, (1, 6, 6), 3, STREAM) for tv in (0.0, 0.5)
    )
    assert (total_variation(smooth.x) < total_variation(plain.x) / 2).all()
    assert (smooth.loss < smooth.first_loss).all()


def test_a_smoothed_search_ends_when_it_stands_still() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.ReLU(), nn.Linear(24, 3))
    ended, full = (
        ModelInversion(steps=900, tolerance=tolerance).reconstruct(model, (1, 6, 6), 3, STREAM)
        for tolerance in (0.001, 0.0)
    )
    assert ended.steps < full.steps == 900
    assert ended.steps % 100 == 0
    goals = [one.loss + 0.3 * total_variation(one.x) for one in (ended, full)]
    assert (goals[0] - goals[1] < 0.01).all(), "what it would still have won is little"


def test_by_hand_as_in_the_paper() -> None:
    attack = ModelInversion(Sure(PATTERNS), (4,), 3, "cpu", steps=50)
    x = attack.attack()
    assert x.shape == (3, 4)
    assert attack.reconstruction is not None
    assert torch.equal(attack.reconstruction.x, x)
    with pytest.raises(SettingError, match="must be built with a model, an input shape"):
        ModelInversion().attack()


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"steps": 0}, "`steps` must satisfy 1 <= steps, got 0"),
        ({"step_size": 0.0}, "`step_size` must satisfy 0 < step_size, got 0.0"),
        ({"update": "sgd"}, "`update` must be one of adam, plain; got sgd"),
        ({"start": "white"}, "`start` must be one of zero, gray, random; got white"),
        ({"restarts": 0}, "`restarts` must satisfy"),
        ({"tolerance": -1.0}, "`tolerance` must satisfy"),
        ({"tv": -0.1}, "`tv` must satisfy"),
    ],
)
def test_settings_that_cannot_work(setting: dict[str, object], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        ModelInversion(**setting)  # type: ignore[arg-type]
