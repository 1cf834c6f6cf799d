"""BadNets (Gu et al., IEEE Access 2019)."""

from collections.abc import Sequence
from typing import Any

from torch.utils.data import DataLoader, Dataset

from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.poisoning.attacks.backdoor import Backdoor
from amulet.poisoning.attacks.base import BY_HAND, check_rates
from amulet.poisoning.attacks.trigger import CORNERS, PATTERNS, Corner, Pattern, Stamp, columns, patch, unseen


class BadNets(Backdoor):
    """A backdoor by a fixed trigger: a patch in a corner of images, fixed columns of tables (paper: S2).

    >>> import torch
    >>> images = Records.of(torch.rand(100, 1, 8, 8), torch.arange(100) % 10)
    >>> poisoned = BadNets(images, rate=0.1, target=1).attack()
    >>> int((poisoned.y != images.y).sum())
    10

    Args:
        rate: share of the training records that are poisoned, (0, 1); all of them of other classes than the target.
            The default leaves the success on census and Fashion-MNIST room to move; the paper's 0.1 does not.
        target: the label that the trigger should cause.
        triggers: the number of different triggers; images: one in each corner, up to 4, beginning with `corner`.
        size: side of the patch in pixels, or number of columns.
        value: the value of the patch's pixels, [0, 1].
        corner: `bottom_right`, `bottom_left`, `top_left` or `top_right`.
        margin: pixels between the patch and both edges.
        pattern: of the patch: `solid`, or `checker`: `value` alternating with 1 - `value`, for bright corners.
        columns: a table's columns, by name or number. None: `size` columns of many values that the attack chooses.
        values: their values, [0, 1], one for each. None: a combination of the columns' smallest and largest values that
            no record of the adversary has and that is least associated with the target.
        rate_curve: other rates at which the success is reported too; each trains one more model.
    """

    def __init__(
        self,
        dataset: Dataset[Any] | DataLoader[Any] | None = None,
        *,
        rate: float = 0.005,
        target: int = 1,
        triggers: int = 1,
        size: int = 3,
        value: float = 1.0,
        corner: Corner = "bottom_right",
        margin: int = 0,
        pattern: Pattern = "solid",
        columns: list[str | int] | None = None,
        values: list[float] | None = None,
        rate_curve: list[float] | None = None,
    ) -> None:
        super().__init__(dataset)
        check_rates(rate, rate_curve)
        in_range("target", target, 0)
        in_range("triggers", triggers, 1)
        in_range("size", size, 1)
        in_range("value", value, 0, 1)
        one_of("corner", corner, CORNERS)
        in_range("margin", margin, 0)
        one_of("pattern", pattern, PATTERNS)
        if columns is not None and (not columns or len(set(columns)) < len(columns)):
            raise SettingError(f"`columns` must be different columns, at least one, got {columns}")
        if values is not None:
            if columns is None or len(values) != len(columns):
                raise SettingError(f"`values` must have one value for each of `columns`, got {values}")
            if triggers > 1:
                raise SettingError(f"`triggers` must be 1 where `values` are given, got {triggers}")
            for one in values:
                in_range("values", one, 0, 1)
        self.rate = rate
        self.target = target
        self.triggers = triggers
        self.size = size
        self.value = value
        self.corner: Corner = corner
        self.margin = margin
        self.pattern: Pattern = pattern
        self.columns = columns
        self.values = values
        self.rate_curve = rate_curve

    def triggers_for(self, records: Records, names: Sequence[str] = (), stream: Stream = BY_HAND) -> tuple[Stamp, ...]:
        """Patches for inputs (channels, height, width), columns for inputs (features,)."""
        shape = records.shape
        if len(shape) == 3 and self.columns is None:
            return self._patches(shape)
        if len(shape) != 1:
            raise SettingError(f"`columns` must be None for inputs of shape {shape}, got {self.columns}")
        places = self._places(shape[0], names)
        if self.values is not None:
            return (columns(places, self.values, names),)
        return unseen(records, self.target, len(places) or self.size, self.triggers, places, names)

    def _patches(self, shape: tuple[int, ...]) -> tuple[Stamp, ...]:
        in_range("triggers", self.triggers, 1, len(CORNERS))
        if self.triggers > 1 and 2 * (self.size + self.margin) > min(shape[1:]):
            raise SettingError(f"`size` must leave room for {self.triggers} patches on {shape[1:]}, got {self.size}")
        first = CORNERS.index(self.corner)
        corners: list[Corner] = [CORNERS[(first + turn) % len(CORNERS)] for turn in range(self.triggers)]
        return tuple(patch(shape, corner, self.size, self.margin, self.value, self.pattern) for corner in corners)

    def _places(self, width: int, names: Sequence[str]) -> list[int]:
        places: list[int] = []
        for column in self.columns or ():
            if isinstance(column, str) and column in names:
                places.append(names.index(column))
            elif isinstance(column, int) and 0 <= column < width:
                places.append(column)
            else:
                known = f" ({', '.join(names[:5])}, ...)" if names else ""
                raise SettingError(f"`columns` must name columns{known} or number them below {width}, got {column}")
        return places
