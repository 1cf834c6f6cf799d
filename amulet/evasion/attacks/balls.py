"""The inputs that an attack may choose from: those near a given one, by some norm, and within [0, 1]."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, Self

import torch
from torch import Tensor

Norm = Literal["linf", "l2"]


class Ball(ABC):
    """All inputs within `epsilon` of `x` that are in [0, 1]. A subclass says what near means, and how to move there.

    Args:
        x: inputs (b, *shape) in [0, 1].
        epsilon: how far from them.
        mask: 1 where an input may change, 0 elsewhere, of shape (*shape); None: everywhere.
    """

    largest: ClassVar[float | None] = None
    """The largest `epsilon` that makes sense; None: any."""

    def __init__(self, x: Tensor, epsilon: float, mask: Tensor | None = None) -> None:
        self.x, self.epsilon, self.mask = x, epsilon, mask

    @staticmethod
    @abstractmethod
    def length(change: Tensor) -> Tensor:
        """The norm of changes (b, *shape): (b,)."""

    @staticmethod
    @abstractmethod
    def whole(epsilon: float) -> float:
        """A budget of at least `epsilon` that reaches every input, or as good as every one."""

    @abstractmethod
    def noise(self, generator: torch.Generator) -> Tensor:
        """Random changes (b, *shape), uniform among those of at most `epsilon`."""

    @abstractmethod
    def direction(self, gradient: Tensor) -> Tensor:
        """The change of length 1 that raises most what has this gradient (b, *shape), which may be used up."""

    @abstractmethod
    def project(self, point: Tensor) -> Tensor:
        """The nearest inputs in the ball to points (b, *shape), which may be used up."""

    def take(self, index: Tensor) -> Self:
        """The balls around some of the inputs."""
        return type(self)(self.x[index], self.epsilon, self.mask)

    def draw(self, generator: torch.Generator) -> Tensor:
        """Random inputs of the ball, (b, *shape)."""
        change = self.noise(generator)
        if self.mask is not None:
            change = change * self.mask
        return (self.x + change).clamp_(0, 1)

    def allowed(self, gradient: Tensor) -> Tensor:
        """The change of length 1 that raises most among those that leave masked values alone; uses the gradient up."""
        return self.direction(gradient if self.mask is None else gradient * self.mask)

    def step(self, point: Tensor, gradient: Tensor, size: float) -> Tensor:
        """One step of steepest ascent and the projection back."""
        return self.project(torch.add(point, self.allowed(gradient), alpha=size))


class LinfBall(Ball):
    """No value changes by more than `epsilon`."""

    largest = 1.0

    def __init__(self, x: Tensor, epsilon: float, mask: Tensor | None = None) -> None:
        super().__init__(x, epsilon, mask)
        self.low, self.high = (x - epsilon).clamp_(0, 1), (x + epsilon).clamp_(0, 1)

    @staticmethod
    def length(change: Tensor) -> Tensor:
        """The largest change of a value."""
        return change.flatten(1).abs().amax(dim=1)

    @staticmethod
    def whole(epsilon: float) -> float:
        """1: any value may become any other."""
        return 1.0

    def noise(self, generator: torch.Generator) -> Tensor:
        """Uniform in the cube."""
        x = self.x
        drawn = torch.rand(x.shape, generator=generator, device=x.device, dtype=torch.float32)
        return (2 * drawn - 1) * self.epsilon

    def direction(self, gradient: Tensor) -> Tensor:
        """The signs."""
        return gradient.sign_()

    def project(self, point: Tensor) -> Tensor:
        """Each value clipped by itself."""
        return torch.clamp(point, self.low, self.high, out=point)


class L2Ball(Ball):
    """The Euclidean length of the change is at most `epsilon`."""

    @staticmethod
    def length(change: Tensor) -> Tensor:
        """The Euclidean length."""
        return change.flatten(1).norm(dim=1)

    @staticmethod
    def whole(epsilon: float) -> float:
        """Ten times what there is, at least 10."""
        return 10 * max(epsilon, 1.0)

    def noise(self, generator: torch.Generator) -> Tensor:
        """A random direction, and a radius by the volume within it."""
        x = self.x
        drawn = torch.randn(x.shape, generator=generator, device=x.device, dtype=torch.float32)
        radius = torch.rand(len(x), generator=generator, device=x.device) ** (1 / x[0].numel())
        return drawn / _lengths(drawn) * self.epsilon * radius.view(-1, *[1] * (x.dim() - 1))

    def direction(self, gradient: Tensor) -> Tensor:
        """The gradient at length 1."""
        return gradient / _lengths(gradient)

    def project(self, point: Tensor) -> Tensor:
        """Along the line to the input, then into [0, 1], which brings it nearer still."""
        change = point - self.x
        change = change * (self.epsilon / _lengths(change)).clamp_max(1)
        return (self.x + change).clamp_(0, 1)


BALLS: dict[str, type[Ball]] = {"linf": LinfBall, "l2": L2Ball}
"""By the name of the norm."""


def _lengths(change: Tensor) -> Tensor:
    """Euclidean lengths to divide by, (b, 1, ...)."""
    return change.flatten(1).norm(dim=1).clamp_min(1e-12).view(-1, *[1] * (change.dim() - 1))
