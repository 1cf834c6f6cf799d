"""Per-record clipped gradients, against hand-made ones, a loop over the records, and opacus."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from amulet.core import SettingError
from amulet.membership_inference.defenses import units
from amulet.membership_inference.defenses.clipping import PerRecord
from amulet.membership_inference.defenses.probe import check_model
from amulet.models import LinearNet, frozen


class Scale(nn.Module):
    """A layer of nobody's library."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, width))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale.exp()


class Mixer(nn.Module):
    """Weights of its own and a child that has some too."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.randn(width))
        self.child = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.child(x + self.shift))


def _conv(**settings: object) -> nn.Module:
    conv = nn.Conv2d(2, 4, 3, **settings)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.GroupNorm(2, 4), nn.ReLU(inplace=True), nn.Flatten(), nn.LazyLinear(3))


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linearnet": (lambda: LinearNet((6,), 3, hidden=(8, 7)), (6,)),
    "no bias": (lambda: nn.Sequential(nn.Linear(6, 5, bias=False), nn.ReLU(inplace=True), nn.Linear(5, 3)), (6,)),
    "sequence": (lambda: nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5), nn.Flatten(), nn.Linear(30, 3)), (6, 4)),
    "short sequence": (lambda: nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)), (2, 9)),
    "own layer": (lambda: nn.Sequential(nn.Linear(6, 5), Scale(5), nn.Linear(5, 3)), (6,)),
    "nested": (lambda: nn.Sequential(nn.Linear(6, 5), Mixer(5), nn.Linear(5, 3)), (6,)),
    "conv": (lambda: _conv(padding=1), (2, 5, 5)),
    "conv, few positions": (lambda: _conv(stride=3), (2, 5, 5)),
    "conv, dilated": (lambda: _conv(dilation=2, bias=False), (2, 7, 7)),
    "conv, groups": (lambda: _conv(groups=2), (2, 5, 5)),
    "conv, same": (lambda: _conv(padding="same"), (2, 5, 5)),
    "conv, reflect": (lambda: _conv(padding=1, padding_mode="reflect"), (2, 5, 5)),
    "conv 1d": (lambda: nn.Sequential(nn.Conv1d(3, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3)), (3, 6)),
}


def _built(name: str, batch: int = 5) -> tuple[nn.Module, Tensor, Tensor]:
    build, shape = MODELS[name]
    torch.manual_seed(3)
    model, x = build().train(), torch.rand(batch, *shape)
    model(x)  # lazy layers take shape
    return model, x, torch.arange(batch) % 3


def _losses(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Two passes, as under adversarial training with clean and changed records."""
    clean, changed = model(x), model((x * 0.5 + 0.2).detach())
    return F.cross_entropy(clean, y, reduction="none") + 0.7 * F.cross_entropy(changed, y, reduction="none")


def _by_loop(model: nn.Module, x: Tensor, y: Tensor, max_norm: float) -> tuple[list[Tensor], Tensor]:
    weights = [p for p in model.parameters() if p.requires_grad]
    sums, norms = [torch.zeros_like(w) for w in weights], []
    for i in range(len(x)):
        gradients = torch.autograd.grad(_losses(model, x[i : i + 1], y[i : i + 1]).sum(), weights)
        norm = torch.cat([g.flatten() for g in gradients]).norm()
        norms.append(norm)
        for total, gradient in zip(sums, gradients, strict=True):
            total.add_(gradient * min(1.0, max_norm / norm.item()))
    return sums, torch.stack(norms)


def _clipped(model: nn.Module, x: Tensor, y: Tensor, max_norm: float) -> tuple[list[Tensor], Tensor]:
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        losses = _losses(model, x, y)
    return per_record.clipped(losses, runs, max_norm)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("budget", [units.BUDGET, 40])
def test_sums_and_norms_are_those_of_a_loop_over_the_records(
    name: str, budget: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "BUDGET", budget)
    model, x, y = _built(name)
    wanted, wanted_norms = _by_loop(model, x, y, wanted_clip := 0.8)
    found, norms = _clipped(model, x, y, wanted_clip)
    assert norms.max() > wanted_clip, "nothing was clipped"
    torch.testing.assert_close(norms, wanted_norms, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert all(p.grad is None for p in model.parameters())


def test_embedding_is_clipped_too() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Flatten(), nn.Linear(12, 3))
    x, y = torch.tensor([[1, 1, 2], [0, 6, 6], [3, 3, 3]]), torch.tensor([0, 1, 2])
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        losses = F.cross_entropy(model(x), y, reduction="none")
    _, norms = per_record.clipped(losses, runs, 1.0)
    for i in range(3):
        loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        assert norms[i].item() == pytest.approx(torch.cat([g.flatten() for g in gradients]).norm().item(), rel=1e-5)


def test_hand_made_gradients() -> None:
    """Loss w.x on two records: gradients (3, 4) of norm 5 and (0.3, 0.4) of norm 0.5; only the first is scaled."""
    model = nn.Linear(2, 1, bias=False)
    x = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        losses = model(x).squeeze(1)
    (total,), norms = per_record.clipped(losses, runs, 1.0)
    assert norms.tolist() == pytest.approx([5.0, 0.5])
    assert total.flatten().tolist() == pytest.approx([0.6 + 0.3, 0.8 + 0.4], rel=1e-5)


def test_two_copies_of_a_record_are_clipped_as_one() -> None:
    """Passes with gradients (3, 0) and (0, 4) make one gradient of norm 5, not two of norm 1."""
    model = nn.Linear(2, 1, bias=False)
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        losses = model(torch.tensor([[3.0, 0.0]])).squeeze(1) + model(torch.tensor([[0.0, 4.0]])).squeeze(1)
    (total,), norms = per_record.clipped(losses, runs, 1.0)
    assert norms.tolist() == pytest.approx([5.0])
    assert total.norm().item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing:UserWarning")  # opacus' hooks on a first layer
@pytest.mark.parametrize("name", ["linearnet", "conv", "sequence", "conv, groups"])
def test_as_opacus_clips(name: str) -> None:
    from opacus import GradSampleModule
    from opacus.optimizers import DPOptimizer

    model, x, y = _built(name, batch=6)
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # which opacus cannot do
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        losses = F.cross_entropy(model(x), y, reduction="none")
    ours, _ = per_record.clipped(losses, runs, 0.5)
    wrapped = GradSampleModule(model, loss_reduction="sum")
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=1.0),
        noise_multiplier=0.0,
        max_grad_norm=0.5,
        expected_batch_size=6,
        loss_reduction="sum",
    )
    F.cross_entropy(wrapped(x), y, reduction="sum").backward()
    optimizer.clip_and_accumulate()
    for total, weight in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(total, weight.summed_grad, rtol=1e-4, atol=1e-6)  # type: ignore[attr-defined]


@given(
    batch=st.integers(1, 4),
    positions=st.integers(1, 5),
    into=st.integers(1, 5),
    out=st.integers(1, 5),
    passes=st.integers(1, 3),
    bias=st.booleans(),
)
def test_norms_of_any_linear_layer(batch: int, positions: int, into: int, out: int, passes: int, bias: bool) -> None:
    generator = torch.Generator().manual_seed(batch + 7 * positions + 49 * into)
    layer = nn.Linear(into, out, bias=bias)
    drawn = [
        (
            torch.randn(batch, positions, into, generator=generator),
            torch.randn(batch, positions, out, generator=generator),
        )
        for _ in range(passes)
    ]
    unit = units.unit_of(layer)
    found = unit.squared_norms([units.Pass(a, g) for a, g in drawn])
    matrix = sum((torch.einsum("bto,bti->boi", g, a) for a, g in drawn), torch.zeros(batch, out, into))
    wanted = matrix.square().sum(dim=(1, 2))
    if bias:
        wanted += sum((g.sum(dim=1) for _, g in drawn), torch.zeros(batch, out)).square().sum(dim=1)
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_frozen_weights_are_left_alone_and_their_passes_do_not_count() -> None:
    model, x, y = _built("linearnet")
    model.get_submodule("head").requires_grad_(False)
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        with frozen(model):
            model(x.requires_grad_())  # an attack's search
        assert not runs
        losses = _losses(model, x.detach(), y)
    assert len(runs) == 2 * 2
    found, norms = per_record.clipped(losses, runs, 0.1)
    wanted, wanted_norms = _by_loop(model, x.detach(), y, 0.1)
    torch.testing.assert_close(norms, wanted_norms, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_clipped_in_float32() -> None:
    model, x, y = _built("conv")
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(x)
        losses = F.cross_entropy(logits.float(), y, reduction="none")
    found, norms = per_record.clipped(losses, runs, 0.5)
    with per_record.recording() as runs:
        losses = F.cross_entropy(model(x), y, reduction="none")
    wanted, wanted_norms = per_record.clipped(losses, runs, 0.5)
    torch.testing.assert_close(norms, wanted_norms, rtol=0.05, atol=0.01)
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, theirs, rtol=0.1, atol=0.05)


class Unseen(nn.Module):
    """Uses a layer's weight without calling the layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.linear(x, self.layer.weight))


class Centred(nn.Module):
    """Subtracts the mean of the batch."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0)


class CentredInTraining(nn.Module):
    """Subtracts the mean of the batch while it is trained, except alone."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.mean(dim=0) if self.training and len(x) > 1 else x


class FunctionalBatchNorm(nn.Module):
    """BatchNorm that is no layer, with dropout behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))
        self.register_buffer("spread", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        mean, spread = self.get_buffer("mean"), self.get_buffer("spread")
        x = F.batch_norm(x, mean, spread, training=self.training and len(x) > 1)
        return F.dropout(x, 0.2, training=self.training)


class RunningMean(nn.Module):
    """Keeps a mean of the records, slowly, and does not use it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.get_buffer("mean").mul_(0.999).add_(1e-3 * x.detach().mean(dim=0))
        return x


class Counter(RunningMean):
    """Counts the records that it has seen: the size of a Poisson sample is not public."""

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("mean").add_(len(x))
        return x


class Remembers(nn.Module):
    """Adds the mean of the batch before, which is in no buffer."""

    before: Tensor | float = 0.0

    def forward(self, x: Tensor) -> Tensor:
        made = x + self.before
        self.before = 0.1 * x.detach().mean(dim=0)
        return made


class MixedBackward(torch.autograd.Function):
    """Mixes only the gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *outputs: Tensor) -> Tensor:
        (gradient,) = outputs
        return gradient + 0.5 * (gradient.mean(dim=0) - gradient)


class Blended(nn.Module):
    """Its answers are those of each record alone; its gradients are not."""

    def forward(self, x: Tensor) -> Tensor:
        return MixedBackward.apply(torch.tanh(x))


class Steps(nn.Module):
    """Counts its passes, which are public, and draws random numbers for each record."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("passes").add_(1)
        return x + torch.rand_like(x) if self.training else x


class Bag(nn.Module):
    """A layer that opacus' sampler and `torch.func` fail on."""

    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.bag((2 * x).long())


class Regrouped(nn.Module):
    """Runs a layer on two rows per record."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x.reshape(-1, 2)).reshape(len(x), 2, 3).sum(dim=1)


class Shared(nn.Sequential):
    """Two layers, one weight."""

    def __init__(self) -> None:
        super().__init__(nn.Linear(4, 4), nn.Linear(4, 4))
        self[1].weight = self[0].weight


class TwoInputs(nn.Module):
    """Has a layer of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Bilinear(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Unseen(), "do not add up"),
        (nn.Sequential(Centred(), nn.Linear(4, 3)), "depends on the other records"),
        (nn.Sequential(CentredInTraining(), nn.Linear(4, 3)), "depends on the other records"),
        (nn.Sequential(FunctionalBatchNorm(), nn.Linear(4, 3)), "depends on the other records"),
        (nn.Sequential(nn.Linear(4, 4), Blended(), nn.Linear(4, 3)), "depends on the other records"),
        (nn.Sequential(RunningMean(), nn.Linear(4, 3)), r"keeps something of the records of a batch \(0.mean\)"),
        (nn.Sequential(Counter(), nn.Linear(4, 3)), r"keeps something of the records of a batch \(0.mean\)"),
        (nn.Sequential(Remembers(), nn.Linear(4, 3)), "not in a buffer"),
        (nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(4, 4), nn.Linear(4, 3)), "normalises single values"),
        (Bag(), "the gradients of EmbeddingBag cannot be had"),
        (Regrouped(), "one row per record"),
        (Shared(), "share weights"),
        (TwoInputs(), "more than one tensor"),
        (nn.Sequential(Mixer(4), nn.Dropout(0.5), nn.Linear(4, 3)), None),
        (nn.Sequential(nn.Linear(4, 4), nn.GroupNorm(2, 4), Steps(), nn.Linear(4, 3)), None),
    ],
    ids=[
        "unseen",
        "centred",
        "centred in training",
        "functional batch norm",
        "gradients mixed",
        "running mean",
        "counter",
        "memory",
        "constant norm",
        "bag",
        "regrouped",
        "shared",
        "two inputs",
        "fine",
        "steps and noise",
    ],
)
def test_models_that_cannot_be_clipped_are_refused(model: nn.Module, says: str | None) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x, generator = torch.rand(8, 4), torch.Generator().manual_seed(0)
    modes = [module.training for module in model.modules()]
    if says is None:
        check_model(model, x, generator)
    else:
        with pytest.raises(SettingError, match=says):
            check_model(model, x, generator)
    assert [module.training for module in model.modules()] == modes
    assert not any(module._forward_hooks for module in model.modules())  # pyright: ignore[reportPrivateUsage]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
