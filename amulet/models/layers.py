"""Components that several architectures share."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import gcd
from typing import Literal

import torch
from torch import Tensor, nn

from amulet.core.errors import SettingError, in_range, one_of

Norm = Literal["batch", "group", "none"]


def image_shape(model: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    """(channels, height, width); `SettingError` if the inputs are not images."""
    if len(input_shape) != 3:
        raise SettingError(
            f"`model`: {model} takes images (channels, height, width), got inputs of shape {tuple(input_shape)}; "
            "LinearNet takes any shape"
        )
    channels, height, width = input_shape
    return channels, height, width


def poolings(size: Sequence[int], wanted: int) -> int:
    """How many pooling layers that halve an image leave at least one row and one column, up to the wanted number.

    >>> poolings((32, 32), 5), poolings((28, 28), 5), poolings((62, 47), 3)
    (5, 4, 3)
    """
    return min(wanted, min(size).bit_length() - 1)


def scaled(channels: int, width: float) -> int:
    """A number of channels times `width`, at least 1."""
    return max(1, round(channels * width))


def group_norm(channels: int) -> nn.GroupNorm:
    """GroupNorm with 32 groups, or with as many as divide both 32 and the channels (Wu and He, ECCV 2018).

    The same layer with which opacus replaces BatchNorm.
    """
    return nn.GroupNorm(gcd(32, channels), channels)


def norm_layer(norm: str, choices: Sequence[str] = ("batch", "group", "none")) -> Callable[[int], nn.Module] | None:
    """A function from the number of channels to the normalisation layer; None for `none`."""
    one_of("norm", norm, choices)
    return {"batch": nn.BatchNorm2d, "group": group_norm}.get(norm)


def classifier(features: int, hidden: Sequence[int], num_classes: int, dropout: float) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them; without hidden layers: dropout and one linear layer."""
    in_range("dropout", dropout, 0, below=1)
    if any(width < 1 for width in hidden):
        raise SettingError(f"`hidden` must list widths of 1 or more, got {list(hidden)}")
    layers: list[nn.Module] = []
    for before, after in pairwise([features, *hidden]):
        # Always a module for dropout, so that the names of the weights do not depend on it.
        layers += [nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout) if dropout else nn.Identity()]
    if dropout and not hidden:
        layers.append(nn.Dropout(dropout))
    return nn.Sequential(*layers, nn.Linear([features, *hidden][-1], num_classes))


def initialise_convolutions(model: nn.Module) -> None:
    """Initialise the weights of all convolutions like torchvision (He et al., ICCV 2015, fan out), biases zero."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class ClassToken(nn.Module):
    """Puts a learned token before a sequence: (b, t, dim) to (b, t + 1, dim)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(dim).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.token.expand(len(x), 1, -1), x], dim=1)


class Positions(nn.Module):
    """Adds a learned vector to each token of a sequence of fixed length."""

    def __init__(self, length: int, dim: int) -> None:
        super().__init__()
        self.position = nn.Parameter(torch.empty(length, dim).normal_(std=0.02))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.position
