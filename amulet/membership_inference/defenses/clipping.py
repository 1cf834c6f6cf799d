"""Per-record clipped gradients of any model, without storing a gradient for every record where possible.

A unit is a module that has weights itself. Each time a unit is run while its weights need gradients, its input is kept,
and the node of its output in autograd's graph; one backward pass to these nodes then gives everything needed for
per-record gradients. A record's gradient is summed over all passes of the step, so the clean and the adversarial copy
of one record are clipped together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from amulet.core.errors import SettingError
from amulet.membership_inference.defenses.units import Pass, Unit, unit_of, units_of


class _Run(NamedTuple):
    unit: Unit
    activations: Tensor
    edge: GradientEdge


class Clipped(NamedTuple):
    """The result for one step's records."""

    gradients: list[Tensor]
    """For each trainable weight, in the order of `PerRecord.weights`: the sum of the clipped gradients."""
    norms: Tensor
    """(b,): the L2 norm of each record's gradient before clipping."""


class PerRecord:
    """Per-record gradients of a model.

    Args:
        model: in training mode; each record's output must depend on that record alone.

    Raises:
        SettingError: two of the model's modules share a weight.
    """

    def __init__(self, model: nn.Module) -> None:
        self.units = [unit_of(module) for module in units_of(model)]
        self.weights = [p for p in model.parameters() if p.requires_grad]
        owned = [id(p) for unit in self.units for p in unit.weights]
        if len(set(owned)) < len(owned):
            raise SettingError(
                f"`model`: modules of {type(model).__name__} share weights, which the norm of a record's gradient "
                "cannot take apart; give each its own"
            )

    @contextmanager
    def recording(self) -> Iterator[list[_Run]]:
        """Keep what passes through the units inside the block, except with frozen weights, as in an attack."""
        runs: list[_Run] = []
        handles = [unit.module.register_forward_hook(_keeper(unit, runs), with_kwargs=True) for unit in self.units]
        try:
            yield runs
        finally:
            for handle in handles:
                handle.remove()

    def clipped(self, losses: Tensor, runs: Sequence[_Run], max_norm: float | None) -> Clipped:
        """The sum over the records of their gradients, each scaled down to `max_norm` if it is longer.

        Args:
            losses: (b,) from inside `recording`; a record's gradient is that of its entry.
            runs: what `recording` kept.
            max_norm: C of Abadi et al. (CCS 2016), algorithm 1; None: no clipping.
        """
        backprops = gradients_at(losses.sum(), [run.edge for run in runs])
        passes: dict[int, list[Pass]] = {}
        for run, backprop in zip(runs, backprops, strict=True):
            if backprop is None:
                continue
            if len(run.activations) != len(losses):
                raise SettingError(
                    f"`model`: {type(run.unit.module).__name__} ran on {len(run.activations)} rows for a batch of "
                    f"{len(losses)}, so they cannot be told apart by record; give the model one row per record"
                )
            passes.setdefault(id(run.unit), []).append(Pass(run.activations, backprop))
        del backprops
        with torch.no_grad():
            squares = torch.zeros_like(losses, dtype=torch.float32)
            for unit in self.units:
                if id(unit) in passes:
                    squares += unit.squared_norms(passes[id(unit)])
            norms = squares.clamp_min_(0).sqrt_()
            # Like opacus' DPOptimizer, including the small constant.
            factors = torch.ones_like(norms) if max_norm is None else (max_norm / (norms + 1e-6)).clamp_(max=1)
            found: dict[int, Tensor] = {}
            for unit in self.units:
                if id(unit) in passes:
                    sums = unit.weighted_sum(passes[id(unit)], factors)
                    found |= {id(weight): total for weight, total in zip(unit.weights, sums, strict=True)}
        gradients = [found[id(w)] if id(w) in found else torch.zeros_like(w) for w in self.weights]
        return Clipped(gradients, norms)


def gradients_at(
    total: Tensor, places: Sequence[GradientEdge] | Sequence[Tensor], *, retain_graph: bool = False
) -> tuple[Tensor | None, ...]:
    """None for nodes on which `total` does not depend."""
    if not places:
        return ()
    return torch.autograd.grad(total, places, retain_graph=retain_graph, allow_unused=True)


def _keeper(unit: Unit, runs: list[_Run]) -> Any:
    def keep(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
        if not torch.is_grad_enabled() or not any(weight.requires_grad for weight in unit.weights):
            return
        if isinstance(module, nn.MultiheadAttention):
            inputs, named, output = (_attended(module, inputs, named),), {}, output[0]
        if named or len(inputs) != 1 or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
            raise SettingError(
                f"`model`: {type(module).__name__} has weights and takes or gives more than one tensor, for which "
                "per-record gradients are not known; build it from layers that take one and give one"
            )
        # The edge, not the tensor: an in-place activation after the unit would change the tensor's node.
        runs.append(_Run(unit, inputs[0].detach(), get_gradient_edge(output)))

    return keep


def _attended(module: nn.MultiheadAttention, inputs: tuple[Any, ...], named: dict[str, Any]) -> Tensor:
    """The sequence (b, t, dim) of self-attention; any other attention is refused."""
    names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
    given = {**dict(zip(names, inputs, strict=False)), **named}
    problems = {
        "attends to another sequence": any(given[name] is not given["query"] for name in ("key", "value")),
        "has a mask": any(given.get(name) is not None for name in ("key_padding_mask", "attn_mask")),
        "does not have the records first (batch_first)": not module.batch_first,
        "drops weights at random (dropout)": module.dropout > 0,
    }
    if found := [problem for problem, there in problems.items() if there]:
        raise SettingError(
            f"`model`: a {type(module).__name__} {' and '.join(found)}, for which per-record gradients are not known"
        )
    return given["query"]
