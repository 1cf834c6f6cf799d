"""Handwritten digits of 8 x 8 pixels, which scikit-learn brings along, and a small model of them."""

from functools import cache

import torch
from sklearn.datasets import load_digits

from amulet.core import Factory
from amulet.datasets import AmuletDataset, Records
from amulet.training import Recipe

RECIPE = Recipe(
    architecture=Factory("amulet.models.LinearNet", hidden=[48, 32]),
    num_classes=10,
    optimizer=Factory("torch.optim.Adam", lr=5e-3),
    epochs=12,
    batch_size=64,
)


@cache
def digits(train: int = 1200, test: int = 250) -> AmuletDataset:
    """Ten classes, grey pixels in [0, 1], (1, 8, 8)."""
    x, y = load_digits(return_X_y=True)
    records = Records.of(torch.from_numpy(x).float().view(-1, 1, 8, 8) / 16, torch.from_numpy(y).long())
    parts = torch.arange(train), torch.arange(train, train + test)
    return AmuletDataset(
        name="digits",
        modality="image",
        train=records.take(parts[0]),
        test=records.take(parts[1]),
        num_classes=10,
    )
