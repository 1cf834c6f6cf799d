"""What a defence can change inside the one training loop."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from amulet.datasets.records import Records

if TYPE_CHECKING:
    from amulet.training.loop import Training


class Loss(NamedTuple):
    """A batch's losses."""

    values: Tensor
    """(b,): one loss for each record, so that a hook can weight or clip records individually."""
    logits: Tensor
    """(b, classes): the model's answers on the original batch."""


LossFunction = Callable[[Records], Loss]


class Hook:
    """Override what the defence needs; the defaults change nothing. Hooks wrap each other in the recipe's order.

    `training` gives the model, the optimizer, the records, this hook's random stream and the epoch.
    """

    updates: int = 1
    """Optimizer updates per batch; `training.update` says which one it is."""

    def start(self, training: Training) -> None:
        """Called before the first epoch: the model and the optimizer exist, nothing has been trained."""

    def batches(self, training: Training, generator: torch.Generator) -> Iterator[Tensor] | None:
        """One epoch's batches as positions of records, or None for shuffled batches of equal size."""
        return None

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        """The losses of a batch. `inner` computes them without this hook; call it on the batch to train on."""
        return inner(batch)

    def backward(self, training: Training, batch: Records, loss: LossFunction) -> Loss | None:
        """Compute the gradients and return the losses; return None to leave this to the loop (mean loss, `backward()`).

        At most one hook of a recipe may do this. `loss` includes all hooks.
        """
        return None

    def epoch_end(self, training: Training) -> None:
        """Called after each epoch."""

    def finish(self, training: Training) -> dict[str, Any]:
        """Called after the last epoch; returns entries for the training report, as JSON."""
        return {}
