"""Individual consistency: do similar people get the same answer?"""

import torch
from torch import Tensor

from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for


def nearest(records: Records, anchors: Tensor, neighbors: int) -> Tensor:
    """The positions (a, neighbors) of the records nearest to each of those at `anchors` (a,), which are not their own.

    Nearness is the Euclidean distance of the inputs as the model gets them; equally near ones come in any order.

    >>> nearest(Records.of(torch.tensor([[0.0], [0.4], [1.0]]), torch.zeros(3)), torch.tensor([0, 2]), 1).tolist()
    [[1], [1]]
    """
    size = batch_size_for(records.shape)
    return torch.cat([_nearest(records, some, neighbors, size) for some in anchors.split(size)])


def _nearest(records: Records, anchors: Tensor, neighbors: int, size: int) -> Tensor:
    own = records.inputs(anchors).flatten(1).float().cpu()
    best = torch.full((len(anchors), neighbors), torch.inf)
    found = torch.zeros(len(anchors), neighbors, dtype=torch.int64)
    for start in range(0, len(records), size):
        block = records.inputs(slice(start, min(start + size, len(records)))).flatten(1).float().cpu()
        far = torch.cdist(own, block)
        place = torch.arange(start, start + len(block))
        far.masked_fill_(place == anchors.unsqueeze(1), torch.inf)
        every, where = torch.cat([best, far], dim=1), torch.cat([found, place.expand(len(anchors), -1)], dim=1)
        best, chosen = every.topk(neighbors, dim=1, largest=False)
        found = where.gather(1, chosen)
    return found


def agreement(answers: Tensor, anchors: Tensor, near: Tensor) -> Tensor:
    """The share (a,) in [0, 1] of each anchor's nearest records that get the answer it gets.

    Its mean is the consistency of Zemel, Wu, Swersky, Pitassi and Dwork (ICML 2013), Section 5.2: with two classes
    1 - |answer - mean answer of the neighbours|, averaged.
    """
    return (answers[near] == answers[anchors].unsqueeze(1)).double().mean(dim=1)
