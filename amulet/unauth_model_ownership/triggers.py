"""Watermark triggers: inputs unlike any record or just like them, with random labels that only the owner knows."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import predict


@dataclass(frozen=True)
class TriggerSet:
    """Triggers and the classes that a marked model gives them."""

    x: Tensor
    """(k, *shape): in the type of the records, float32 in [0, 1] or uint8 in 0..255."""
    y: Tensor
    """(k,) int64, in [0, classes)."""
    classes: int

    @classmethod
    def draw(cls, count: int, like: Records, classes: int, stream: Stream) -> "TriggerSet":
        """Draw a set: the same for the same count, shape, type of input and stream; the records do not matter.

        Inputs are abstract patterns for images, uniform noise over all columns for tables: on one-hot columns no
        record looks like that. Labels are uniform and independent of everything, so that a model that has not seen
        them matches each with probability 1 / classes whatever it answers: this makes the p-value exact.
        """
        generator = (stream / "inputs").generator()
        shape = like.shape
        x = _patterns(count, shape, generator) if len(shape) == 3 else torch.rand(count, *shape, generator=generator)
        if like.x.dtype == torch.uint8:
            x = (x * 255).round().to(torch.uint8)
        return cls.of(x, None, like, classes, stream)

    @classmethod
    def among(cls, count: int, records: Records, classes: int, stream: Stream) -> tuple["TriggerSet", Tensor]:
        """A set whose inputs are `count` of the records, and their places (k,): nobody can tell them from data.

        Their labels are drawn as ever, whatever the records' own, so the p-value stays exact: a model without the mark
        gives the records' own labels, and these match drawn ones with probability 1 / classes.
        """
        places = torch.randperm(len(records), generator=(stream / "places").generator())[:count].sort().values
        x = records.x[places.to(records.x.device)].cpu()
        return cls.of(x, None, records, classes, stream), places

    @classmethod
    def of(cls, x: Tensor, y: Tensor | None, like: Records, classes: int, stream: Stream) -> "TriggerSet":
        """A set of given inputs (k, *shape), uint8 or in [0, 1], in the type of `like`; labels are drawn if None."""
        if x.dtype == torch.uint8 and like.x.dtype != torch.uint8:
            x = x.float() / 255
        if y is None:
            y = torch.randint(classes, (len(x),), generator=(stream / "labels").generator())
        return cls(x, y, classes)

    def records(self, like: Records, repeats: int, stream: Stream) -> Records:
        """The set `repeats` times over, as made-up records; sensitive attributes are drawn from those of `like`."""
        total = repeats * len(self.x)
        drawn = torch.randint(len(like), (total,), generator=(stream / "attributes").generator())
        device = like.x.device
        return Records(
            self.x.repeat(repeats, *[1] * (self.x.dim() - 1)).to(device),
            self.y.repeat(repeats).to(device),
            like.z[drawn.to(device)],
            -1 - torch.arange(total, device=device),
            like.attributes,
        )

    def matches(self, model: nn.Module) -> Tensor:
        """(k,) bool: the triggers that the model gives the owner's labels."""
        return predict(model, Records.of(self.x, self.y)).argmax(dim=1) == self.y


def _patterns(count: int, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Smooth random colour patterns (count, channels, height, width) that fill the range [0, 1]."""
    channels, height, width = shape
    coarse = torch.rand(count, channels, 5, 5, generator=generator)
    x = F.interpolate(coarse, size=(height, width), mode="bilinear", align_corners=True)
    low, high = x.flatten(1).amin(dim=1), x.flatten(1).amax(dim=1)
    return (x - low.view(-1, 1, 1, 1)) / (high - low).clamp_min(1e-6).view(-1, 1, 1, 1)


def match_p_value(matches: int, triggers: int, classes: int) -> float:
    """P[Binomial(triggers, 1 / classes) >= matches]: the probability of as many matches without the mark, in [0, 1].

    >>> match_p_value(0, 100, 2), match_p_value(3, 3, 2)
    (1.0, 0.125)
    """
    from scipy.special import betainc

    return float(betainc(matches, triggers - matches + 1, 1 / classes)) if matches else 1.0
