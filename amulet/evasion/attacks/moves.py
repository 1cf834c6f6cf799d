"""Search without gradients among the possible records of a table: by scores step by step, by labels at random."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from amulet.evasion.attacks.ascent import margin
from amulet.evasion.attacks.constrained import PossibleBall

_INPUTS = 2**22  # values of candidates at once
_DRAWS = 2048  # by labels, at once
_EXPLORED = 0.5  # the share of the draws by labels that nothing has taught


class Moves(NamedTuple):
    """Single changes: of a number to some value of its range, of a category, of two categories that a relation ties."""

    touched: Tensor
    """(m, f) bool: what a move sets."""
    shares: Tensor
    """(m, f) to which value: as a share of the column's range."""
    variable: Tensor
    """(m,) which column or group; negative: several."""


def moves_of(ball: PossibleBall, levels: int) -> Moves:
    """All single moves in a ball.

    Args:
        ball: of records (b, f).
        levels: how many values of a column of numbers are tried, from the least to the greatest; at least 2.
    """
    limits, width = ball.limits, ball.x.shape[1]
    fixed = limits.fixed(ball.mask).tolist()
    columns = torch.eye(width, dtype=torch.bool)
    touched, shares, variable = list[Tensor](), list[Tensor](), list[int]()
    single = [(column, column + 1) for column in limits.numeric.nonzero().squeeze(1).tolist() if not fixed[column]]
    for column, _ in single:
        for level in range(levels):
            touched.append(columns[column])
            shares.append(columns[column] * (level / (levels - 1)))
            variable.append(column)
    groups = [group for group in limits.groups if not fixed[group[0]]] if ball.categories != 0 else []
    inside = {group: columns[group[0] : group[1]].any(dim=0) for group in groups}
    for group in groups:
        for column in range(*group):
            touched.append(inside[group])
            shares.append(columns[column].float())
            variable.append(group[0])
    tied = limits.weights.cpu() != 0
    for place, first in enumerate(groups):
        for second in groups[place + 1 :] if ball.categories is None or ball.categories > 1 else []:
            if (tied[:, slice(*first)].any(dim=1) & tied[:, slice(*second)].any(dim=1)).any():
                for one in range(*first):
                    for other in range(*second):
                        touched.append(inside[first] | inside[second])
                        shares.append((columns[one] | columns[other]).float())
                        variable.append(-1)
    if not touched:
        return Moves(columns[:0].to(ball.x.device), ball.x[:0].clone(), torch.empty(0, dtype=torch.int64))
    device = ball.x.device
    return Moves(torch.stack(touched).to(device), torch.stack(shares).to(device), torch.tensor(variable, device=device))


def by_scores(
    model: nn.Module, ball: PossibleBall, y: Tensor, generator: torch.Generator, *, queries: int, levels: int
) -> tuple[Tensor, int]:
    """The possible records of the highest margin that a greedy search finds, (b, f), and how many answers it asked for.

    Each round tries every single move from where a record is, then all moves together that help, and takes the best.
    Where no move helps, the record begins again at random. A record that the model gets wrong is done.

    Args:
        model: in eval mode; only the order of its margins is used.
        ball: the records to choose from.
        y: their labels (b,).
        generator: the random stream, on the device of the inputs.
        queries: how many answers about each record.
        levels: how many values of a column of numbers are tried.
    """
    moves, asked = moves_of(ball, levels), 0
    found, place = ball.x.clone(), torch.arange(len(y), device=y.device)
    height = _margins(model, ball.x, y)  # the caller knows that these are answered correctly
    now = _Search(ball.x, height, ball.x, height, torch.full((len(y),), queries, device=y.device))
    while len(place) and len(moves.variable):
        now = _round(model, ball, y, now, moves, generator)
        going = ((now.highest <= 0) & (now.left > 0)).nonzero().squeeze(1)
        if len(going) < len(place):
            found[place], spent = now.best, queries - now.left
            asked += int(spent.sum()) - int(spent[going].sum())
            place, y, now, ball = place[going], y[going], now.take(going), ball.take(going)
    found[place] = now.best
    return found, asked


def by_labels(
    model: nn.Module, ball: PossibleBall, y: Tensor, generator: torch.Generator, *, queries: int, levels: int
) -> tuple[Tensor, int]:
    """Possible records that the model gets wrong, (b, f), and how many answers that took; else the records themselves.

    Draws at random. Half of the draws follow what turned other records of the same label so far.

    Args:
        model: in eval mode; only its classes are used.
        ball: the records to choose from.
        y: their labels (b,).
        generator: the random stream, on the device of the inputs.
        queries: how many answers about each record.
        levels: how many values of a column of numbers are tried.
    """
    found, place, asked = ball.x.clone(), torch.arange(len(y), device=y.device), 0
    moves = moves_of(ball, levels)
    variables = moves.variable[moves.variable >= 0].unique().tolist()
    if not variables:
        return found, 0
    classes = int(y.max()) + 1
    # For each variable the moves that set it, and one more that leaves it as it is; counted by label.
    options = [(moves.variable == variable).nonzero().squeeze(1) for variable in variables]
    counts = [torch.ones(classes, len(own) + 1, device=y.device) for own in options]
    numeric, left = ball.limits.numeric.tolist(), queries
    while left and len(place):
        each = min(left, max(1, _DRAWS // len(place)))  # several draws about each record at once, where there are few
        owner = torch.arange(len(place), device=y.device).repeat_interleave(each)
        around, label = ball.take(owner), y[owner]
        free = torch.rand(len(owner), generator=generator, device=y.device) < _EXPLORED
        share = torch.rand(len(owner), len(variables), generator=generator, device=y.device)
        chosen, point, span = list[Tensor](), around.x, around.high - around.low
        for number, (variable, own, count) in enumerate(zip(variables, options, counts, strict=True)):
            weights = torch.where(free.unsqueeze(1), 1.0, count[label])
            pick = torch.multinomial(weights, 1, generator=generator).squeeze(1)
            chosen.append(pick)
            move = own[pick.clamp_max(len(own) - 1)]
            value = around.low + moves.shares[move] * span
            if not numeric[variable]:  # which groups change is drawn too, where only some may
                value = value * (0.5 + share[:, number]).unsqueeze(1)
            set_here = moves.touched[move] & (pick < len(own)).unsqueeze(1)
            point = torch.where(set_here, value, point)
        tried = around.at(point)
        asked, left = asked + len(owner), left - each
        with torch.no_grad():
            fell = model(tried).argmax(dim=1) != label
        if fell.any():
            found[place[owner[fell]]] = tried[fell]  # any of them
            for count, pick in zip(counts, chosen, strict=True):
                count.index_put_((label[fell], pick[fell]), torch.ones_like(count[0, pick[fell]]), accumulate=True)
            going = (~fell.view(-1, each).any(dim=1)).nonzero().squeeze(1)
            place, y, ball = place[going], y[going], ball.take(going)
    return found, asked


class _Search(NamedTuple):
    """How far the search by scores is with the records that it has not turned."""

    current: Tensor
    """(b, f) where they are."""
    height: Tensor
    """(b,) the margins there."""
    best: Tensor
    """(b, f) the highest so far."""
    highest: Tensor
    """(b,) the margins there."""
    left: Tensor
    """(b,) how many answers may be asked for yet."""

    def take(self, rows: Tensor) -> "_Search":
        """Some of the records."""
        return _Search(*(part[rows] for part in self))

    def seen(self, point: Tensor, height: Tensor) -> "_Search":
        """With what was found at other points (b, f) as the best, where it is higher."""
        better = height > self.highest
        best = torch.where(better.unsqueeze(1), point, self.best)
        return self._replace(best=best, highest=torch.where(better, height, self.highest))


def _round(
    model: nn.Module, ball: PossibleBall, y: Tensor, now: _Search, moves: Moves, generator: torch.Generator
) -> _Search:
    """One round for all records: a step to the best move, or to all moves that help; a new start where none does."""
    tried = _candidates(ball, now.current, moves)
    use = _usable(ball, tried, now.current, moves) & _affordable(now.left, tried.shape[1], generator)
    score = torch.full(use.shape, float("-inf"), device=y.device)
    score[use] = _margins(model, tried[use], y.repeat_interleave(use.sum(dim=1)))
    left = now.left - use.sum(dim=1)
    joint = _together(ball, tried, score - now.height.unsqueeze(1), now.current, moves)
    ask = (score.amax(dim=1) <= 0) & (joint != now.current).any(dim=1) & (left > 0)
    jointly = torch.full_like(now.height, float("-inf"))
    jointly[ask] = _margins(model, joint[ask], y[ask])
    left = left - ask.long()
    step = tried[torch.arange(len(y), device=y.device), score.argmax(dim=1)]
    step = torch.where((jointly > score.amax(dim=1)).unsqueeze(1), joint, step)
    reached = torch.maximum(score.amax(dim=1), jointly)
    now, stuck = now.seen(step, reached), reached <= now.height
    again = stuck & (now.highest <= 0) & (left > 0)
    current = torch.where(stuck.unsqueeze(1), now.current, step)
    height = torch.where(stuck, now.height, reached)
    if again.any():
        current = torch.where(again.unsqueeze(1), ball.at(ball.draw(generator)), current)
        height[again] = _margins(model, current[again], y[again])
    return now._replace(current=current, height=height, left=left - again.long()).seen(current, height)


def _margins(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The margins (q,) of inputs (q, f), in portions; above 0 where the model is wrong."""
    size, parts = max(1, _INPUTS // max(x.shape[1], 1)), [torch.empty(0, device=x.device)]
    with torch.no_grad():
        for start in range(0, len(x), size):
            part = slice(start, start + size)
            logits = model(x[part]).float()
            wrong = logits.argmax(dim=1) != y[part]
            # Equal logits are answered by the first class: what counts is the answer.
            parts.append(margin(logits, y[part]).clamp_max(0).masked_fill(wrong, float("inf")))
    return torch.cat(parts)


def _candidates(ball: PossibleBall, current: Tensor, moves: Moves) -> Tensor:
    """What each move makes of where the records are, (b, m, f)."""
    low, span = ball.low.unsqueeze(1), (ball.high - ball.low).unsqueeze(1)
    value = ball.limits.whole(low + moves.shares * span)
    tried = torch.where(moves.touched, value, current.unsqueeze(1))
    if ball.limits.assigned:
        count, width = tried.shape[1], tried.shape[2]
        low, high = (part.repeat_interleave(count, dim=0) for part in (ball.low, ball.high))
        tried = ball.limits.settled(tried.reshape(-1, width), low, high).view(-1, count, width)
    return tried


def _usable(ball: PossibleBall, tried: Tensor, current: Tensor, moves: Moves) -> Tensor:
    """(b, m) bool: candidates that are possible and new."""
    count, width = tried.shape[1:]
    flat, origin = tried.reshape(-1, width), ball.x.repeat_interleave(count, dim=0)
    use = ~ball.limits.broken(flat, origin).any(dim=1)
    if ball.categories is not None:
        use &= ball.limits.changed_categories(flat, origin) <= ball.categories
    use = use.view(-1, count) & (tried != current.unsqueeze(1)).any(dim=2)
    use[:, 1:] &= (tried[:, 1:] != tried[:, :-1]).any(dim=2)  # whole numbers may round to the same
    return use


def _affordable(left: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """(b, m) bool: as many of the moves, at random, as there are queries left."""
    if bool((left >= count).all()):
        return torch.ones(len(left), count, dtype=torch.bool, device=left.device)
    order = torch.rand(len(left), count, generator=generator, device=left.device).argsort(dim=1).argsort(dim=1)
    return order < left.unsqueeze(1)


def _together(ball: PossibleBall, tried: Tensor, gain: Tensor, current: Tensor, moves: Moves) -> Tensor:
    """For each column and group its best move, if it helps, all at once: possible records (b, f)."""
    point, rows = current.clone(), torch.arange(len(current), device=current.device)
    for variable in moves.variable.unique().tolist():
        own = (moves.variable == variable).nonzero().squeeze(1)
        if variable < 0:
            continue
        most, which = gain[:, own].max(dim=1)
        move = own[which]
        gained = most.clamp(0, 1e6)
        # The most helpful groups first.
        weight = torch.where(ball.limits.numeric[variable], 1.0, 1 + gained / (1 + gained))
        value = tried[rows, move] * weight.unsqueeze(1)
        point = torch.where(moves.touched[move] & (most > 0).unsqueeze(1), value, point)
    return ball.at(point)
