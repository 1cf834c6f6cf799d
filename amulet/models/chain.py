"""Networks that are a chain of linear layers and ReLU: their input gradient without autograd."""

from collections.abc import Iterator
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.models.linearnet import LinearNet

# The operator that autograd uses for ReLU; comparing and multiplying takes five times as long.
_threshold_backward: Any = torch.ops.aten.threshold_backward


class Chain:
    """A snapshot of such a network in eval mode, computing in one dtype.

    For a small network autograd costs as much as a third of the arithmetic, and keeps each activation twice. Where
    only the gradient of the input is needed, many times in a row, the few matrix products can be called directly.
    """

    def __init__(self, layers: list[nn.Linear], dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.weights = [layer.weight.detach().to(dtype) for layer in layers]
        biases: list[Tensor | None] = [layer.bias for layer in layers]
        self.biases = [None if bias is None else bias.detach().to(dtype) for bias in biases]

    @classmethod
    def of(cls, model: nn.Module, x: Tensor, dtype: torch.dtype = torch.float32) -> Self | None:
        """The model as a chain for inputs like `x` (b, *shape); None if it is anything else, or if it has hooks."""
        layers: list[nn.Linear] = []
        flat, linear = x.dim() == 2, False  # does it take one dimension now, and is the last layer linear?
        for layer in _in_order(model):
            if layer is None or _watched(layer):
                return None
            if type(layer) is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
                flat = True
            elif type(layer) is nn.Linear and flat and not linear:
                layers.append(layer)
                linear = True
            elif type(layer) is nn.ReLU and linear:
                linear = False
            elif type(layer) not in (nn.Identity, nn.Dropout):
                return None
        return cls(layers, dtype) if linear else None

    @property
    def classes(self) -> int:
        """The number of logits."""
        return len(self.weights[-1])

    def gradient(self, x: Tensor, answers: Tensor) -> Tensor:
        """The gradient for inputs (b, *shape) of the cross-entropy with `answers`, or of the divergence from them.

        Both have the same derivative with respect to the logits: the model's probabilities minus `answers`.

        Args:
            x: inputs (b, *shape) float32.
            answers: probabilities (b, classes) float32; one-hot for labels.
        """
        with torch.no_grad():
            h, passed = x.flatten(1).to(self.dtype), list[Tensor]()
            for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
                h = F.linear(h, weight, bias).relu_()
                passed.append(h)
            logits = F.linear(h, self.weights[-1], self.biases[-1]).float()
            g = logits.softmax(dim=1).sub_(answers).to(self.dtype)
            for weight, h in zip(reversed(self.weights[1:]), reversed(passed), strict=True):
                g = g @ weight
                _threshold_backward.grad_input(g, h, 0, grad_input=g)
            return (g @ self.weights[0]).float().view_as(x)


def _in_order(model: nn.Module) -> Iterator[nn.Module | None]:
    """The layers that an input passes through in order; None for a module whose order is unknown."""
    if _watched(model):
        yield None
    elif type(model) is nn.Sequential:
        for child in model:
            yield from _in_order(child)
    elif type(model) is LinearNet:
        yield from _in_order(model.body)
        yield model.head
    else:
        yield None if list(model.children()) else model


def _watched(module: nn.Module) -> bool:
    """Would skipping its forward call be noticed?"""
    hooks = module._forward_hooks, module._forward_pre_hooks  # pyright: ignore[reportPrivateUsage]
    return any(hooks)
