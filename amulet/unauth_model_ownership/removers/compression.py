"""Removers that make the weights of a copy fewer or coarser."""

import torch
from torch import Tensor, nn

from amulet.core.errors import in_range
from amulet.unauth_model_ownership.removers.base import Remover, Thief


class Pruning(Remover):
    """Set the smallest weights of all matrices and kernels together to 0 (Han et al., NeurIPS 2015).

    Args:
        share: the share of the weights, (0, 1).
    """

    random = False

    def __init__(self, *, share: float = 0.5) -> None:
        in_range("share", share, above=0, below=1)
        self.share = share

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        _prune(model, self.share)
        return model


class FinePruning(Remover):
    """Prune the copy, then train it further (Liu et al., RAID 2018): what is lost is learned again, without the mark.

    Args:
        share: the share of the weights that are set to 0 at first, (0, 1); they may grow again.
        rate: the learning rate as a multiple of the recipe's, > 0.
    """

    def __init__(self, *, share: float = 0.8, rate: float = 1.0) -> None:
        in_range("share", share, above=0, below=1)
        in_range("rate", rate, above=0)
        self.share, self.rate = share, rate

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        _prune(model, self.share)
        return thief.tune(model, thief.half, self.rate)


def _prune(model: nn.Module, share: float) -> None:
    weights = [p for p in model.parameters() if p.dim() > 1]
    count = int(share * sum(p.numel() for p in weights))
    if count:
        with torch.no_grad():
            limit = torch.cat([p.abs().flatten() for p in weights]).kthvalue(count).values
            for weight in weights:
                weight.mul_(weight.abs() > limit)


class Quantising(Remover):
    """Round each matrix and kernel to 2^`bits` - 1 values, evenly spaced around 0 up to its largest weight.

    >>> layer = nn.Linear(3, 1)
    >>> _ = layer.weight.data.copy_(torch.tensor([[0.2, -1.0, 0.6]]))
    >>> with torch.no_grad():
    ...     quantised(layer.weight, 2)
    tensor([[ 0., -1.,  1.]])

    Args:
        bits: of each weight, 2 to 16.
    """

    random = False

    def __init__(self, *, bits: int = 4) -> None:
        in_range("bits", bits, 2, 16)
        self.bits = bits

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        with torch.no_grad():
            for weight in model.parameters():
                if weight.dim() > 1:
                    weight.copy_(quantised(weight, self.bits))
        return model


def quantised(weight: Tensor, bits: int) -> Tensor:
    """The weights at the nearest of 2^bits - 1 evenly spaced values."""
    step = weight.abs().amax().clamp_min(1e-30) / (2 ** (bits - 1) - 1)
    return (weight / step).round() * step
