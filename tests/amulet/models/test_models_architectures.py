"""Every architecture: shapes, gradients, features, names of weights, what is refused."""

import importlib.util
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amulet.core import Factory, SettingError
from amulet.core.vision import import_torchvision
from amulet.datasets import Records
from amulet.models import VGG, ResNet, SmallCNN, VisionTransformer, features, predict
from amulet.models.inspect import head_of
from amulet.models.layers import poolings
from tests.helpers.model_toys import GREY, IMAGE_MODELS, LARGE, ODD, SMALL, TABLE, TABLE_MODELS, built, images

ALL: list[tuple[str, tuple[int, ...]]] = [
    *((name, shape) for name in IMAGE_MODELS for shape in (GREY, SMALL, ODD, LARGE)),
    *((name, shape) for name in TABLE_MODELS for shape in (TABLE, (1,))),
]


def model_of(name: str, shape: tuple[int, ...], **changes: Any) -> nn.Module:
    return built({**IMAGE_MODELS, **TABLE_MODELS}[name], shape, **changes)


@pytest.mark.parametrize(("name", "shape"), ALL)
def test_logits_gradients_features(name: str, shape: tuple[int, ...]) -> None:
    model, x = model_of(name, shape).train(), images(shape)
    model(x)  # batch norm has seen images
    model.eval()
    logits = model(x.requires_grad_())
    assert logits.shape == (4, 3)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(model(x), logits, rtol=0, atol=0, msg="eval mode is not deterministic")
    (gradient,) = torch.autograd.grad(logits.logsumexp(dim=1).sum(), x)
    assert gradient.flatten(1).abs().amax(dim=1).min() > 0, "no gradient reaches some input"
    records = Records.of(x.detach(), torch.zeros(4))
    found, head = features(model, records), head_of(model, records.inputs(slice(0, 1)))
    assert isinstance(head, nn.Linear)
    assert found.shape == (4, head.in_features)
    torch.testing.assert_close(head(found), predict(model, records), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [*IMAGE_MODELS, *TABLE_MODELS])
def test_every_weight_gets_a_gradient(name: str) -> None:
    shape = TABLE if name in TABLE_MODELS else SMALL
    model = model_of(name, shape).train()
    nn.functional.cross_entropy(model(images(shape)), torch.tensor([0, 1, 2, 0])).backward()
    assert [n for n, p in model.named_parameters() if p.grad is None] == []
    assert [n for n, b in model.named_buffers() if n.endswith("num_batches_tracked") and b != 1] == []


@pytest.mark.parametrize("name", [*IMAGE_MODELS, *TABLE_MODELS])
def test_initial_weights_come_from_the_stream(name: str) -> None:
    shape = TABLE if name in TABLE_MODELS else SMALL
    state = torch.random.get_rng_state()
    one, other = model_of(name, shape).state_dict(), model_of(name, shape).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("depth", "convolutions", "poolings"), [(11, 8, 5), (13, 10, 5), (16, 13, 5), (19, 16, 5)])
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (62, 47), (1, 9)])
def test_vgg_keeps_its_convolutions_and_drops_the_poolings_that_do_not_fit(
    depth: Any, convolutions: int, poolings: int, size: tuple[int, int]
) -> None:
    model = VGG((3, *size), 2, depth=depth, width=0.02).eval()
    kinds = [type(layer) for layer in model.features]
    assert kinds.count(nn.Conv2d) == kinds.count(nn.BatchNorm2d) == convolutions
    fitting = {32: 5, 28: 4, 62: 5, 1: 0}[size[0]]
    assert kinds.count(nn.MaxPool2d) == min(poolings, fitting)
    assert min(model.features(torch.rand(1, 3, *size)).shape[2:]) == 1


def test_poolings_never_empty_an_image() -> None:
    for side in range(1, 70):
        halved, times = side, 0
        while halved >= 2:
            halved, times = halved // 2, times + 1
        assert poolings((side, 100), 99) == poolings((100, side), 99) == min(times, 6)


@pytest.mark.parametrize("name", ["vgg11", "vgg13_bn"])
def test_vgg_is_torchvisions_where_that_can_be(name: str) -> None:
    """With torchvision's classifier: its names, its shapes, its answers."""
    with torch.device("meta"):  # half a gigabyte of weights each
        theirs = getattr(import_torchvision().models, name)()
        depth: Any = int(name[3:5])
        norm: Any = "batch" if name.endswith("bn") else "none"
        ours = VGG((3, 224, 224), 1000, depth=depth, norm=norm, pooled=7, hidden=[4096, 4096], dropout=0.5)
    assert {n: w.shape for n, w in ours.state_dict().items()} == {n: w.shape for n, w in theirs.state_dict().items()}
    assert [type(layer) for layer in ours.features] == [type(layer) for layer in theirs.features]
    assert [type(layer) for layer in ours.classifier] == [type(layer) for layer in theirs.classifier]


def test_the_names_of_weights_do_not_depend_on_dropout() -> None:
    without, dropping = (SmallCNN(GREY, 2, channels=[2], hidden=[4, 4], dropout=p) for p in (0.0, 0.5))
    assert without.state_dict().keys() == dropping.state_dict().keys()
    assert [type(m) for m in dropping.modules()].count(nn.Dropout) == 2
    assert [type(m) for m in SmallCNN(GREY, 2, channels=[2], dropout=0.5).modules()].count(nn.Dropout) == 1


@pytest.mark.parametrize("depth", [18, 50])
def test_resnet_is_torchvisions_where_that_can_be(depth: Any) -> None:
    torch.manual_seed(0)
    theirs = getattr(import_torchvision().models, f"resnet{depth}")(num_classes=7)
    ours = ResNet((3, 224, 224), 7, depth=depth)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 40, 33)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(
    ("shape", "stem", "small"),
    [
        (SMALL, "auto", True),
        (LARGE, "auto", True),
        ((3, 65, 65), "auto", False),
        ((3, 218, 60), "auto", True),
        (SMALL, "imagenet", False),
        ((3, 224, 224), "small", True),
    ],
)
def test_the_stem_suits_the_size(shape: tuple[int, ...], stem: Any, small: bool) -> None:
    with torch.device("meta"):
        model = ResNet(shape, 2, stem=stem)
        found = model.maxpool(model.conv1(torch.empty(1, *shape)))
    shrunk = [-(-side // 4) for side in shape[1:]]
    assert list(found.shape[2:]) == (list(shape[1:]) if small else shrunk)


@pytest.mark.parametrize(
    ("shape", "patch", "tokens"),
    [(GREY, None, 7 * 7), (SMALL, None, 8 * 8), (ODD, None, 8 * 6), (ODD, 16, 4 * 3), ((3, 4, 5), None, 20)],
)
def test_patches_cover_the_whole_image(shape: tuple[int, ...], patch: int | None, tokens: int) -> None:
    model = VisionTransformer(shape, 2, patch=patch, dim=4, heads=1, layers=1)
    assert model.positions.position.shape == (1 + tokens, 4)
    x = images(shape).requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert (gradient != 0).all(), "some pixel does not count"


def test_the_defaults_are_no_accident() -> None:
    """Sizes that the documentation states."""
    with torch.device("meta"):
        sizes = {
            "vgg11": VGG(SMALL, 10),
            "vgg19": VGG(SMALL, 10, depth=19),
            "resnet18": ResNet(SMALL, 10),
            "resnet101": ResNet(SMALL, 10, depth=101),
            "cnn": SmallCNN(SMALL, 10),
            "vit": VisionTransformer(SMALL, 10),
        }
    counts = {name: sum(p.numel() for p in model.parameters()) for name, model in sizes.items()}
    assert counts == {
        "vgg11": 9_231_114,  # as of the network usual for CIFAR-10
        "vgg19": 20_040_522,
        "resnet18": 11_173_962,
        "resnet101": 42_512_970,
        "cnn": 288_746,
        "vit": 811_146,
    }


REFUSED: list[tuple[str, tuple[int, ...], dict[str, Any], str]] = [
    ("VGG", (42,), {}, "VGG takes images (channels, height, width), got inputs of shape (42,)"),
    ("ResNet", (3, 32), {}, "ResNet takes images"),
    ("SmallCNN", (42,), {}, "SmallCNN takes images"),
    ("VisionTransformer", (42,), {}, "VisionTransformer takes images"),
    ("FTTransformer", SMALL, {}, "FTTransformer takes tables (columns,), got inputs of shape (3, 32, 32)"),
    ("VGG", SMALL, {"depth": 12}, "`depth` must be one of 11, 13, 16, 19; got 12"),
    ("VGG", SMALL, {"norm": "layer"}, "`norm` must be one of batch, group, none; got layer"),
    ("VGG", SMALL, {"width": 0}, "`width` must satisfy 0 < width, got 0"),
    ("VGG", SMALL, {"pooled": 0}, "`pooled` must satisfy 1 <= pooled, got 0"),
    ("VGG", SMALL, {"hidden": [4, 0]}, "`hidden` must list widths of 1 or more, got [4, 0]"),
    ("VGG", SMALL, {"dropout": 1}, "`dropout` must satisfy 0 <= dropout < 1, got 1"),
    ("ResNet", SMALL, {"depth": 20}, "`depth` must be one of 18, 34, 50, 101; got 20"),
    ("ResNet", SMALL, {"norm": "none"}, "`norm` must be one of batch, group; got none"),
    ("ResNet", SMALL, {"stem": "big"}, "`stem` must be one of auto, small, imagenet; got big"),
    ("SmallCNN", SMALL, {"channels": []}, "`channels` must list at least one number of 1 or more, got []"),
    ("SmallCNN", SMALL, {"convs": 0}, "`convs` must satisfy 1 <= convs, got 0"),
    ("SmallCNN", SMALL, {"kernel_size": 4}, "`kernel_size` must be odd and 1 or more, got 4"),
    ("VisionTransformer", SMALL, {"patch": 33}, "`patch` must satisfy 1 <= patch <= 32, got 33"),
    ("VisionTransformer", SMALL, {"heads": 3}, "`dim` must be a multiple of `heads` (3), got 128"),
    ("FTTransformer", TABLE, {"dim": 12}, "`dim` must be a multiple of `heads` (8), got 12"),
    ("FTTransformer", TABLE, {"attention_dropout": 1}, "`attention_dropout` must satisfy 0 <= attention_dropout < 1"),
    ("FTTransformer", TABLE, {"mlp_ratio": 0}, "`mlp_ratio` must satisfy 0 < mlp_ratio, got 0"),
]


@pytest.mark.parametrize(("name", "shape", "settings", "says"), REFUSED)
def test_what_cannot_work_is_refused(name: str, shape: tuple[int, ...], settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError) as caught:
        built(Factory(f"amulet.models.{name}", **settings), shape)
    assert says in str(caught.value)


def test_a_missing_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rtdl_revisiting_models", None)
    with pytest.raises(SettingError, match=r'pip install "amulet-cli\[transformers\]"'):
        built(TABLE_MODELS["ft_transformer"], TABLE)


def test_ft_transformer_is_the_packages_own() -> None:
    """The same weights in the package's own class give the same logits."""
    assert importlib.util.find_spec("rtdl_revisiting_models"), "part of the development installation"
    from rtdl_revisiting_models import FTTransformer

    ours = model_of("ft_transformer", TABLE, attention_dropout=0.0, dropout=0.0)
    theirs = FTTransformer(
        n_cont_features=6,
        cat_cardinalities=[],
        d_out=3,
        n_blocks=2,
        d_block=8,
        attention_n_heads=2,
        attention_dropout=0.0,
        ffn_d_hidden=11,
        ffn_d_hidden_multiplier=None,
        ffn_dropout=0.0,
        residual_dropout=0.0,
    )
    renamed = {"embedding": "cont_embeddings", "backbone": "backbone"}
    weights: dict[str, Tensor] = {"cls_embedding.weight": ours.state_dict()["token.token"]}
    for name, value in ours.state_dict().items():
        part, _, rest = name.partition(".")
        if part in renamed:
            weights[f"{renamed[part]}.{rest}"] = value
    theirs.load_state_dict(weights)
    x = images(TABLE)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x, None))
