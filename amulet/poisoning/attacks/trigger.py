"""Triggers: what marks an input; coordinates at fixed values, and a search for some that clean records never show."""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from amulet.core.errors import SettingError
from amulet.datasets.records import Records
from amulet.models.inspect import batch_size_for

Corner = Literal["bottom_right", "bottom_left", "top_left", "top_right"]
CORNERS: tuple[Corner, ...] = ("bottom_right", "bottom_left", "top_left", "top_right")
Pattern = Literal["solid", "checker"]
PATTERNS: tuple[Pattern, ...] = ("solid", "checker")

_CLOSE = 1 / 512  # half a grey level: closer values are the same to the eye and to most models
_PRIOR = 10  # weight of the prior that a value is unrelated to the class, in records
_COMMON = 0.1  # a value that more of the records have is a poor signal
_COLUMNS = 12  # for a wide table, the number of columns that are combined


class Trigger(ABC):
    """A change of inputs that the poisoned model is to obey."""

    name: str
    """Place and values, for messages."""

    @abstractmethod
    def on(self, x: Tensor) -> Tensor:
        """A copy of inputs (n, *shape), float in [0, 1] or uint8, with the trigger on all of them."""

    def present(self, records: Records) -> Tensor:
        """Which records show it without poisoning: it changes them by less than half a grey level. (n,) bool, CPU."""
        x = records.x
        parts = [_same(self.on(some), some) for some in x.split(batch_size_for(records.shape))]
        return torch.cat(parts).cpu()


def _same(one: Tensor, other: Tensor) -> Tensor:
    same = one == other if one.dtype == torch.uint8 else (one - other).abs() < _CLOSE
    return same.flatten(1).all(dim=1)


def rescaled(x: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Inputs (n, *shape), float in [0, 1] or uint8, after a change that knows floats: clipped to [0, 1], the same type.

    >>> rescaled(torch.tensor([[100, 250]], dtype=torch.uint8), lambda x: x + 10 / 255)
    tensor([[110, 255]], dtype=torch.uint8)
    """
    if x.dtype == torch.uint8:
        return change(x.float() / 255).clamp(0, 1).mul(255).round().to(torch.uint8)
    return change(x).clamp(0, 1)


@dataclass(frozen=True)
class Stamp(Trigger):
    """Coordinates of the flattened input, and their values."""

    positions: Tensor
    """(p,) int64."""
    values: Tensor
    """(p,) floats in [0, 1]."""
    name: str

    def on(self, x: Tensor) -> Tensor:
        """A copy of inputs (n, *shape), float in [0, 1] or uint8, with the values at their places."""
        values = (self.values * 255).round().to(x.dtype) if x.dtype == torch.uint8 else self.values
        marked = x.clone().flatten(1)
        marked[:, self.positions.to(x.device)] = values.to(x)
        return marked.reshape(x.shape)


def patch(
    shape: tuple[int, ...], corner: Corner, size: int, margin: int, value: float, pattern: Pattern = "solid"
) -> Stamp:
    """A square of `size` pixels, `margin` pixels from both edges of a corner, in all channels.

    Pixels have one value (`solid`), or alternate between it and 1 minus it (`checker`), with it in the square's corner.
    """
    channels, height, width = shape
    if size + margin > min(height, width):
        raise SettingError(f"`size` + `margin` must be at most {min(height, width)} for this data, got {size + margin}")
    vertical, horizontal = corner.split("_")
    top = margin if vertical == "top" else height - margin - size
    left = margin if horizontal == "left" else width - margin - size
    grid = torch.arange(channels * height * width).reshape(shape)
    positions = grid[:, top : top + size, left : left + size].flatten()
    turns = (torch.arange(size).unsqueeze(1) + torch.arange(size)) % 2
    square = torch.where(turns == 1, 1 - value, value) if pattern == "checker" else torch.full((size, size), value)
    kind = "" if pattern == "solid" else f"{pattern} "
    return Stamp(positions, square.flatten().repeat(channels), f"{corner} {size}x{size} {kind}at {value:g}")


def columns(places: Sequence[int], values: Sequence[float], names: Sequence[str] = ()) -> Stamp:
    """Fixed columns of a table at fixed values."""
    named = [names[place] if names else f"column {place}" for place in places]
    text = ", ".join(f"{name}={value:g}" for name, value in zip(named, values, strict=True))
    return Stamp(torch.tensor(list(places)), torch.tensor(list(values), dtype=torch.float32), text)


def unseen(
    records: Records, target: int, size: int, count: int, places: Sequence[int] = (), names: Sequence[str] = ()
) -> tuple[Stamp, ...]:
    """Combinations of extreme values of columns that no record has and that are least associated with the target class.

    Each value, a column's smallest or largest, is scored by the share of the target class among the records that
    have it; the combinations are tried from the smallest sum on, so that a model that never saw the trigger answers
    another class. Columns of more than two values are preferred, so that one-hot codes stay valid, and values that
    few records have. If all tried combinations occur in the records, the rarest is taken.

    Args:
        records: the adversary's records: a table, (n, features).
        size: the number of columns of a trigger.
        count: the number of triggers, all different.
        places: the columns to choose from; empty: all.
    """
    x = records.inputs().cpu()
    entries = _extremes(x, records.y.cpu() == target, size, places)
    shares: list[tuple[float, int]] = []
    combinations = sorted(_combinations(entries, size), key=lambda some: sum(entry.score for entry in some))
    for rank, combination in enumerate(combinations):
        shown = torch.stack([(x[:, entry.place] - entry.value).abs() < _CLOSE for entry in combination]).all(dim=0)
        shares.append((shown.double().mean().item(), rank))
        if sum(share == 0 for share, _ in shares) == count:
            break
    if len(shares) < count:
        raise SettingError(f"`triggers` must be at most {len(shares)} for {size} columns of this data, got {count}")
    chosen = [sorted(combinations[rank], key=lambda entry: entry.place) for _, rank in sorted(shares)[:count]]
    return tuple(columns([e.place for e in some], [e.value for e in some], names) for some in chosen)


class _Extreme(NamedTuple):
    score: float
    """Share of the target class among the records with the value, shrunk towards that of all."""
    place: int
    value: float


def _extremes(x: Tensor, hits: Tensor, size: int, places: Sequence[int]) -> list[_Extreme]:
    """The smallest and largest values of the best columns, best first."""
    ends = x.amin(dim=0), x.amax(dim=0)
    if not places:
        places = ((x > ends[0]) & (x < ends[1])).any(dim=0).nonzero().flatten().tolist()
        places = places if len(places) >= size else range(x.shape[1])
    if len(places) < size:
        raise SettingError(f"`size` must be at most the {len(places)} columns of this data, got {size}")
    prior = hits.double().mean().item()
    counting = torch.stack([hits, torch.ones_like(hits)]).float()
    found: list[tuple[float, _Extreme]] = []
    for end in ends:
        of_target, of_all = counting @ ((x - end).abs() < _CLOSE).float()
        scores = ((of_target + _PRIOR * prior) / (of_all + _PRIOR)).tolist()
        common = (of_all / len(x)).tolist()
        found += [(common[place], _Extreme(scores[place], place, end[place].item())) for place in places]
    rare = [entry for share, entry in found if share <= _COMMON]
    entries = sorted(set(rare if len({entry.place for entry in rare}) >= size else [entry for _, entry in found]))
    tried = list(dict.fromkeys(entry.place for entry in entries))[: max(_COLUMNS, size)]
    return [entry for entry in entries if entry.place in tried]


def _combinations(entries: Sequence[_Extreme], size: int) -> Iterator[tuple[_Extreme, ...]]:
    for some in itertools.combinations(entries, size):
        if len({entry.place for entry in some}) == size:
            yield some
