"""Models whose answers are random, asked several times (expectation over transformation: Athalye et al., ICML 2018)."""

import torch
from torch import Tensor, nn

from amulet.evasion.attacks.ascent import margin


class Averaged(nn.Module):
    """The mean of the logits that a model gives in several calls; its gradient is the mean of theirs.

    Args:
        model: what is asked; it may draw once per call or once per input.
        draws: how often.
    """

    def __init__(self, model: nn.Module, draws: int) -> None:
        super().__init__()
        self.model, self.draws = model, draws

    def forward(self, x: Tensor) -> Tensor:
        """Logits (b, classes)."""
        total = self.model(x).float()
        for _ in range(self.draws - 1):
            total = total + self.model(x).float()
        return total / self.draws


def spread(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """By how much the margins of a random model are off: twice the mean difference of two answers to some inputs."""
    with torch.no_grad():
        first, second = (margin(model(x[:128]).float(), y[:128]) for _ in range(2))
    return 2 * (first - second).abs().mean().item()
