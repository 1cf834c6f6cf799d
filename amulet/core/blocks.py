"""What a result keeps of the influence of records on a metric. Imports nothing heavy: every reader has it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

BLOCKS = 64
"""The number of blocks that records are kept in; an error estimated from them has a relative error of 9 %."""


@dataclass(frozen=True, kw_only=True)
class RecordBlocks:
    """The influence of records by block: enough to compare victims and seeds on the same records.

    A record's id decides its block, so the blocks of two results hold the same records if their digests agree.
    """

    digest: str
    """Of the records' ids."""
    records: int
    spread: float
    """The difference between the largest and the smallest influence: what turning one record can change, times n."""
    sums: tuple[float, ...]
    """(BLOCKS,): the sum of each block's influence values over the number of records. They add up to 0."""

    @property
    def error(self) -> float:
        """The metric's standard error over records, estimated from the blocks."""
        return math.sqrt(sum(total**2 for total in self.sums) * BLOCKS / (BLOCKS - 1))

    def as_dict(self) -> dict[str, Any]:
        """As JSON types."""
        return {"digest": self.digest, "records": self.records, "spread": self.spread, "sums": list(self.sums)}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Self:
        """What `as_dict` made."""
        sums = tuple(map(float, kept["sums"]))
        return cls(digest=kept["digest"], records=kept["records"], spread=kept["spread"], sums=sums)
