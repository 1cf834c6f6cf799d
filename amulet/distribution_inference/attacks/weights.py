"""The ratio from a model's weights, whatever the order of its neurons."""

import torch
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.errors import IncompatibleError
from amulet.distribution_inference.attacks.population import Seen
from amulet.distribution_inference.attacks.regression import RatioRegression

_WIDTH = 32
_PLACES = 16  # positions of a kernel up to which each counts by itself; beyond, their mean


def _codes(*shape: int) -> Tensor:
    """Random numbers of variance 1 / (the size of what is multiplied), always the same for one shape."""
    generator = torch.Generator().manual_seed(len(shape) + sum(shape))
    return torch.randn(*shape, generator=generator, dtype=torch.float64) / shape[0] ** 0.5


def layers_of(model: nn.Module) -> list[tuple[Tensor, Tensor | None]]:
    """Weights (out, in, places) float64 and biases (out,) of the linear and convolutional layers, in their order."""
    found: list[tuple[Tensor, Tensor | None]] = []
    for layer in model.modules():
        weight = getattr(layer, "weight", None)
        if isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and isinstance(weight, Tensor):
            bias = None if layer.bias is None else layer.bias.detach().double().cpu()
            found.append((weight.detach().double().cpu().reshape(len(weight), weight.shape[1], -1), bias))
    return found


def summary(model: nn.Module) -> Tensor:
    """A model's weights as (d,) numbers that do not change with the order of its hidden neurons or channels.

    Each input value has a code. A neuron's code is made of those of the layer before, multiplied with its weights; a
    layer is summed up by the mean of its neurons' codes and of their positive parts. So neurons that change places
    change nothing, as in Ganju et al. (CCS 2018), Section 4.2. Where layers do not follow each other in their order, as
    with shortcuts, codes of other sizes are averaged.
    """
    parts: list[Tensor] = []
    layers = layers_of(model)
    inputs = layers[0][0].shape[1]
    codes = _codes(inputs, _WIDTH) * inputs**0.5
    for number, (weight, bias) in enumerate(layers):
        if weight.shape[1] % len(codes):
            codes = codes.mean(dim=0, keepdim=True)
        by_channel = weight.reshape(len(weight), len(codes), -1)  # of a flattened picture, a channel has several inputs
        if by_channel.shape[2] > _PLACES:
            by_channel = by_channel.mean(dim=2, keepdim=True)
        mixed = torch.einsum("ocp,cd->opd", by_channel, codes).flatten(1)
        mixed = mixed @ _codes(mixed.shape[1], _WIDTH)
        if bias is not None:
            mixed = mixed + bias.unsqueeze(1)
        last = number == len(layers) - 1
        parts += [mixed.flatten()] if last else [mixed.mean(dim=0), mixed.clamp_min(0).mean(dim=0)]
        codes = torch.cat([mixed, mixed.clamp_min(0)], dim=1) @ _codes(2 * _WIDTH, _WIDTH)
        codes = codes / codes.square().mean().sqrt().clamp_min(1e-12) if not last else codes
    return torch.cat(parts)


class WeightRegression(RatioRegression):
    """As `RatioRegression`, from the weights of models instead of their answers (paper: P4).

    A meta-classifier that does not depend on the order of neurons (Ganju et al., CCS 2018). What is learned there of a
    layer's neurons is drawn at random here, and the ratio regressed on it: tens of the adversary's models are too few
    to train a network on networks.
    """

    title = "regression of the ratio on weights"
    needs = Access.WEIGHTS | Access.TRAINING
    test = "weights"

    def inside(self, model: nn.Module) -> Tensor:
        """The `summary` of its weights."""
        if not layers_of(model):
            raise IncompatibleError("weight regression: the model has no linear or convolutional layer to read")
        return summary(model)

    def features(self, seen: Seen) -> Tensor:
        """What was read in the weights."""
        if seen.inside is None:
            raise ValueError("`seen` must have been looked at inside")
        return seen.inside
