"""A model that only answers, in the form in which the library asks every model."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.errors import AmuletError, DataError

SMALLEST = 1e-12
"""No probability is taken to be less: its logarithm would not be finite."""

Answer = Callable[[np.ndarray], np.ndarray]
"""Encoded inputs (n, columns), float32 in [0, 1] -> probabilities (n, classes)."""


class Answering(nn.Module):
    """A function from inputs to probabilities as a module without weights and without gradients.

    What it returns are log-probabilities: logits but for a constant of each record, which no softmax sees. They are
    clamped at log(1e-12).
    """

    def __init__(self, answer: Answer, num_classes: int) -> None:
        super().__init__()
        self.answer = answer
        self.num_classes = num_classes
        self.asked = 0
        """Records that it answered."""
        self.clamped = 0
        """How many of them had a probability that was clamped."""

    @property
    def clamped_share(self) -> float:
        """The share of its answers in which a probability was clamped; 0 before the first answer."""
        return self.clamped / self.asked if self.asked else 0.0

    def forward(self, x: Tensor) -> Tensor:
        """Log-probabilities (n, classes), float32.

        Raises:
            DataError: an answer of another shape, or no probabilities; it does not take these records.
        """
        try:
            given = np.asarray(self.answer(x.detach().cpu().numpy()), dtype=np.float64)
        except AmuletError:
            raise
        except Exception as error:  # an estimator may refuse its input in any way
            raise DataError(f"the model does not take these records: {type(error).__name__}: {error}") from error
        if given.shape != (len(x), self.num_classes):
            raise DataError(f"the model must answer {(len(x), self.num_classes)} probabilities, got {given.shape}")
        if not np.isfinite(given).all() or given.min(initial=0) < 0 or abs(given.sum(axis=1) - 1).max(initial=0) > 1e-3:
            raise DataError("the model must answer probabilities: in [0, 1], and 1 in sum for each record")
        self.asked += len(x)
        self.clamped += int((given < SMALLEST).any(axis=1).sum())
        return torch.from_numpy(np.log(np.maximum(given, SMALLEST))).float().to(x.device)
