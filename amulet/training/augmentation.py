"""Random changes of training images, drawn again each time a record is trained on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from amulet.core.component import Factory
from amulet.core.errors import SettingError, in_range
from amulet.core.vision import import_torchvision
from amulet.datasets.records import Records


class Augmentation(ABC):
    """A random change of a batch of images, drawn independently for each record: one method to override."""

    @abstractmethod
    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """From images (b, channels, height, width), uint8 or float32 in [0, 1], to changed ones of the same shape.

        Args:
            x: on any device.
            generator: on the CPU; the source of all random numbers.
        """


class FlipCrop(Augmentation):
    """Crops of the zero-padded image, and mirror images for half of the records (He et al., CVPR 2016, section 4.2).

    Args:
        padding: pixels on each side; an image is shifted by at most this many.
        flip: mirror half of the records left to right.
    """

    def __init__(self, *, padding: int = 4, flip: bool = True) -> None:
        in_range("padding", padding, 0)
        self.padding = padding
        self.flip = flip

    def augment(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """One gather for the whole batch."""
        b, channels, height, width = x.shape
        moves = torch.randint(2 * self.padding + 1, (2, b, 1), generator=generator)
        rows, columns = torch.arange(height) + moves[0], torch.arange(width)
        if self.flip:
            mirrored = torch.randint(2, (b, 1), generator=generator).bool()
            columns = torch.where(mirrored, width - 1 - columns, columns)
        places = rows.unsqueeze(2) * (width + 2 * self.padding) + (columns + moves[1]).unsqueeze(1)
        flat = places.view(b, 1, -1).to(x.device).expand(b, channels, height * width)
        return F.pad(x, (self.padding,) * 4).flatten(2).gather(2, flat).view_as(x)


def described(steps: Sequence[Factory]) -> list[dict[str, Any]]:
    """What the steps are, as JSON."""
    return [_importable(factory).describe() for factory in steps]


class Augmenter:
    """A sequence of augmentations for the batches of one training run."""

    def __init__(self, steps: Sequence[Factory], generator: torch.Generator) -> None:
        self.steps = [_step(factory, generator) for factory in steps]

    def __call__(self, batch: Records) -> Records:
        """The batch with its images changed; records with a teacher's logits as targets stay as the teacher saw them.

        Torchvision's transforms draw from torch's global generator.
        """
        if not self.steps or not len(batch) or batch.targets is not None:
            return batch
        x = batch.x
        for step in self.steps:
            x = step(x)
        return batch.replaced(x=x)

    def check(self, records: Records) -> None:
        """Raise `SettingError` unless the records are images and the result is images in [0, 1]."""
        if not self.steps:
            return
        if len(records.shape) != 3:
            raise SettingError(f"`augmentation` needs images (channels, height, width), got inputs {records.shape}")
        few = records.batch(slice(0, 2))
        for step in self.steps:
            try:
                made = step(few.x)
            except Exception as error:  # a user's transform may fail in any way
                raise SettingError(f"`augmentation`: {step} fails on images {records.shape}: {error}") from error
            got = made.float()
            high = 1 if made.is_floating_point() else 255
            if made.shape != few.x.shape or got.min() < 0 or got.max() > high:
                raise SettingError(
                    f"`augmentation`: {step} must keep images {records.shape} in [0, 1], got {tuple(made.shape[1:])} "
                    f"in [{got.min() / high:g}, {got.max() / high:g}]"
                )


def _step(factory: Factory, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    try:
        made: Any = _importable(factory).build()
    except (TypeError, ValueError) as error:
        raise SettingError(f"`augmentation`: {factory.path} cannot be built: {error}") from error
    return _Batched(made, generator) if isinstance(made, Augmentation) else _RecordByRecord(made)


def _importable(factory: Factory) -> Factory:
    if factory.path.startswith("torchvision."):
        import_torchvision()
    return factory


class _Batched:
    def __init__(self, augmentation: Augmentation, generator: torch.Generator) -> None:
        self.augmentation, self.generator = augmentation, generator

    def __call__(self, x: Tensor) -> Tensor:
        return self.augmentation.augment(x, self.generator)

    def __str__(self) -> str:
        return type(self.augmentation).__name__


class _RecordByRecord:
    """A torchvision transform draws once for all images that it gets, so it gets one image at a time."""

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        self.transform = transform

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([self.transform(image) for image in x])

    def __str__(self) -> str:
        return type(self.transform).__name__
