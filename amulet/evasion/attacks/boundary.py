"""The nearest wrong answer: steps to a model's linearised boundary (FAB: Croce and Hein, ICML 2020)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from amulet.evasion.attacks.ascent import unfinished
from amulet.evasion.attacks.balls import Ball


def onto_plane(ball: Ball, point: Tensor, slope: Tensor, rise: Tensor) -> Tensor:
    """The nearest inputs, in the ball's norm, at which a linear function has risen by so much; the budget is no limit.

    In both norms the nearest point lies along the ball's direction of steepest ascent, each value cut off at 0 or 1.
    How far along is found by sorting the lengths at which values reach these limits. Where the function cannot rise so
    far, the inputs where it is highest.

    Args:
        ball: of its norm and its mask.
        point: where the function starts, (b, *shape) in [0, 1].
        slope: the gradient of the function, (b, *shape).
        rise: by how much it is to rise (b,); less where it is negative.

    Returns:
        Inputs (b, *shape) in [0, 1].
    """
    sign = torch.where(rise < 0, -1.0, 1.0)
    slope = slope * sign.view(-1, *[1] * (point.dim() - 1))
    direction = ball.allowed(slope.clone())
    pace = direction.abs().flatten(1)
    gain = slope.abs().flatten(1) * pace  # per unit of length, as long as the value is not cut off
    room = torch.where(direction > 0, 1 - point, point).flatten(1)
    limit = torch.where(pace > 0, room / pace.clamp_min(1e-30), torch.zeros_like(room))
    limit, order = limit.sort(dim=1)
    gain = gain.gather(1, order)
    cut = (gain * limit).cumsum(dim=1)  # what the values that are cut off have gained
    free = gain.sum(dim=1, keepdim=True) - gain.cumsum(dim=1)
    reached = cut + limit * free  # at each limit
    first = torch.searchsorted(reached.contiguous(), rise.abs().unsqueeze(1))
    inside = first.clamp_max(limit.shape[1] - 1)
    before = (inside - 1).clamp_min(0)
    start, base = (torch.where(inside > 0, part.gather(1, before), 0) for part in (limit, reached))
    pace_left = torch.where(inside > 0, free.gather(1, before), gain.sum(dim=1, keepdim=True))
    length = start + (rise.abs().unsqueeze(1) - base) / pace_left.clamp_min(1e-30)
    length = length.clamp(max=limit.gather(1, inside))  # rounding
    length = torch.where(first < limit.shape[1], length, limit[:, -1:])
    return (point + length.view(-1, *[1] * (point.dim() - 1)) * direction).clamp_(0, 1)


def boundaries(model: nn.Module, point: Tensor, y: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each of some wrong classes the logit minus the true one (b, k), and its gradient (b, k, *shape).

    Args:
        model: frozen, in eval mode.
        point: inputs (b, *shape).
        y: labels (b,).
        others: wrong classes (b, k).
    """
    point = point.detach().requires_grad_()
    logits = model(point).float()
    differences = logits.gather(1, others) - logits.gather(1, y.unsqueeze(1))
    slopes: list[Tensor] = []
    for rank in range(others.shape[1]):
        if not differences.requires_grad:  # the model has no gradient
            slopes.append(torch.zeros_like(point))
            continue
        more = rank + 1 < others.shape[1]
        slopes += torch.autograd.grad(differences[:, rank].sum(), point, retain_graph=more)
    return differences.detach(), torch.stack(slopes, dim=1).detach()


def nearest(
    model: nn.Module,
    ball: Ball,
    y: Tensor,
    others: Tensor,
    *,
    start: Tensor,
    steps: int,
    most: float,
    beyond: float,
    back: float,
    enough: float,
) -> tuple[Tensor, Tensor]:
    """The nearest inputs that the model gets wrong, and their distances (b,): infinite where none was found.

    Args:
        model: frozen, in eval mode.
        ball: around the inputs, of the norm.
        y: labels (b,).
        others: the wrong classes whose boundaries are sought, (b, k); the nearest one is taken at each step.
        start: where to begin, (b, *shape).
        steps: how many.
        most: the largest weight of the point that is projected from the input (the paper's alpha_max).
        beyond: how far past the boundary a step goes (eta); 1 is onto it.
        back: how far towards the input one steps back from a wrong answer (beta).
        enough: a distance at which a record is done.
    """
    found, distances = ball.x.clone(), torch.full((len(y),), float("inf"), device=y.device)
    place, along = torch.arange(len(y), device=y.device), (-1, *[1] * (start.dim() - 1))
    point, best, closest = start, ball.x, distances
    patience = 1 if y.device.type == "cpu" else 8  # looking costs a synchronisation there
    for step in range(steps):
        done = torch.where(closest <= enough, float("inf"), 0.0)
        going = unfinished(done) if step % patience == 0 else None
        if going is not None:
            found[place], distances[place] = best, closest
            if not len(going):
                return found, distances
            state = (place, y, others, point, best, closest)
            place, y, others, point, best, closest = (part[going] for part in state)
            ball = ball.take(going)
        differences, slopes = boundaries(model, point, y, others)
        with torch.no_grad():
            missing, slope = _nearest_plane(ball, differences, slopes)
            from_point, from_input = _two(ball, point, slope, missing)
            one, two = (
                ball.length(end - at).clamp_min(1e-8) for end, at in ((from_point, point), (from_input, ball.x))
            )
            share = (one / (one + two)).clamp_max(most).view(along)
            ahead = point + beyond * (from_point - point)
            point = ((1 - share) * ahead + share * (ball.x + beyond * (from_input - ball.x))).clamp_(0, 1)
            wrong = model(point).argmax(dim=1) != y
            far = ball.length(point - ball.x)
            better = wrong & (far < closest)
            best = torch.where(better.view(along), point, best)
            closest = torch.where(better, far, closest)
            point = torch.where(wrong.view(along), ball.x + back * (point - ball.x), point)
    found[place], distances[place] = best, closest
    return found, distances


def _nearest_plane(ball: Ball, differences: Tensor, slopes: Tensor) -> tuple[Tensor, Tensor]:
    """What is missing to the nearest linearised boundary, (b,), and its gradient (b, *shape)."""
    count = differences.shape[1]
    if count == 1:
        return -differences[:, 0], slopes[:, 0]
    flat = slopes.flatten(0, 1)
    steepest = (flat * ball.allowed(flat.clone())).flatten(1).sum(dim=1).view(-1, count)  # the dual norm
    chosen = (differences.abs() / steepest.clamp_min(1e-12)).argmin(dim=1)
    rows = torch.arange(len(chosen), device=chosen.device)
    return -differences[rows, chosen], slopes[rows, chosen]


def _two(ball: Ball, point: Tensor, slope: Tensor, missing: Tensor) -> Sequence[Tensor]:
    """The plane's nearest inputs to the current points and to the original ones."""
    further = ((point - ball.x) * slope).flatten(1).sum(dim=1)
    points, rises = torch.cat([point, ball.x]), torch.cat([missing, missing + further])
    return onto_plane(ball, points, torch.cat([slope, slope]), rises).chunk(2)
