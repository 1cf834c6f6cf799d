"""Search by the model's scores alone (Square Attack: Andriushchenko et al., ECCV 2020)."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.ascent import margin, unfinished
from amulet.evasion.attacks.balls import BALLS, Ball, Norm
from amulet.evasion.attacks.base import EvasionAttack

_HALVED_AT = 0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8  # of the queries: the paper's schedule of the share


class SquareAttack(EvasionAttack):
    """Random search by scores: a change of a random part of an input is kept if it raises the margin.

    It needs the logits and no gradient, so it finds what a model that hides its gradients hides from PGD (Square
    Attack: Andriushchenko et al., ECCV 2020). The part is a square of an image, in all channels; of any other input,
    random values, for the columns of a table have no neighbours. The change is always as long as the budget allows. In
    L2 it is rescaled as a whole, which is simpler than the paper's exchange of two windows.

    Args:
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        queries: how often the model is asked about each record.
        share: the share of an input that a step changes at first, (0, 1]; it is halved nine times.
        norm: `linf` or `l2`.
        labels: true: the true ones; `predicted`: the model's own answers.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
    """

    needs: ClassVar[Access] = Access.QUERIES | Access.LOGITS
    follows_gradients = False
    hint = "Raise attack.queries"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        queries: int = 1000,
        share: float = 0.8,
        norm: Norm = "linf",
        labels: Literal[True, "predicted"] = True,
        immutable: list[str] | None = None,
    ) -> None:
        super().__init__(model, test_loader, device)
        in_range("batch_size", batch_size, 1, optional=True)
        one_of("norm", norm, BALLS)
        in_range("epsilon", epsilon, 0, BALLS[norm].largest, optional=True)
        in_range("queries", queries, 1)
        in_range("share", share, above=0, high=1)
        one_of("labels", labels, (True, "predicted"))
        self.batch_size = batch_size
        self.epsilon = epsilon
        self.queries = queries
        self.share = share
        self.norm = norm
        self.labels = labels
        self.immutable = immutable

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch; a record that is wrong as it stands is left alone."""
        with torch.no_grad():
            answers = model(x).argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        found, held = x.clone(), (answers == y).nonzero().squeeze(1)
        if self.budget > 0 and len(held):
            ball = self.ball(x[held], mask)
            found[held] = by_scores(model, ball, y[held], generator, queries=self.queries, share=self.share)
        return found


def by_scores(
    model: nn.Module, ball: Ball, y: Tensor, generator: torch.Generator, *, queries: int, share: float = 0.8
) -> Tensor:
    """The inputs of the highest margin that `queries` random changes found, (b, *shape).

    Args:
        model: in eval mode.
        ball: the inputs to choose from.
        y: the labels (b,).
        generator: the random stream, on the device of the inputs.
        queries: how often the model is asked about each input.
        share: the share of an input that a change covers at first.
    """
    found, place = ball.x.clone(), torch.arange(len(y), device=y.device)
    latent = _start(ball, generator)
    best, highest = ball.x, torch.full((len(y),), float("-inf"), device=y.device)
    patience = 1 if y.device.type == "cpu" else 8  # looking costs a synchronisation there
    with torch.no_grad():
        for query in range(queries):
            going = unfinished(highest) if query % patience == 0 else None
            if going is not None:
                found[place] = best
                if not len(going):
                    return found
                place, y, latent, best, highest = (part[going] for part in (place, y, latent, best, highest))
                ball = ball.take(going)
            tried = latent if query == 0 else _change(latent, ball, share * _shrunk(query / queries), generator)
            point = _at(ball, tried)
            score = margin(model(point).float(), y)
            score = score.masked_fill(score > 0, float("inf"))
            better = (score > highest).view(-1, *[1] * (point.dim() - 1))
            highest = torch.maximum(score, highest)
            latent, best = torch.where(better, tried, latent), torch.where(better, point, best)
    found[place] = best
    return found


def _shrunk(progress: float) -> float:
    """The factor of the share after that part of the queries."""
    return 0.5 ** sum(progress >= at for at in _HALVED_AT)


def _at(ball: Ball, latent: Tensor) -> Tensor:
    """The input that lies in the direction of `latent` (b, *shape) as far as the budget allows."""
    direction = ball.direction(latent.clone() if ball.mask is None else latent * ball.mask)
    return ball.project(ball.x + ball.epsilon * direction)


def _start(ball: Ball, generator: torch.Generator) -> Tensor:
    """Vertical stripes of an image; of any other input random values."""
    shape = list(ball.x.shape)
    if len(shape) == 4:
        shape[2] = 1
    return torch.randn(shape, generator=generator, device=ball.x.device).expand_as(ball.x)


def _change(latent: Tensor, ball: Ball, share: float, generator: torch.Generator) -> Tensor:
    """`latent` with new random values in a random part: one for each channel of a square, or one for each column."""
    device, count = latent.device, len(latent)
    if latent.dim() == 4:
        height, width = latent.shape[2:]
        side = min(max(1, round((share * height * width) ** 0.5)), height, width)
        corner = torch.rand(2, count, 1, generator=generator, device=device)
        inside: list[Tensor] = []
        for size, drawn in zip((height, width), corner, strict=True):
            first = (drawn * (size - side + 1)).floor()
            along = torch.arange(size, device=device)
            inside.append((along >= first) & (along < first + side))
        where = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1)
        fresh = torch.randn(count, latent.shape[1], 1, 1, generator=generator, device=device)
        return torch.where(where, fresh, latent)
    drawn = torch.rand(latent.shape, generator=generator, device=device)
    free = latent[0].numel()
    if ball.mask is not None:
        drawn, free = drawn * ball.mask, max(1, int(ball.mask.count_nonzero()))
    chosen = max(1, round(share * free))
    least = drawn.flatten(1).topk(chosen, dim=1).values[:, -1].view(-1, *[1] * (latent.dim() - 1))
    return torch.where(drawn >= least, torch.randn(latent.shape, generator=generator, device=device), latent)
