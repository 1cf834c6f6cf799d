"""The nearest wrong answer by labels alone (HopSkipJump: Chen, Jordan and Wainwright, IEEE S&P 2020)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import in_range
from amulet.datasets.records import Records
from amulet.evasion.attacks.balls import BALLS, Ball, Norm
from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.decisions import approach


class HopSkipJump(EvasionAttack):
    """From a wrong answer far away along the boundary to a near one, by the model's classes alone.

    It needs no scores and no gradient (HopSkipJumpAttack: Chen, Jordan and Wainwright, IEEE S&P 2020). From a random
    input that is answered wrongly it goes, again and again, to the boundary by bisection, estimates there which way
    leads away from the right answer, by the classes of random neighbours, and takes a step that way. It looks for the
    smallest change, so it also says how far the nearest wrong answer is (`median_distance`). A record whose change is
    within the budget is done.

    Args:
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        queries: how often the model is asked about each record, at most.
        neighbours: how many answers the first estimate of a direction takes; the t-th takes sqrt(t) times as many.
        norm: `linf` or `l2`.
        labels: true: the true ones; `predicted`: the model's own answers.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        epsilon_curve: other budgets at which robust accuracy is reported too.
        median_distance: report the smallest change that turns half of the records that are answered correctly.
    """

    needs = Access.LABELS | Access.QUERIES
    hint = "Raise attack.queries"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        queries: int = 2500,
        neighbours: int = 100,
        norm: Norm = "linf",
        labels: Literal[True, "predicted"] = True,
        immutable: list[str] | None = None,
        epsilon_curve: list[float] | None = None,
        median_distance: bool = False,
    ) -> None:
        super().__init__(model, test_loader, device)
        self.settle(
            batch_size=batch_size,
            epsilon=epsilon,
            norm=norm,
            labels=labels,
            immutable=immutable,
            epsilon_curve=epsilon_curve,
            median_distance=median_distance,
        )
        in_range("queries", queries, 1)
        in_range("neighbours", neighbours, 1)
        self.queries = queries
        self.neighbours = neighbours

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch; a record that is wrong as it stands is left alone."""
        if self.budget == 0:
            return x.clone()
        found = self._approached(model, x, y, mask, generator, enough=self.budget)
        near = (self.distance(found, x) <= self.budget).view(-1, *[1] * (x.dim() - 1))
        return torch.where(near, found, x)

    def nearest(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """The nearest inputs that it finds the model wrong about, whatever the budget; else the records themselves."""
        return self._approached(model, x, y, mask, generator, enough=0.0)

    def _approached(
        self, model: nn.Module, x: Tensor, y: Tensor, mask: Tensor | None, generator: torch.Generator, enough: float
    ) -> Tensor:
        with torch.no_grad():
            answers = model(x).argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        found, held = x.clone(), (answers == y).nonzero().squeeze(1)
        self.queried += len(x)
        if len(held):
            ball: Ball = BALLS[self.norm](x[held], self.budget, mask)
            found[held], asked = approach(
                model,
                ball,
                y[held],
                generator,
                queries=self.queries,
                neighbours=self.neighbours,
                enough=enough,
                norm=self.norm,
            )
            self.queried += asked
        return found
