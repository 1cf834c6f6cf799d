"""Splits images of people so that no person is in two parts."""

import torch
from torch import Tensor

from amulet.core.errors import DataError


def split_by_person(people: Tensor, y: Tensor, test_fraction: float, generator: torch.Generator) -> list[Tensor]:
    """Positions of training and of test records: each person in one part only, sizes and classes close to the shares.

    People are assigned one after the other, those with most images first. The part is drawn with probability
    proportional to its remaining room for the most frequent class of the person, among the parts where they fit.

    Args:
        people: (n,) the person on each image, integers in [0, people).
        y: (n,) labels.
        test_fraction: the share wanted for the test records, in (0, 1).
        generator: the random stream.
    """
    count = int(people.max()) + 1
    if count < 2:
        raise DataError("`split: person` needs pictures of two people at least, got those of one")
    table = torch.zeros(count, int(y.max()) + 1)
    table.index_put_((people, y), torch.ones(len(y)), accumulate=True)
    order = torch.randperm(count, generator=generator)
    order = order[table.sum(1)[order].argsort(descending=True, stable=True)]
    draws = torch.rand(count, generator=generator).tolist()
    pictures, main = table.sum(1).tolist(), table.argmax(1).tolist()
    wanted = table.sum(0).tolist()
    room = [[(1 - test_fraction) * n for n in wanted], [test_fraction * n for n in wanted]]
    side = [0] * count
    for person, draw in zip(order.tolist(), draws, strict=True):
        left = [max(room[0][main[person]], 0.0), max(room[1][main[person]], 0.0)]
        fits = [space >= pictures[person] for space in left]
        if all(fits):
            side[person] = int(draw * sum(left) < left[1])
        else:
            side[person] = int(fits[1] or (not fits[0] and left[1] > left[0]))
        for label, number in enumerate(table[person].tolist()):
            room[side[person]][label] -= number
    if len(set(side)) == 1:  # a share so small that nobody fits: take the person with the fewest images
        side[int(order[-1])] = 1 - side[0]
    of_test = torch.tensor(side)[people] == 1
    return [(~of_test).nonzero().squeeze(1), of_test.nonzero().squeeze(1)]


def known_faces(train: Tensor, test: Tensor) -> tuple[str, ...]:
    """The warning if people of the training records `train` (n,) are among those of the test records (m,)."""
    known = torch.isin(test, train).float().mean().item()
    if not known:
        return ()
    text = (
        f"{known:.0%} of the test pictures show people of whom other pictures are in training, so test accuracy is "
        "partly memory of faces; `dataset.split=person` keeps every person in one part."
    )
    return (text,)
