"""A data set of your own: two rings of points, and a made-up group for each point."""

import torch

from amulet.core import Stream
from amulet.core.errors import in_range
from amulet.datasets import AmuletDataset, Records, stratified_split


def load_rings(*, records: int = 1200, noise: float = 0.03) -> AmuletDataset:
    """Which of two rings does a point belong to? Inputs (2,) in [0, 1]; `group` is the sensitive attribute.

    Args:
        records: how many, at least 100; half of them for testing.
        noise: standard deviation of a point's distance from its ring.
    """
    in_range("records", records, 100)
    in_range("noise", noise, 0)
    generator = (Stream(0) / "rings").generator()
    y = torch.arange(records) % 2
    angle = 2 * torch.pi * torch.rand(records, generator=generator)
    radius = 0.2 + 0.2 * y + noise * torch.randn(records, generator=generator)
    x = (0.5 + radius.unsqueeze(1) * torch.stack([angle.cos(), angle.sin()], dim=1)).clamp(0, 1)
    group = torch.randint(0, 2, (records, 1), generator=generator)
    whole = Records.of(x, y, group, ("group",))
    train, test = stratified_split(y, [records // 2, records - records // 2], generator)
    return AmuletDataset(
        name="rings",
        modality="tabular",
        train=whole.take(train),
        test=whole.take(test),
        num_classes=2,
        feature_names=("horizontal", "vertical"),
    )
