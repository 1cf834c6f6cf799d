"""The inputs that an adversary can ask about: its own records, or some made for it."""

from collections.abc import Callable, Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from amulet.core.component import Factory
from amulet.core.errors import SettingError
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records

Groups = Sequence[tuple[int, int]]
"""Column ranges [start, end) that are one-hot codes of one variable."""
_TILES = 4  # along each side of an image


def shuffled(records: Records, count: int, groups: Groups, stream: Stream) -> Tensor:
    """Inputs (count, *shape) of which each block is from another record: no record, but every part is like in one.

    A block is a column of a table, or all the columns of one variable; of an image, a tile of a quarter of each side.
    """
    x, draw = records.x, stream.generator()
    number = _blocks(records.shape, groups)
    source = torch.randint(len(x), (count, int(number.max()) + 1), generator=draw)[:, number.flatten()]
    return x.flatten(1).gather(0, source.to(x.device)).view(count, *records.shape)


def noise(records: Records, count: int, groups: Groups, stream: Stream) -> Tensor:
    """Inputs (count, *shape) of uniform noise in [0, 1]; one-hot codes are codes, of values drawn uniformly."""
    draw = stream.generator()
    x = torch.rand(count, *records.shape, generator=draw)
    for start, end in groups:
        x[:, start:end] = F.one_hot(x[:, start:end].argmax(dim=1), end - start).to(x.dtype)
    return x.to(records.x.device)


INPUTS: dict[str, Callable[[Records, int, Groups, Stream], Tensor]] = {"shuffled": shuffled, "noise": noise}
"""Ways to make inputs, by name."""


def made_up(x: Tensor, like: Records) -> Records:
    """Records of made-up inputs: ids from -1 downwards, no labels (0 stands there) and no attributes (0 too)."""
    count = len(x)
    empty = torch.zeros(count, dtype=torch.int64, device=x.device)
    ids = -1 - torch.arange(count, device=x.device)
    return Records(x, empty, empty.unsqueeze(1).expand(count, len(like.attributes)), ids, like.attributes)


def other_data(path: str, shape: tuple[int, ...]) -> Tensor:
    """The training inputs of another data set in this shape (n, *shape), float32 in [0, 1].

    Images are resized, and made grey or given equal channels; tables must have as many columns.

    Args:
        path: the import path of a function that loads it: `amulet.datasets.load_cifar10`.
    """
    data = Factory(path).build()
    if not isinstance(data, AmuletDataset):
        raise SettingError(f"`attack.inputs` must load an AmuletDataset, got {type(data).__name__} of {path}")
    if len(data.shape) != len(shape) or (len(shape) == 1 and data.shape != shape):
        raise SettingError(f"`attack.inputs` must have inputs of shape {shape}, got {data.shape} of {data.name}")
    x = data.train.inputs()
    if len(shape) == 3 and data.shape != shape:
        if data.shape[0] != shape[0]:
            x = x.mean(dim=1, keepdim=True).expand(-1, shape[0], -1, -1)
        if tuple(x.shape[2:]) != shape[1:]:
            x = F.interpolate(x, size=shape[1:], mode="bilinear", antialias=True)
    return x.contiguous()


def _blocks(shape: tuple[int, ...], groups: Groups) -> Tensor:
    """(*shape) the number of the block that each value belongs to."""
    if len(shape) == 3:
        rows, columns = (torch.arange(side) * min(_TILES, side) // side for side in shape[1:])
        return (rows.unsqueeze(1) * _TILES + columns).expand(shape)
    first = torch.arange(prod(shape))
    for start, end in groups:
        first[start:end] = start
    return first.unique(return_inverse=True)[1].view(shape)
