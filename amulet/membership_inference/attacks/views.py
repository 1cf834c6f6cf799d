"""Mirrored and shifted versions of images, to ask a model about a record more than once."""

from itertools import product

import torch.nn.functional as F

from amulet.datasets.records import Records

_FARTHEST = 4
MOST_VIEWS = 2 * (2 * _FARTHEST + 1) ** 2
"""All shifts of at most 4 pixels in each direction, each of them also mirrored."""


def image_views(records: Records, count: int) -> list[Records]:
    """The first `count` views of every image: itself, its mirror image, then shifts, the smallest first.

    Pixels that come into the picture are 0, as where `FlipCrop` shifts in training.

    Args:
        records: images (n, channels, height, width); with `count` 1 anything.
        count: 1 to `MOST_VIEWS`.

    >>> import torch
    >>> images = Records.of(torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.zeros(1))
    >>> [view.x.flatten().tolist() for view in image_views(images, 3)]
    [[1.0, 2.0, 3.0], [3.0, 2.0, 1.0], [2.0, 3.0, 0.0]]
    """
    if count == 1:
        return [records]
    reach = range(-_FARTHEST, _FARTHEST + 1)
    shifts = sorted(product(reach, reach), key=lambda move: (move[0] ** 2 + move[1] ** 2, abs(move[0])))
    found: list[Records] = [records]
    height, width = records.shape[-2:]
    for (down, right), mirrored in list(product(shifts, (False, True)))[1:count]:
        x = records.x.flip(-1) if mirrored else records.x
        padded = F.pad(x, (_FARTHEST,) * 4)
        top, left = _FARTHEST - down, _FARTHEST - right
        found.append(records.replace(x=padded[..., top : top + height, left : left + width].contiguous()))
    return found
