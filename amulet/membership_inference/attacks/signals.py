"""Signals from a model's answer to a record about whether it was trained on the record."""

import numpy as np
import torch
from torch import Tensor

from amulet.core.errors import Diverged


def membership_signal(logits: Tensor, y: Tensor) -> np.ndarray:
    """The logit-scaled confidence log(p_y / (1 - p_y)) of each record, (n,) float64; higher: better fitted.

    Computed as the true logit minus the logsumexp of the others (Carlini et al., S&P 2022; the stable form), so that
    it is finite however confident the model is, also where p_y rounds to 1.

    Args:
        logits: (n, classes) with at least two classes.
        y: labels (n,).

    Raises:
        Diverged: a logit is not finite.

    >>> membership_signal(torch.tensor([[200.0, 0.0], [0.0, 200.0]]), torch.tensor([0, 0])).tolist()
    [200.0, -200.0]
    """
    if not torch.isfinite(logits).all():
        raise Diverged(
            "a model under membership inference answers with logits that are not finite; lower `optimizer.lr`"
        )
    wide, place = logits.double(), y.unsqueeze(1)
    true = wide.gather(1, place).squeeze(1)
    others = wide.scatter(1, place, float("-inf")).logsumexp(dim=1)
    return (true - others).numpy()


def log_confidence(signal: np.ndarray) -> np.ndarray:
    """log p_y, the negative of the cross-entropy, from the signal.

    >>> log_confidence(np.array([0.0])).round(4).tolist()
    [-0.6931]
    """
    return -np.logaddexp(0, -signal)
