"""An attack of your own: one step of the gradient's sign (FGSM, Goodfellow et al., ICLR 2015)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core.errors import in_range
from amulet.evasion.attacks import EvasionAttack


class FGSM(EvasionAttack):
    """One step of size epsilon along the sign of the gradient.

    Args:
        epsilon: the budget in units of the input, [0, 1]. None: that of the defence under assessment, else 0.03.
    """

    def __init__(self, *given: Any, epsilon: float | None = None, batch_size: int = 1024) -> None:
        super().__init__(*given)
        in_range("epsilon", epsilon, 0, 1, optional=True)
        in_range("batch_size", batch_size, 1)
        self.epsilon = epsilon
        self.batch_size = batch_size

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """The worse of the input and the point one step away, so that a wrong answer stays wrong."""
        point = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)
        step = gradient.sign() if mask is None else gradient.sign() * mask
        moved = (x + (0.03 if self.epsilon is None else self.epsilon) * step).clamp(0, 1)
        with torch.no_grad():
            right = model(x).argmax(dim=1) == y
        return torch.where(right.view(-1, *[1] * (x.dim() - 1)), moved, x)
