"""What looks at calibration, in the place of an attack; and an evasion attack, which belongs to a risk of Amulet's."""

from typing import Any

import torch
from torch import Tensor, nn

from amulet.core import Access, Attack
from amulet.core.errors import in_range
from amulet.datasets import Records
from amulet.evasion.attacks import EvasionAttack
from amulet_calibration.metrics import CalibrationEvidence


class Confidence(Attack):
    """How sure a model is of its answers, and how often it is right.

    Args:
        bins: of equal width, in which confidence and accuracy are compared.
    """

    risk = "calibration"

    def __init__(self, *, bins: int = 15) -> None:
        in_range("bins", bins, 1)
        self.bins = bins

    def look(self, logits: Tensor, records: Records) -> CalibrationEvidence:
        """The evidence in a model's logits (n, classes) of the records."""
        confidence, answers = logits.softmax(dim=1).max(dim=1)
        return CalibrationEvidence(ids=records.ids, confidence=confidence, correct=answers == records.y, bins=self.bins)


class RandomSigns(EvasionAttack):
    """Random corners of the budget's cube: no gradient is needed, so none can be hidden from it.

    Args:
        epsilon: the budget in units of the input, [0, 1]. None: that of the defence under assessment, else 0.03.
        tries: corners that are tried for each record.
    """

    needs = Access.LABELS | Access.QUERIES

    def __init__(self, *given: Any, epsilon: float | None = None, tries: int = 20) -> None:
        super().__init__(*given)
        in_range("epsilon", epsilon, 0, 1, optional=True)
        in_range("tries", tries, 1)
        self.epsilon = epsilon
        self.tries = tries

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """The first corner at which the answer is wrong, or the input itself."""
        found = x.clone()
        with torch.no_grad():
            right = model(x).argmax(dim=1) == y
            for _ in range(self.tries):
                sign = 2.0 * torch.randint(0, 2, x.shape, generator=generator, device=x.device) - 1
                corner = (x + self.budget * (sign if mask is None else sign * mask)).clamp(0, 1)
                turned = right & (model(corner).argmax(dim=1) != y)
                found[turned], right = corner[turned], right & ~turned
        return found
