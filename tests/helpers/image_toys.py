"""Made-up faces whose label and sensitive attributes are painted into the picture, and a small convolutional net."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amulet.datasets import AmuletDataset, Records


class TinyConv(nn.Module):
    """One convolution, one pooling, one linear layer; BatchNorm between if asked for."""

    def __init__(
        self, input_shape: Sequence[int], num_classes: int, *, channels: int = 4, batch_norm: bool = False
    ) -> None:
        super().__init__()
        into, height, width = input_shape
        self.conv = nn.Conv2d(into, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels) if batch_norm else nn.Identity()
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(channels * (height // 2) * (width // 2), num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.pool(self.norm(self.conv(x)).relu()).flatten(1))


def faces(
    n: int = 200,
    m: int = 100,
    shape: tuple[int, int, int] = (1, 12, 12),
    *,
    classes: int = 2,
    attributes: bool = True,
    seed: int = 0,
) -> AmuletDataset:
    """uint8 pictures of n + m people.

    The middle tells the label, the brightness `race` (0, 1 or 2), the left edge `gender`. The bottom rows are dark.
    """
    generator = torch.Generator().manual_seed(seed)
    count, (_, height, width) = n + m, shape
    race = torch.randint(3, (count,), generator=generator)
    gender = (torch.rand(count, generator=generator) < 0.6).long()
    drawn = torch.rand(count, generator=generator) + 0.1 * gender
    y = (drawn * classes).long().clamp_max(classes - 1)
    x = 0.3 + 0.2 * race.view(-1, 1, 1, 1) + 0.1 * torch.randn(count, *shape, generator=generator)
    middle = slice(height // 4, height // 2), slice(width // 4, -(width // 4))
    x[:, :, middle[0], middle[1]] = 0.9 * y.view(-1, 1, 1, 1) / max(classes - 1, 1)
    x[:, :, :, 0] = 0.8 * gender.view(-1, 1, 1)
    x[:, :, -2:] = 0.05
    pictures = (x.clamp(0, 1) * 255).round().to(torch.uint8)
    z = torch.stack([race, gender], dim=1) if attributes else torch.zeros(count, 0, dtype=torch.int64)
    names = ("race", "gender") if attributes else ()
    train, test = (
        Records(pictures[part], y[part], z[part], torch.arange(count)[part], names)
        for part in (slice(0, n), slice(n, count))
    )
    return AmuletDataset(name="faces", modality="image", train=train, test=test, num_classes=classes)
