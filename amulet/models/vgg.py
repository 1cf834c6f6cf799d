"""VGG networks: torchvision's convolutional layers for images of any size, and a classifier that fits."""

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

from amulet.core.errors import in_range, one_of
from amulet.core.vision import import_torchvision
from amulet.models.layers import (
    Norm,
    classifier,
    group_norm,
    image_shape,
    initialise_convolutions,
    norm_layer,
    poolings,
    scaled,
)

_PLANS = {11: "A", 13: "B", 16: "D", 19: "E"}  # names of the columns of the VGG paper's table 1


class VGG(nn.Module):
    """VGG11, 13, 16 or 19 (Simonyan and Zisserman, ICLR 2015; paper, Section 5).

    By default with BatchNorm and one linear layer after the convolutions, as is common for small images. Each of the
    five pooling layers halves the image; those for which it is too small are left out. `hidden: [4096, 4096]`,
    `pooled: 7` and `dropout: 0.5` give torchvision's classifier; the weights have torchvision's names.

    Args:
        input_shape: (channels, height, width).
        num_classes: the number of logits.
        depth: layers with weights: 11, 13, 16 or 19.
        norm: after each convolution: `batch`, `group` or `none`.
        width: factor for the 64 to 512 channels of the convolutions.
        pooled: the side of the feature map, after average pooling, that enters the classifier.
        hidden: the widths of the classifier's hidden layers.
        dropout: share of the units dropped in training after each hidden layer, or before the only one; [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        depth: Literal[11, 13, 16, 19] = 11,
        norm: Norm = "batch",
        width: float = 1.0,
        pooled: int = 1,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        one_of("depth", depth, _PLANS)
        in_range("width", width, above=0)
        in_range("pooled", pooled, 1)
        norm_layer(norm)
        channels, *size = image_shape("VGG", input_shape)
        vgg = import_torchvision().models.vgg
        plan: list[Any] = [each if each == "M" else scaled(each, width) for each in vgg.cfgs[_PLANS[depth]]]
        while plan.count("M") > poolings(size, 5):
            del plan[-1 - plan[::-1].index("M")]
        self.features: nn.Sequential = vgg.make_layers(plan, batch_norm=norm != "none")
        self.features[0] = nn.Conv2d(channels, plan[0], 3, padding=1)  # torchvision's takes three channels
        if norm == "group":
            for place, layer in enumerate(self.features):
                if isinstance(layer, nn.BatchNorm2d):
                    self.features[place] = group_norm(layer.num_features)
        initialise_convolutions(self.features)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = classifier(scaled(512, width) * pooled**2, hidden, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, *input_shape)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))
