"""A small convolutional network that trains in minutes without a GPU."""

from collections.abc import Sequence

from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range
from amulet.models.layers import Norm, classifier, image_shape, initialise_convolutions, norm_layer, poolings


class SmallCNN(nn.Module):
    """Stages of convolutions, each followed by a pooling layer that halves the image, and a classifier.

    A pooling layer for which the image is too small is left out. The two-layer network of BadNets (Gu et al., 2017;
    paper, Section 6.1) is `channels: [16, 32]`, `convs: 1`, `kernel_size: 5`, `norm: none`, `pooled: 4` and
    `hidden: [512]`.

    Args:
        input_shape: (channels, height, width).
        num_classes: the number of logits.
        channels: the channels of each stage.
        convs: convolutions per stage.
        kernel_size: their side in pixels, odd; the image is padded, so that they keep its size.
        norm: after each convolution: `batch`, `group` or `none`.
        pooled: the side of the feature map, after average pooling, that enters the classifier.
        hidden: the widths of the classifier's hidden layers.
        dropout: share of the units dropped in training after each hidden layer, or before the only one; [0, 1).
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        channels: Sequence[int] = (32, 64, 128),
        convs: int = 2,
        kernel_size: int = 3,
        norm: Norm = "batch",
        pooled: int = 1,
        hidden: Sequence[int] = (),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not channels or min(channels) < 1:
            raise SettingError(f"`channels` must list at least one number of 1 or more, got {list(channels)}")
        in_range("convs", convs, 1)
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise SettingError(f"`kernel_size` must be odd and 1 or more, got {kernel_size}")
        in_range("pooled", pooled, 1)
        normalised = norm_layer(norm)
        into, *size = image_shape("SmallCNN", input_shape)
        pools = poolings(size, len(channels))
        layers: list[nn.Module] = []
        for stage, out in enumerate(channels):
            for _ in range(convs):
                # The normalisation would remove a bias again.
                layers.append(nn.Conv2d(into, out, kernel_size, padding=kernel_size // 2, bias=normalised is None))
                if normalised is not None:
                    layers.append(normalised(out))
                layers.append(nn.ReLU())
                into = out
            if stage < pools:
                layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        initialise_convolutions(self.features)
        self.avgpool = nn.AdaptiveAvgPool2d(pooled)
        self.classifier = classifier(into * pooled**2, hidden, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, num_classes) of images (n, *input_shape)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))
