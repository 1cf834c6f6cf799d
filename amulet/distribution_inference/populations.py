"""Populations of training sets in which one attribute's value has exactly the requested share."""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from typing import Literal

import torch
from torch import Tensor

from amulet.core.errors import IncompatibleError, SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.records import Records

Labels = Literal["fixed", "natural"]
Cells = dict[tuple[int, int], int]
"""The number of records to draw by (has the value: 1 or 0, label); label -1: of any label."""


def exact(ratio: float) -> Fraction:
    """A share as the exact fraction of its decimals, with at most three places.

    >>> exact(0.1), exact(1 / 3)
    (Fraction(1, 10), Fraction(1, 3))
    """
    return Fraction(ratio).limit_denominator(1000)


def check_ratio(name: str, ratio: float) -> None:
    """`SettingError` unless the ratio is in [0, 1] and a training set can have it exactly."""
    in_range(name, ratio, 0, 1)
    if abs(float(exact(ratio)) - ratio) > 1e-9:
        raise SettingError(f"`{name}` must have at most three decimal places, got {ratio}")


def spaced(first: float, last: float, steps: int) -> tuple[float, ...]:
    """The ratios that divide those from `first` to `last` into equal steps, without these two.

    >>> spaced(0.2, 0.8, 3), spaced(0.1, 0.9, 1)
    ((0.4, 0.6), ())
    """
    return tuple(round(first + (last - first) * i / steps, 12) for i in range(1, steps))


@dataclass(frozen=True)
class Pool:
    """The records from which one side draws its training sets."""

    records: Records
    attribute: str
    value: int
    among: Tensor | None = None
    """Positions of the records that it draws from; None: all. No image is copied for a part."""

    @property
    def name(self) -> str:
        """What it counts, in words: `race = Black`."""
        return f"{self.attribute} = {self.records.value_name(self.attribute, self.value)}"

    def __len__(self) -> int:
        return len(self.records if self.among is None else self.among)

    def cells(self, labels: Labels) -> dict[tuple[int, int], Tensor]:
        """Positions of the records of each cell."""
        among = torch.arange(len(self.records)) if self.among is None else self.among
        has = (self.records.attribute(self.attribute) == self.value).long().cpu()[among]
        label = self.records.y.cpu()[among] if labels == "fixed" else torch.full_like(has, -1)
        return {
            (group, int(each)): among[(has == group) & (label == each)] for group in (0, 1) for each in label.unique()
        }

    def draw(self, cells: Cells, labels: Labels, stream: Stream) -> Records:
        """One training set: the requested number of records of each cell, at random without replacement."""
        return self.records.take(self.places(cells, labels, stream))

    def places(self, cells: Cells, labels: Labels, stream: Stream) -> Tensor:
        """The positions of one training set's records, sorted."""
        generator = stream.generator()
        have = self.cells(labels)
        parts = [
            have[cell][torch.randperm(len(have[cell]), generator=generator)[:count]]
            for cell, count in sorted(cells.items())
        ]
        return torch.cat(parts).sort().values

    def share(self, places: Tensor | None = None) -> float:
        """The share of records that have the value, in [0, 1]: of those at `places`, or of all that it draws from."""
        places = self.among if places is None else places
        column = self.records.attribute(self.attribute).cpu()
        return ((column if places is None else column[places]) == self.value).double().mean().item()


def quotas(size: int, ratio: float, label_shares: Sequence[float] | None) -> Cells:
    """The numbers of records of each cell for `size` records in which the value's share is exactly `ratio`.

    Args:
        size: must make ``ratio * size`` a whole number.
        ratio: the share, [0, 1].
        label_shares: the share of each label among those with the value and among those without, rounded to whole
            records; None: any labels.

    >>> quotas(10, 0.3, None)
    {(1, -1): 3, (0, -1): 7}
    """
    count = exact(ratio) * size
    if count.denominator != 1:
        raise ValueError(f"`size` must make {ratio} * size a whole number, got {size}")
    cells: Cells = {}
    for group, wanted in ((1, int(count)), (0, size - int(count))):
        if label_shares is None:
            cells[group, -1] = wanted
            continue
        ends = [round(wanted * sum(label_shares[: i + 1])) for i in range(len(label_shares) - 1)] + [wanted]
        for label, (start, end) in enumerate(zip([0, *ends], ends, strict=False)):
            cells[group, label] = end - start
    return cells


def largest_size(
    pools: Sequence[Pool], ratios: Sequence[float], labels: Labels, label_shares: Sequence[float] | None
) -> int:
    """The largest number of records with which every pool can provide every ratio exactly; 0 if none can."""
    step = lcm(*(exact(ratio).denominator for ratio in ratios))
    available = [{cell: len(place) for cell, place in pool.cells(labels).items()} for pool in pools]

    def possible(size: int) -> bool:
        return all(
            count <= have.get(cell, 0)
            for ratio in ratios
            for cell, count in quotas(size, ratio, label_shares).items()
            for have in available
        )

    low, high = 0, min(map(len, pools)) // step + 1  # possible(low), not possible(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if possible(middle * step) else (low, middle)
    return low * step


def agreed_size(
    asked: int | None,
    pools: Sequence[Pool],
    ratios: Sequence[float],
    labels: Labels,
    label_shares: Sequence[float] | None,
) -> int:
    """`asked`, or half of the largest possible size, so that the models have different records.

    Raises:
        IncompatibleError: the pools cannot provide that many records, or the ratios would not be exact.
    """
    step = lcm(*(exact(ratio).denominator for ratio in ratios))
    most = largest_size(pools, ratios, labels, label_shares)
    shares = " and ".join(f"{ratio:g}" for ratio in ratios)
    what = pools[0].name
    if most == 0 or (asked is not None and asked > most):
        raise IncompatibleError(
            f"distribution inference: the records of the two sides cannot make training sets of "
            f"{step if asked is None else asked} in which {shares} have {what}; the most is {most}. "
            f"{'Lower attack.size, take' if most else 'Take'} ratios nearer to the data's, "
            f"{_another(pools[0])}or more data (dataset.limit, adversary_fraction)"
        )
    if asked is not None and asked % step:
        raise IncompatibleError(
            f"distribution inference: in {asked} records the shares {shares} of {what} are no whole numbers of "
            f"records; attack.size must be a multiple of {step}"
        )
    return max(step, most // (2 * step) * step) if asked is None else asked


def _another(pool: Pool) -> str:
    """The settings that choose another attribute or value, where there is one."""
    others = [name for name in pool.records.attributes if name != pool.attribute]
    values = pool.records.attribute(pool.attribute).unique().tolist()
    ways = [f"another attribute (attack.attribute={others[0]})"] if others else []
    if len(values) > 2:
        named = ", ".join(f"{value} {pool.records.value_name(pool.attribute, value)}" for value in values)
        ways.append(f"another value (attack.value: {named})")
    return "".join(f"{way}, " for way in ways)
