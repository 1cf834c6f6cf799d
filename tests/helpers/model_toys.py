"""Small versions of every architecture, and the shapes of images that they meet."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from amulet.core import Factory, Stream

GREY, SMALL, ODD, LARGE = (1, 28, 28), (3, 32, 32), (3, 62, 47), (3, 64, 64)
TABLE = (6,)

IMAGE_MODELS: Mapping[str, Factory] = {
    "vgg11": Factory("amulet.models.VGG", width=0.06),
    "vgg19": Factory("amulet.models.VGG", depth=19, width=0.06, norm="group", pooled=2, hidden=[8], dropout=0.2),
    "vgg without norm": Factory("amulet.models.VGG", depth=13, width=0.06, norm="none"),
    "resnet18": Factory("amulet.models.ResNet", width=0.06),
    "resnet34": Factory("amulet.models.ResNet", depth=34, width=0.06, norm="group", stem="imagenet"),
    "resnet50": Factory("amulet.models.ResNet", depth=50, width=0.06, stem="imagenet"),
    "cnn": Factory("amulet.models.SmallCNN", channels=[4, 6, 8]),
    "two-layer cnn": Factory(
        "amulet.models.SmallCNN", channels=[4, 6], convs=1, kernel_size=5, norm="none", pooled=4, hidden=[8]
    ),
    "vit": Factory("amulet.models.VisionTransformer", dim=8, layers=2, heads=2),
}
TABLE_MODELS: Mapping[str, Factory] = {
    "linearnet": Factory("amulet.models.LinearNet", hidden=[8]),
    "ft_transformer": Factory("amulet.models.FTTransformer", dim=8, heads=2),
}


def built(factory: Factory, shape: tuple[int, ...], classes: int = 3, **changes: Any) -> nn.Module:
    """The model with the initial weights of one stream."""
    with (Stream(0) / "weights").seed_global():
        model = factory.with_settings(**changes).build(input_shape=shape, num_classes=classes)
    assert isinstance(model, nn.Module)
    return model


def images(shape: tuple[int, ...], n: int = 4) -> torch.Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))
