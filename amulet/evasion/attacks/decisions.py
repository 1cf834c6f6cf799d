"""Along a decision boundary to the nearest wrong answer, by classes alone (Chen et al., IEEE S&P 2020, Algorithm 2)."""

import math

import torch
from torch import Tensor, nn

from amulet.evasion.attacks.balls import Ball

_VALUES = 2**22  # input values that are asked about at once
_STARTS, _RECORDS = 100, 20  # inputs among which a wrong answer is looked for; so many of them are other records


class _Asked:
    """A model that answers with right or wrong, and keeps count."""

    def __init__(self, model: nn.Module, y: Tensor, queries: int) -> None:
        self.model, self.y = model, y
        self.left = torch.full((len(y),), queries, device=y.device)

    def wrong(self, points: Tensor, index: Tensor) -> Tensor:
        """(q,) bool: is the model wrong about inputs (q, *shape), made of the records `index` (q,)?"""
        size, parts = max(1, _VALUES // max(1, points[0].numel() if len(points) else 1)), list[Tensor]()
        for start in range(0, len(points), size):
            part = slice(start, start + size)
            parts.append(self.model(points[part]).argmax(dim=1) != self.y[index[part]])
        self.left.index_add_(0, index, torch.full_like(index, -1))
        return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.bool, device=self.y.device)


def approach(
    model: nn.Module,
    ball: Ball,
    y: Tensor,
    generator: torch.Generator,
    *,
    queries: int,
    neighbours: int,
    enough: float,
    norm: str,
) -> tuple[Tensor, int]:
    """The nearest inputs that the search finds the model wrong about, (b, *shape), and how many answers it took.

    A record for which it finds none keeps its input.

    Args:
        model: in eval mode; only its classes are used.
        ball: around the inputs; its budget is not used, its mask and its norm are.
        y: the labels (b,), which the model answers to the inputs.
        generator: the random stream, on the device of the inputs.
        queries: how many answers about each record.
        neighbours: how many the first estimate of a direction takes.
        enough: a record whose change is at most this long is done.
        norm: that of the ball.
    """
    asked = _Asked(model, y, queries)
    with torch.no_grad():
        found, place = _starts(asked, ball, generator)
        size = ball.x[0].numel()
        # The paper's precision of a bisection: theta, of the whole way in L2, of the way's length in L-inf.
        theta = 1 / (math.sqrt(size) * size) if norm == "l2" else 1 / size**2
        best = found.clone()
        shortest = torch.where(torch.isin(torch.arange(len(y), device=y.device), place), ball.length(found - ball.x), 0)
        turn = 0
        while len(place):
            turn += 1
            part = ball.take(place)
            point = _to_boundary(asked, part, found[place], place, theta, norm)
            length = part.length(point - part.x)
            _keep(best, shortest, place, point, length)
            count = min(int(neighbours * math.sqrt(turn)), int(asked.left[place].max()) // 2)
            going = (length > enough) & (asked.left[place] >= max(count, 1))
            place, point, length = place[going], point[going], length[going]
            part = ball.take(place)
            if not len(place) or not count:
                break
            # The first estimate is made far from the record, so it looks farther around; then the paper's delta.
            around = torch.full_like(length, 0.1) if turn == 1 else length / size
            direction = _away(asked, part, point, place, around, count, generator, norm)
            found[place] = _stepped(asked, part, point, place, direction, length / math.sqrt(turn))
            _keep(best, shortest, place, found[place], part.length(found[place] - part.x))
    return best, int((queries - asked.left).sum())


def _keep(best: Tensor, shortest: Tensor, place: Tensor, point: Tensor, length: Tensor) -> None:
    """Note inputs that the model is wrong about, where they are nearer than what there was."""
    nearer = length < shortest[place]
    best[place[nearer]], shortest[place[nearer]] = point[nearer], length[nearer]


def _starts(asked: _Asked, ball: Ball, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Inputs that are answered wrongly, (b, *shape), and the positions of the records that have one.

    Other records of the batch first, then random inputs: on a table these may all have one answer.
    """
    x, device = ball.x, ball.x.device
    found, open_ = x.clone(), torch.arange(len(x), device=device)
    ready = torch.zeros_like(open_, dtype=torch.bool)
    for turn in range(_STARTS):
        open_ = open_[asked.left[open_] > 0]
        if not len(open_):
            break
        drawn = torch.rand(x[open_].shape, generator=generator, device=device)
        if turn < _RECORDS:
            drawn = x[torch.randint(0, len(x), (len(open_),), generator=generator, device=device)]
        drawn = drawn if ball.mask is None else torch.where(ball.mask > 0, drawn, x[open_])
        wrong = asked.wrong(drawn, open_)
        found[open_[wrong]], ready[open_[wrong]] = drawn[wrong], True
        open_ = open_[~wrong]
    return found, ready.nonzero().squeeze(1)


def _between(ball: Ball, point: Tensor, share: Tensor, norm: str) -> Tensor:
    """Inputs between the records and points that are answered wrongly: in L-inf at most that far, in L2 that share."""
    reach = share.view(-1, *[1] * (point.dim() - 1))
    if norm == "linf":
        return torch.maximum(torch.minimum(point, ball.x + reach), ball.x - reach)
    return ball.x + reach * (point - ball.x)


def _to_boundary(asked: _Asked, ball: Ball, point: Tensor, place: Tensor, theta: float, norm: str) -> Tensor:
    """By bisection to the nearest input on the way back that is still answered wrongly."""
    length = ball.length(point - ball.x)
    high = length if norm == "linf" else torch.ones_like(length)
    whole, low, precision = high.clone(), torch.zeros_like(high), (high * theta).clamp_max(theta)
    precision = precision.clamp_min(1e-6)  # float32 knows no more
    while True:
        open_ = ((high - low > precision) & (asked.left[place] > 0)).nonzero().squeeze(1)
        if not len(open_):
            nearer = (high < whole).view(-1, *[1] * (point.dim() - 1))
            return torch.where(nearer, _between(ball, point, high, norm), point)
        middle = (high[open_] + low[open_]) / 2
        wrong = asked.wrong(_between(ball.take(open_), point[open_], middle, norm), place[open_])
        high[open_], low[open_] = torch.where(wrong, middle, high[open_]), torch.where(wrong, low[open_], middle)


def _away(
    asked: _Asked,
    ball: Ball,
    point: Tensor,
    place: Tensor,
    around: Tensor,
    count: int,
    generator: torch.Generator,
    norm: str,
) -> Tensor:
    """The direction away from the right answer, from `count` neighbours of each point (equations 9 and 16)."""
    shape, along = point.shape, (-1, *[1] * (point.dim() - 1))
    total, weighted = torch.zeros_like(point), torch.zeros_like(point)
    hits = torch.zeros(len(point), device=point.device)
    step = max(1, _VALUES // max(1, point.numel()))
    for start in range(0, count, step):
        few = min(step, count - start)
        drawn = torch.randn(few, *shape, generator=generator, device=point.device)
        if norm == "linf":
            drawn = 2 * torch.rand(few, *shape, generator=generator, device=point.device) - 1
        drawn = drawn if ball.mask is None else drawn * ball.mask
        drawn = drawn / drawn.flatten(2).norm(dim=2).clamp_min(1e-12).view(few, *along)
        tried = (point + around.view(along) * drawn).clamp(0, 1)
        drawn = (tried - point) / around.view(along).clamp_min(1e-12)
        wrong = asked.wrong(tried.reshape(-1, *shape[1:]), place.repeat(few)).view(few, len(point))
        sign = 2.0 * wrong - 1
        total, hits = total + drawn.sum(dim=0), hits + sign.sum(dim=0)
        weighted = weighted + (sign.view(few, *along) * drawn).sum(dim=0)
    mean = hits / count
    # Where all neighbours have one answer there is nothing to subtract: the mean direction, or its opposite.
    mean = torch.where(mean.abs() == 1, 0.0, mean)
    gradient = weighted - mean.view(along) * total
    gradient = gradient if ball.mask is None else gradient * ball.mask
    return ball.direction(gradient)


def _stepped(asked: _Asked, ball: Ball, point: Tensor, place: Tensor, direction: Tensor, size: Tensor) -> Tensor:
    """One step; half as long again and again until the answer is wrong, else none."""
    found, along = point.clone(), (-1, *[1] * (point.dim() - 1))
    open_ = torch.arange(len(point), device=point.device)
    while len(open_ := open_[(asked.left[place[open_]] > 0) & (size[open_] > 1e-7)]):
        tried = (point[open_] + size[open_].view(along) * direction[open_]).clamp(0, 1)
        wrong = asked.wrong(tried, place[open_])
        found[open_[wrong]] = tried[wrong]
        open_ = open_[~wrong]
        size = size.index_put((open_,), size[open_] / 2)
    return found
