"""What an adversary learns from: features of records, and frequencies of labels."""

import torch
import torch.nn.functional as F
from torch import Tensor

from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for


def flat_inputs(records: Records, most: int = 1024) -> Tensor:
    """Inputs (n, d) in [0, 1], float32 on the CPU; of images thumbnails, by averaging, of at most `most` values.

    An MLP gains little from more pixels, and a whole split of images in float32 would not fit into memory.

    >>> flat_inputs(Records.of(torch.rand(2, 3, 64, 64), torch.zeros(2))).shape
    torch.Size([2, 768])
    """
    shape = records.shape
    if len(shape) != 3:
        return records.inputs().flatten(1).cpu()
    channels, height, width = shape
    factor = 1
    while channels * -(-height // factor) * -(-width // factor) > most and factor < min(height, width):
        factor += 1
    small = -(-height // factor), -(-width // factor)
    size = batch_size_for(shape)
    batches = (records.inputs(slice(start, start + size)).cpu() for start in range(0, len(records), size))
    return torch.cat([F.adaptive_avg_pool2d(x, small).flatten(1) for x in batches])


def principal_axes(outputs: Tensor) -> Tensor:
    """The directions along which outputs (n, d) are uncorrelated, as the columns of a rotation (d, d)."""
    return torch.linalg.eigh(torch.atleast_2d(torch.cov(outputs.double().T))).eigenvectors.float()


def by_frequency(labels: Tensor, values: Tensor, wanted: Tensor, count: int) -> Tensor:
    """Log of how often each value occurs with a label, (m, count): all that can be learned from a label alone.

    One more record with the overall shares is counted for every label, so that no label is without records.

    Args:
        labels: (n,) the labels of records.
        values: (n,) their values in [0, count).
        wanted: (m,) labels to look up.
        count: the number of values.

    >>> by_frequency(torch.tensor([0, 0, 0, 1]), torch.tensor([1, 1, 0, 0]), torch.tensor([1]), 2).exp()
    tensor([[0.7500, 0.2500]], dtype=torch.float64)
    """
    rows = int(torch.cat([labels, wanted]).max()) + 1
    table = (labels * count + values).bincount(minlength=rows * count).view(rows, count).double()
    table += table.sum(dim=0, keepdim=True) / len(labels)
    return (table / table.sum(dim=1, keepdim=True)).log()[wanted].clamp_min(-1e9)
