"""DP-SGD on every architecture: per-record gradients against a loop, GroupNorm for BatchNorm, what is refused."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core import Factory, SettingError, Stream
from amulet.core.vision import import_torchvision
from amulet.datasets import Records
from amulet.membership_inference.defenses import DPSGD, units
from amulet.membership_inference.defenses.architecture import (
    WithGroupNorm,
    has_batch_norm,
    unprotectable,
    with_group_norm,
)
from amulet.membership_inference.defenses.clipping import PerRecord
from amulet.membership_inference.defenses.probe import check_model
from amulet.models.layers import group_norm
from amulet.training import Recipe
from tests.helpers.model_toys import GREY, IMAGE_MODELS, SMALL, TABLE, TABLE_MODELS, built, images

MODELS = {**IMAGE_MODELS, **TABLE_MODELS}
QUIET = {"dropout": 0.0, "attention_dropout": 0.0}


def private(name: str) -> tuple[nn.Module, Tensor]:
    """The architecture as DP-SGD trains it, but for dropout, and inputs."""
    factory = MODELS[name]
    shape = TABLE if name in TABLE_MODELS else GREY
    quiet: dict[str, Any] = {key: 0.0 for key in QUIET if key in factory.settings or name == "ft_transformer"}
    adapted = DPSGD().adapt(factory)
    return built(adapted, shape, **quiet).train(), images(shape, 3)


def by_loop(model: nn.Module, x: Tensor, y: Tensor, max_norm: float) -> tuple[list[Tensor], Tensor]:
    """Each record by itself through the model: its gradient, clipped; their sum, and the norms before."""
    weights = list(model.parameters())
    sums, norms = [torch.zeros_like(w) for w in weights], list[float]()
    for i in range(len(x)):
        loss = F.cross_entropy(model(x[i : i + 1]), y[i : i + 1])
        gradients = torch.autograd.grad(loss, weights)
        norms.append(sum(g.double().square().sum().item() for g in gradients) ** 0.5)
        for total, gradient in zip(sums, gradients, strict=True):
            total.add_(gradient * min(1.0, max_norm / norms[-1]))
    return sums, torch.tensor(norms)


def clipped(model: nn.Module, x: Tensor, y: Tensor, max_norm: float) -> Any:
    per_record = PerRecord(model)
    with per_record.recording() as runs:
        losses = F.cross_entropy(model(x), y, reduction="none")
    return per_record.clipped(losses, runs, max_norm)


def assert_as_a_loop(model: nn.Module, x: Tensor) -> None:
    y = torch.arange(len(x)) % 3
    _, free = by_loop(model, x, y, 1.0)
    bound = free.median().item()
    wanted, norms = by_loop(model, x, y, bound)
    found = clipped(model, x, y, bound)
    assert norms.max() > bound, "nothing was clipped"
    torch.testing.assert_close(found.norms, norms.float(), rtol=1e-3, atol=1e-5)
    for ours, theirs in zip(found.gradients, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4 * (1 + theirs.abs().max().item()))


@pytest.mark.parametrize("name", MODELS)
def test_clipped_gradients_are_those_of_a_loop_over_the_records(name: str) -> None:
    model, x = private(name)
    assert_as_a_loop(model, x)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("name", ["vit", "cnn"])
def test_they_are_in_small_parts_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(units, "BUDGET", 500)
    assert_as_a_loop(*private(name))


class Attending(nn.Module):
    """Attention of a sequence to itself, called in another way each time."""

    def __init__(self, how: str = "position", **settings: Any) -> None:
        super().__init__()
        self.how = how
        self.attention = nn.MultiheadAttention(8, 2, **{"batch_first": True, **settings})
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        named = {"query": x, "key": x, "value": x, "need_weights": False}
        calls: dict[str, Any] = {
            "position": lambda: self.attention(x, x, x),
            "name": lambda: self.attention(**named),
            "mask": lambda: self.attention(x, x, x, attn_mask=torch.zeros(5, 5)),
            "other": lambda: self.attention(x, x.flip(1), x),
        }
        return self.head(self.norm(calls[self.how]()[0]).mean(dim=1))


@pytest.mark.parametrize("model", [Attending(), Attending("name"), Attending(bias=False), Attending(add_bias_kv=True)])
def test_attention_is_clipped_too(model: Attending) -> None:
    assert unprotectable(model) == []
    assert_as_a_loop(model.train(), torch.rand(4, 5, 8, generator=torch.Generator().manual_seed(0)))


def test_an_encoder_layer_of_torch_is_clipped_too() -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    assert_as_a_loop(nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 3)).train(), torch.rand(4, 5, 8))


def test_a_model_with_weights_of_its_own_is_clipped_as_one() -> None:
    """torchvision's vision transformer has its class token beside its layers."""
    torch.manual_seed(0)
    model = import_torchvision().models.VisionTransformer(8, 4, 2, 2, 8, 16, num_classes=3)
    nn.init.normal_(model.heads.head.weight)  # zero at first, so that nothing before it has a gradient
    assert_as_a_loop(model.train(), images((3, 8, 8)))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Attending("other"), "attends to another sequence"),
        (Attending("mask"), "has a mask"),
        (Attending(batch_first=False), "does not have the records first"),
        (Attending(dropout=0.2), "drops weights at random"),
        (Attending("other", dropout=0.2), "another sequence and drops weights"),
    ],
)
def test_other_attention_is_refused(model: Attending, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        check_model(model.train(), torch.rand(5, 5, 8), torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("name", "there"),
    [("vgg11", True), ("resnet50", True), ("cnn", True), ("vgg19", False), ("vit", False), ("ft_transformer", False)],
)
def test_batch_norm_is_seen_without_data(name: str, there: bool) -> None:
    assert has_batch_norm(MODELS[name]) is there


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "resnet50", "cnn"])
def test_replaced_batch_norm_is_norm_group(name: str) -> None:
    """The architecture that DP-SGD makes is the one that the user could have asked for, name by name."""
    adapted = DPSGD().adapt(MODELS[name])
    assert isinstance(adapted, WithGroupNorm)
    replaced, asked = built(adapted, SMALL), built(MODELS[name], SMALL, norm="group")
    assert replaced.replaced_batch_norms > 3  # pyright: ignore[reportOperatorIssue]
    asked.load_state_dict(replaced.state_dict())
    x = images(SMALL)
    torch.testing.assert_close(replaced.eval()(x), asked.eval()(x))


class Oddly(nn.Module):
    """BatchNorm without weights, the same one twice, and attention."""

    def __init__(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(input_shape[0], 8, 3), nn.BatchNorm2d(8, affine=False))
        self.second = self.first[1]
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(x)).flatten(2).mT
        return self.head(self.attention(x, x, x)[0].mean(dim=1))


def test_every_batch_norm_goes_and_nothing_else() -> None:
    before = Oddly((1, 6, 6), 3)
    assert any("BatchNorm" in problem for problem in unprotectable(before))
    model = built(WithGroupNorm(f"{__name__}.Oddly"), (1, 6, 6))
    assert isinstance(model, Oddly)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert model.second is model.first[1], "one layer with two names stays one"
    assert type(model.attention) is nn.MultiheadAttention
    built(WithGroupNorm(f"{__name__}.Oddly"), (1, 6, 6)).load_state_dict(model.state_dict())
    assert unprotectable(model) == []
    check_model(model.train(), images((1, 6, 6)), torch.Generator().manual_seed(0))
    alone = with_group_norm(nn.BatchNorm1d(4))
    assert isinstance(alone, nn.GroupNorm), "a model that is a BatchNorm"


def test_frozen_layers_count_where_they_keep_statistics() -> None:
    frozen = nn.Sequential(nn.LSTM(4, 4), nn.BatchNorm1d(4)).requires_grad_(False)
    assert [problem.split()[0] for problem in unprotectable(frozen)] == ["BatchNorm"]
    assert len(unprotectable(frozen.requires_grad_())) == 2


def test_our_groups_are_those_of_opacus() -> None:
    for channels in (1, 6, 32, 48, 64, 100):
        ours, theirs = group_norm(channels), with_group_norm(nn.BatchNorm2d(channels))
        assert isinstance(theirs, nn.GroupNorm)
        assert ours.num_groups == theirs.num_groups


@pytest.mark.parametrize("name", ["resnet18", "vit", "ft_transformer"])
def test_private_training_moves_every_weight(name: str) -> None:
    shape = TABLE if name in TABLE_MODELS else (1, 8, 8)
    x = images(shape, 12)
    defense = DPSGD(epsilon=None, noise_multiplier=1.0, batch_size=6)
    recipe = Recipe(
        architecture=defense.adapt(MODELS[name]),
        num_classes=3,
        optimizer=Factory("torch.optim.SGD", lr=0.1),
        epochs=1,
        defenses=(defense,),
    )
    before = recipe.build(shape, Stream(0)).state_dict()
    trained = recipe.produce(Records.of(x, torch.arange(12) % 3), Stream(0))
    assert trained.report["epsilon"] > 0
    after = trained.model.state_dict()
    assert after.keys() == before.keys()
    assert all(not torch.equal(after[weight], before[weight]) for weight in before)
