"""Removers that stand between a copy and its inputs, and change no weight."""

import torch
from torch import Tensor, nn

from amulet.core.errors import in_range
from amulet.models.inspect import device_of
from amulet.unauth_model_ownership.removers.base import Remover, Thief

_KNOWN = 1000  # records that a filter compares inputs with


class Filtering(Remover):
    """Answer no input that is unlike the thief's records: such an input gets their most frequent label.

    An input is unlike them if it is farther from the nearest of them than a `share` of other records is. Watermark
    triggers that no record looks like are answered without the mark, whatever the weights have learned.

    Args:
        share: of the thief's own records that the filter lets pass, (0, 1).
    """

    random = False

    def __init__(self, *, share: float = 0.99) -> None:
        in_range("share", share, above=0, below=1)
        self.share = share

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        records = thief.records
        order = torch.randperm(len(records), generator=(thief.stream / "filter").generator())
        size = min(_KNOWN, (len(records) + 1) // 2)
        known, others = (records.take(part).inputs().flatten(1) for part in (order[:size], order[size : 2 * size]))
        limit = torch.cdist(others, known).amin(dim=1).quantile(self.share)
        answer = nn.functional.one_hot(records.y.bincount().argmax(), thief.recipe.num_classes).float()
        return _Filtered(model, known, limit, answer).to(device_of(model)).eval()


class _Filtered(nn.Module):
    known: Tensor
    limit: Tensor
    answer: Tensor

    def __init__(self, model: nn.Module, known: Tensor, limit: Tensor, answer: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("known", known)
        self.register_buffer("limit", limit)
        self.register_buffer("answer", answer)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            strange = torch.cdist(x.flatten(1).float(), self.known).amin(dim=1) > self.limit
        return torch.where(strange.unsqueeze(1), self.answer, self.model(x))


class Rounding(Remover):
    """Round every value of an input to a grid before the copy sees it: gradients with regard to the input are 0.

    Whoever measures distances to decision boundaries along gradients then finds none.

    Args:
        levels: values of the grid over [0, 1], from 0 to 1; 2 or more.
    """

    random = False

    def __init__(self, *, levels: int = 33) -> None:
        in_range("levels", levels, 2)
        self.levels = levels

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        return _Rounded(model, self.levels - 1).eval()


class _Rounded(nn.Module):
    def __init__(self, model: nn.Module, steps: int) -> None:
        super().__init__()
        self.model, self.steps = model, steps

    def forward(self, x: Tensor) -> Tensor:
        return self.model((x * self.steps).round() / self.steps)
