"""Splits records into parts, stratified and with a named stream."""

from collections.abc import Sequence

import torch
from torch import Tensor


def stratified_split(labels: Tensor, sizes: Sequence[int], generator: torch.Generator) -> list[Tensor]:
    """Disjoint random parts of exact sizes, each with the classes in the proportions of the whole.

    Args:
        labels: (n,) integers; records with equal labels are one stratum.
        sizes: how many records each part gets; their sum is at most n, the rest is in no part.
        generator: the random stream.

    Returns:
        One sorted tensor of positions for each size. A stratum's share of a part is off by less than one record
        for each cut that came before.

    >>> parts = stratified_split(torch.tensor([0, 0, 1, 1]), [2, 2], torch.Generator().manual_seed(0))
    >>> [int(torch.tensor([0, 0, 1, 1])[p].sum()) for p in parts]
    [1, 1]
    """
    if sum(sizes) > len(labels) or min(sizes, default=0) < 0:
        raise ValueError(f"`sizes` must not be negative and sum to at most {len(labels)}, got {list(sizes)}")
    shuffled = torch.randperm(len(labels), generator=generator)
    rest = shuffled[labels.cpu()[shuffled].argsort(stable=True)]  # by class, at random within a class
    parts: list[Tensor] = []
    for size in sizes:
        place = torch.arange(len(rest) + 1) * size // max(len(rest), 1)
        chosen = place[1:] > place[:-1]  # distribute evenly along the classes
        parts.append(rest[chosen].sort().values)
        rest = rest[~chosen]
    return parts
