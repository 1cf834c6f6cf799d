"""Norms and weighted sums of per-record gradients, layer by layer."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.grad import conv2d_weight

from amulet.core.errors import SettingError

BUDGET = 2**25
"""Floats that a layer may hold at a time for per-record gradients (128 MiB)."""

Sampler = Callable[[Any, list[Tensor], Tensor], dict[nn.Parameter, Tensor]]


class Pass(NamedTuple):
    """One run of a unit on a batch."""

    activations: Tensor
    """(b, ...): its input."""
    backprops: Tensor
    """(b, ...): the gradient of its output."""

    def rows(self, part: slice) -> "Pass":
        """Some of the records."""
        return Pass(self.activations[part], self.backprops[part])


class Unit(ABC):
    """A module that has weights itself."""

    def __init__(self, module: nn.Module, weights: Sequence[nn.Parameter]) -> None:
        self.module = module
        self.weights = list(weights)

    @abstractmethod
    def squared_norms(self, passes: Sequence[Pass]) -> Tensor:
        """(b,): for each record, the squared norm of its gradient summed over all passes."""

    @abstractmethod
    def weighted_sum(self, passes: Sequence[Pass], factors: Tensor) -> list[Tensor]:
        """For each weight: the records' gradients times `factors` (b,), summed."""


class ProductUnit(Unit):
    """A layer that multiplies rows by its weight matrix at one or more positions per record: Linear, Conv2d.

    With rows a_t and backprops g_t at positions t of all passes, a record's gradient is sum_t g_t a_t', and its squared
    norm sum_{s,t} (g_s.g_t)(a_s.a_t) (Goodfellow, 2015; Bu et al., NeurIPS 2022): no gradient is formed where there are
    few positions.
    """

    module: nn.Linear | nn.Conv2d

    def squared_norms(self, passes: Sequence[Pass]) -> Tensor:
        weighty, biased = self._needed()
        if len(passes) == 1 and passes[0].activations.dim() == 2:  # the common case, without any reshaping
            a, g = passes[0].activations.float(), passes[0].backprops.float()
            return _squared(g).mul_(_squared(a).add_(biased)) if weighty else _squared(g).mul_(biased)
        n, (out, into) = len(passes[0].activations), (len(self.module.weight), self.module.weight[0].numel())
        positions = sum(each.backprops[0].numel() // out for each in passes)
        gram = positions**2 <= into * out
        held = positions * (into + out) + (2 * positions**2 if gram else into * out)
        parts: list[Tensor] = []
        for part in _parts(n, held):
            a, g = self._positions([each.rows(part) for each in passes])
            if gram:
                similar = a @ a.mT if weighty else a.new_zeros(len(a), positions, positions)
                parts.append(((g @ g.mT) * (similar + biased)).sum(dim=(1, 2)))
            else:
                norms = (g.mT @ a).square().sum(dim=(1, 2)) if weighty else a.new_zeros(len(a))
                parts.append(norms + biased * g.sum(dim=1).square().sum(dim=1))
        return torch.cat(parts)

    def weighted_sum(self, passes: Sequence[Pass], factors: Tensor) -> list[Tensor]:
        module = self.module
        weighty, biased = self._needed()
        weights, biases = list[Tensor](), list[Tensor]()
        for activations, backprops in passes:
            scaled = backprops.float() * factors.view(-1, *[1] * (backprops.dim() - 1))
            if isinstance(module, nn.Linear):
                rows = scaled.flatten(0, -2)
                weights += [rows.T @ activations.float().flatten(0, -2)] if weighty else []
                biases += [rows.sum(dim=0)] if biased else []
            else:
                place: Any = (module.stride, module.padding, module.dilation, module.groups)
                if weighty:
                    weights.append(conv2d_weight(activations.float(), module.weight.shape, scaled, *place))
                biases += [scaled.sum(dim=(0, 2, 3))] if biased else []
        return [_total(weights if parameter is module.weight else biases) for parameter in self.weights]

    def _needed(self) -> tuple[bool, bool]:
        return any(w is self.module.weight for w in self.weights), any(w is self.module.bias for w in self.weights)

    def _positions(self, passes: Sequence[Pass]) -> tuple[Tensor, Tensor]:
        """Rows (b, t, in) and backprops (b, t, out), the positions of all passes one after the other."""
        module, a, g = self.module, list[Tensor](), list[Tensor]()
        for entered, left in ((each.activations.float(), each.backprops.float()) for each in passes):
            if isinstance(module, nn.Linear):
                a.append(entered.reshape(len(entered), -1, entered.shape[-1]))
                g.append(left.reshape(len(left), -1, left.shape[-1]))
            else:
                unfolded = F.unfold(entered, module.kernel_size, module.dilation, module.padding, module.stride)  # type: ignore[arg-type]
                a.append(unfolded.mT)
                g.append(left.flatten(2).mT)
        return (a[0], g[0]) if len(a) == 1 else (torch.cat(a, dim=1), torch.cat(g, dim=1))


def _squared(rows: Tensor) -> Tensor:
    """(b,): of rows (b, k) the squared length."""
    return torch.linalg.vector_norm(rows, dim=1).square_()


def _total(parts: Sequence[Tensor]) -> Tensor:
    """Their sum, in the first one's memory."""
    for part in parts[1:]:
        parts[0].add_(part)
    return parts[0]


class SampledUnit(Unit):
    """Any other layer: a gradient for each record by opacus' sampler for its kind, or by `torch.func`; in parts."""

    def __init__(self, module: nn.Module, weights: Sequence[nn.Parameter], sampler: Sampler) -> None:
        super().__init__(module, weights)
        self.sampler = sampler

    def squared_norms(self, passes: Sequence[Pass]) -> Tensor:
        norms = [sum(g.flatten(1).square().sum(dim=1) for g in gradients) for _, gradients in self._sampled(passes)]
        return torch.cat(norms)  # type: ignore[arg-type]  # a sum of at least one tensor

    def weighted_sum(self, passes: Sequence[Pass], factors: Tensor) -> list[Tensor]:
        sums = [torch.zeros_like(weight) for weight in self.weights]
        for part, gradients in self._sampled(passes):
            for total, gradient in zip(sums, gradients, strict=True):
                total.add_(torch.einsum("b,b...->...", factors[part], gradient))
        return sums

    def _sampled(self, passes: Sequence[Pass]) -> Iterator[tuple[slice, list[Tensor]]]:
        rows = sum(activations[0].numel() + backprops[0].numel() for activations, backprops in passes)
        for part in _parts(len(passes[0].activations), rows + sum(weight.numel() for weight in self.weights)):
            totals: dict[int, Tensor] = {}
            for activations, backprops in (each.rows(part) for each in passes):
                plain = activations.float() if activations.is_floating_point() else activations
                for weight, gradient in self._gradients(plain, backprops.float()).items():
                    totals[id(weight)] = totals[id(weight)] + gradient if id(weight) in totals else gradient
            yield part, [totals[id(weight)] for weight in self.weights]

    def _gradients(self, activations: Tensor, backprops: Tensor) -> dict[nn.Parameter, Tensor]:
        try:
            return self.sampler(self.module, [activations], backprops)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # opacus' samplers and `torch.func` fail in many ways on what they do not support
            raise SettingError(
                f"`model`: the gradients of {type(self.module).__name__} cannot be had record by record ({error}); "
                "take another layer in its place"
            ) from error


def by_vmap(module: nn.Module, activations: list[Tensor], backprops: Tensor) -> dict[nn.Parameter, Tensor]:
    """A gradient for each record of a batch, by running the module again on each of them (`torch.func`)."""
    weights = {name: p.detach() for name, p in module.named_parameters() if p.requires_grad}
    rest = {name: p.detach() for name, p in module.named_parameters() if not p.requires_grad}
    attends = isinstance(module, nn.MultiheadAttention)

    def product(weights: dict[str, Tensor], a: Tensor, g: Tensor) -> Tensor:
        entered = (a.unsqueeze(0),) * (3 if attends else 1)
        output = torch.func.functional_call(module, {**rest, **weights}, entered)
        return ((output[0] if attends else output) * g.unsqueeze(0)).sum()

    with sdpa_kernel(SDPBackend.MATH):  # torch.func does not support fused attention
        gradients = torch.func.vmap(torch.func.grad(product), in_dims=(None, 0, 0), randomness="different")(
            weights, activations[0], backprops
        )
    return {p: gradients[name] for name, p in module.named_parameters() if p.requires_grad}


def _parts(n: int, each: int) -> Iterator[slice]:
    """Slices of `n` records that need `each` floats apiece, within `BUDGET`."""
    size = max(1, math.floor(BUDGET / max(each, 1)))
    for start in range(0, n, size):
        yield slice(start, start + size)


def units_of(model: nn.Module) -> Iterator[nn.Module]:
    """The outermost modules that have trainable weights themselves."""
    if any(p.requires_grad for p in model.parameters(recurse=False)):
        yield model
    else:
        for child in model.children():
            yield from units_of(child)


def unit_of(module: nn.Module) -> Unit:
    """How to get per-record gradients of a module: in closed form, by opacus, or by `torch.func`."""
    weights = [p for p in module.parameters() if p.requires_grad]
    plain_conv = (
        type(module) is nn.Conv2d
        and module.groups == 1
        and module.padding_mode == "zeros"
        and not isinstance(module.padding, str)
    )
    if type(module) is nn.Linear or plain_conv:
        return ProductUnit(module, weights)
    if getattr(module, "padding_mode", "zeros") != "zeros":  # opacus' sampler pads with zeros
        return SampledUnit(module, weights, by_vmap)
    from opacus.grad_sample import GradSampleModule

    return SampledUnit(module, weights, GradSampleModule.GRAD_SAMPLERS.get(type(module), by_vmap))
