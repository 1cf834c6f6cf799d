"""What a reconstruction attack returns."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Reconstruction:
    """One reconstructed input for each class, in float32 on the CPU, and how the search for it went."""

    x: Tensor
    """(classes, *shape) in [0, 1]."""
    start: Tensor
    """(classes, *shape): the start of the search that found `x`."""
    first_loss: Tensor
    """(classes,): the class's loss at `start`, float64."""
    loss: Tensor
    """(classes,): the class's loss at `x`, float64; never above `first_loss` unless a prior was traded against it."""
    steps: int
    """The number of steps."""

    @property
    def moved(self) -> Tensor:
        """(classes,): root mean square of the change from `start` to `x`, in units of the input."""
        return (self.x - self.start).double().flatten(1).square().mean(dim=1).sqrt()
