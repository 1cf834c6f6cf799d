"""Changes of training inputs that the adversary computes with its surrogate: harder to learn, or to move weights."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from amulet.models.inspect import batch_size_for, device_of, evaluating, frozen


def harder(model: nn.Module, x: Tensor, y: Tensor, epsilon: float, steps: int, where: Tensor) -> Tensor:
    """Inputs near `x` that the model gives another label than `y`, as far as it goes: projected gradient ascent.

    Args:
        model: the surrogate.
        x: (n, *shape) floats in [0, 1].
        y: (n,) labels.
        epsilon: the most by which a value changes.
        steps: how many steps, each of 2.5 epsilon / steps.
        where: (*shape) 1 where inputs may change, else 0.
    """
    device = device_of(model)
    made: list[Tensor] = []
    with evaluating(model), frozen(model):
        for inputs, classes in zip(*(part.split(batch_size_for(x.shape[1:])) for part in (x, y)), strict=True):
            first, labels = inputs.to(device), classes.to(device)
            reach = epsilon * where.to(device)
            low, high = (first - reach).clamp(min=0), (first + reach).clamp(max=1)
            point = first
            for _ in range(steps):
                point = point.detach().requires_grad_()
                (gradient,) = torch.autograd.grad(F.cross_entropy(model(point), labels, reduction="sum"), point)
                point = (point.detach() + 2.5 * epsilon / steps * gradient.sign()).clamp(low, high)
            made.append(point.detach().to(x.device))
    return torch.cat(made)


def matching(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    target: Tensor,
    wanted: Tensor,
    *,
    epsilon: float,
    steps: int,
    where: Tensor,
    start: Tensor,
) -> tuple[Tensor, float]:
    """Inputs near `x` whose gradient of the weights points as that of the target under the wanted label.

    Minimises 1 - cos(grad L(target, wanted), grad of the mean of L(x + change, y)) (Geiping et al., 2021, equation 3)
    by signed Adam, whose step falls to a tenth after 3/8, 5/8 and 7/8 of the steps; the best iterate counts.

    Args:
        model: the surrogate, in eval mode.
        x: (n, *shape) floats in [0, 1].
        y: (n,) their labels, which stay.
        target: (1, *shape) the target.
        wanted: (1,) the label it is to get.
        epsilon: the most by which a value changes.
        steps: how many steps, the first of epsilon / 10.
        where: (*shape) 1 where inputs may change, else 0.
        start: (n, *shape) in [-1, 1]: the first change as a share of epsilon.

    Returns:
        The inputs, and 1 - cos of the best iterate, [0, 2].
    """
    device = device_of(model)
    x, y, target, wanted, where = (part.to(device) for part in (x, y, target, wanted, where))
    state = {name: value.detach() for name, value in model.state_dict().items()}
    weights = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters() if p.requires_grad}
    change = (start.to(device) * epsilon * where).requires_grad_()
    optimizer = torch.optim.Adam([change], lr=epsilon / 10)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [steps * part // 8 for part in (3, 5, 7)])
    best, least = change.detach().clone(), float("inf")
    losses: list[Tensor] = []

    def slope(inputs: Tensor, labels: Tensor, *, again: bool) -> list[Tensor]:
        loss = F.cross_entropy(functional_call(model, {**state, **weights}, (inputs,)), labels)
        return list(torch.autograd.grad(loss, list(weights.values()), create_graph=again, materialize_grads=True))

    with evaluating(model):
        aims = slope(target, wanted, again=False)
        length = _dot(aims, aims).sqrt()
        for _ in range(steps):
            mine = slope(x + change, y, again=True)
            loss = 1 - _dot(aims, mine) / (length * _dot(mine, mine).sqrt() + 1e-12)
            (change.grad,) = torch.autograd.grad(loss, change)
            change.grad.sign_().mul_(where)
            losses.append(loss.detach())
            better = losses[-1] < least
            best, least = torch.where(better, change.detach(), best), torch.where(better, losses[-1], least)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                change.copy_((x + change.clamp(-epsilon, epsilon)).clamp(0, 1) - x)
    return (x + best).clamp(0, 1).cpu(), float(least)


def _dot(some: list[Tensor], others: list[Tensor]) -> Tensor:
    return torch.stack([(one * other).sum() for one, other in zip(some, others, strict=True)]).sum()
