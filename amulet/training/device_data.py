"""Where the training records are kept, and how they are copied to the device: at once, or batch by batch."""

from collections.abc import Iterator

import torch
from torch import Tensor

from amulet.datasets.records import Records
from amulet.training.runtime import free_memory

SHARE = 0.5
"""The share of a device's free memory that a table may take; the rest is for weights and activations."""


def size_of(records: Records) -> int:
    """Bytes of a table."""
    tensors = (records.x, records.y, records.z, records.ids, records.targets)
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors if tensor is not None)


def fits(records: Records, device: torch.device) -> bool:
    """Does the whole table fit on the device? This affects only when and where bytes are copied."""
    room = free_memory(device)
    return room is None or size_of(records) <= SHARE * room


class Supply:
    """A table whose batches are on the device; uint8 stays uint8 until a batch is scaled."""

    def __init__(self, records: Records, device: torch.device) -> None:
        self.device = device
        self.records = records if _same(records.x.device, device) or not fits(records, device) else records.to(device)
        """The table on the device, or, if it is too large, where it was."""

    def __len__(self) -> int:
        return len(self.records)

    def at(self, index: Tensor | slice) -> Records:
        """The records at `index`, on the device."""
        home = self.records.x.device
        batch = self.records.batch(index.to(home) if isinstance(index, Tensor) else index)
        if _same(home, self.device):
            return batch
        # From pinned memory the copy runs while the device still computes on the previous batch.
        values = [v.pin_memory() if self.device.type == "cuda" else v for v in (batch.x, batch.y, batch.z, batch.ids)]
        x, y, z, ids = (value.to(self.device, non_blocking=True) for value in values)
        targets = None if batch.targets is None else batch.targets.to(self.device)
        return Records(x, y, z, ids, batch.attributes, targets)

    def shuffled(self, generator: torch.Generator, batch_size: int, min_updates: int = 0) -> Iterator[Records]:
        """One epoch in batches of `batch_size`: see `epoch_of`.

        Each batch is gathered from the table. Copying the whole table in the new order and slicing that was as fast for
        tables that fit into the processor's cache, slower for all others, and takes twice the memory.
        """
        for index in epoch_of(len(self), batch_size, generator, min_updates):
            yield self.at(index)


def _same(one: torch.device, other: torch.device) -> bool:
    """`cuda` without a number is `cuda:0`."""
    return one.type == other.type and (one.index or 0) == (other.index or 0)


def epoch_of(n: int, batch_size: int, generator: torch.Generator, min_updates: int = 0) -> Iterator[Tensor]:
    """The batches of one epoch as indices of records: every record once, in random order.

    Where these are fewer than `min_updates` batches the records come again, in a new random order each time, until
    there have been as many: a few records can be learned as thoroughly as many.

    >>> [len(index) for index in epoch_of(5, 3, torch.Generator(), min_updates=4)]
    [3, 2, 3, 2]
    """
    left, again = min_updates, False
    while left > 0 or not again:
        order = torch.randperm(n, generator=generator)
        parts = list(parts_of(n, batch_size))
        for part in parts[:left] if again else parts:
            yield order[part]
        left, again = left - len(parts), True


def updates_of(n: int, batch_size: int) -> int:
    """How many batches it takes to see every one of `n` records once."""
    return sum(1 for _ in parts_of(n, batch_size))


def parts_of(n: int, batch_size: int) -> Iterator[slice]:
    """One epoch of `n` shuffled records in batches; a last batch of one record is joined to the one before.

    >>> [(part.start, part.stop) for part in parts_of(7, 3)]
    [(0, 3), (3, 7)]
    """
    start = 0
    while start < n:
        end = start + batch_size
        end = n if end + 1 >= n else end  # batch norm cannot train on a single record
        yield slice(start, end)
        start = end
