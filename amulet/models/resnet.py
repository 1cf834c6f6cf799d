"""Residual networks: torchvision's blocks after a stem that suits the size of the images."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from amulet.core.errors import in_range, one_of
from amulet.core.vision import import_torchvision
from amulet.models.layers import image_shape, initialise_convolutions, norm_layer, scaled

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
SMALL = 64
"""The largest shorter side, in pixels, of an image that `stem: auto` treats as small."""


class ResNet(nn.Module):
    """ResNet18, 34, 50 or 101 (He et al., CVPR 2016; paper, Section 5).

    The layers have torchvision's names: with `stem: imagenet` they are those of its `resnet18` and so on.

    Args:
        input_shape: (channels, height, width).
        num_classes: the number of logits.
        depth: layers with weights: 18, 34, 50 or 101.
    stem: the first layers: `small`: one 3x3 convolution at full resolution, as is common for CIFAR-10;
            `imagenet`: a 7x7 convolution and a pooling layer, which reduce each side to a quarter; `auto`: `small` up
            to a shorter side of 64.
        norm: after each convolution: `batch` or `group`.
        width: factor for the 64 to 512 channels of the stages.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        depth: Literal[18, 34, 50, 101] = 18,
        stem: Literal["auto", "small", "imagenet"] = "auto",
        norm: Literal["batch", "group"] = "batch",
        width: float = 1.0,
    ) -> None:
        super().__init__()
        one_of("depth", depth, _BLOCKS)
        one_of("stem", stem, ("auto", "small", "imagenet"))
        in_range("width", width, above=0)
        normalised = norm_layer(norm, ("batch", "group"))
        assert normalised is not None
        channels, *size = image_shape("ResNet", input_shape)
        resnet = import_torchvision().models.resnet
        first = scaled(64, width)
        if stem == "small" or (stem == "auto" and min(size) <= SMALL):
            self.conv1 = nn.Conv2d(channels, first, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(channels, first, 7, stride=2, padding=3, bias=False)
            self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.bn1 = normalised(first)
        self.relu = nn.ReLU(inplace=True)
        block = resnet.BasicBlock if depth < 50 else resnet.Bottleneck
        planes = [scaled(64 * 2**k, width) for k in range(4)]
        into = [first, *(each * block.expansion for each in planes)]
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            _stage(block, into[k], planes[k], _BLOCKS[depth][k], 2 if k else 1, normalised) for k in range(4)
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(into[-1], num_classes)
        initialise_convolutions(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, *input_shape)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(
    block: Any, into: int, planes: int, count: int, stride: int, norm: Callable[[int], nn.Module]
) -> nn.Sequential:
    """Blocks of one resolution; the first one's shortcut is a convolution where it must change the shape."""
    out = planes * block.expansion
    shortcut = None
    if stride != 1 or into != out:
        shortcut = nn.Sequential(nn.Conv2d(into, out, 1, stride=stride, bias=False), norm(out))
    blocks = [block(into, planes, stride, shortcut, norm_layer=norm)]
    blocks += [block(out, planes, norm_layer=norm) for _ in range(count - 1)]
    return nn.Sequential(*blocks)
