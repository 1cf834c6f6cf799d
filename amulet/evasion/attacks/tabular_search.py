"""A search for possible records of a table, by the model's answers alone (Kireev et al., NDSS 2023)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.constrained import ConstrainedAttack
from amulet.evasion.attacks.moves import by_labels, by_scores, moves_of
from amulet.evasion.attacks.square import SquareAttack

_CANDIDATES = 2**23  # values of the candidates of one round


class TabularSearch(ConstrainedAttack):
    """Greedy search among possible records, without gradients: for boosted trees and services as for networks.

    Every record that it hands in could exist: one-hot groups have one category, whole numbers are whole, and what the
    data set and `constraints` state of columns holds (Kireev et al., Adversarial Robustness for Tabular Data through
    Cost and Utility Awareness, NDSS 2023; Simonetto et al., TabularBench, NeurIPS 2024). A number may move by
    `epsilon` of its range, and `categories` one-hot groups may have another category: two budgets, for a category has
    no distance.

    By scores, each round asks about every single change of a record (a number to some value of its range, a category),
    then about all changes together that help, and takes the best; where nothing helps it begins again at random. By
    labels, changes are drawn at random, half of them as they turned other records of the same label.

    Args:
        batch_size: how many records are attacked at once; None: at most 8,192.
        epsilon: how far a number may move, as a share of its range in the training data, [0, 1]. None: the budget of a
            defence against evasion if one is under assessment, else 0.03.
        categories: how many one-hot groups may have another category; None: all.
        answers: what it asks the model for: `probabilities`, or `labels` alone.
        queries: how often the model is asked about each record, at most.
        levels: how many values of a number are tried, from the least to the greatest that it may have; at least 2.
        labels: true: the true ones; `predicted`: the model's own answers.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        constraints: what holds for every possible record beside what the data set states: `low <= high`,
            `2 * a + b <= 10`, `total == part + rest`, `age rises`, `age falls`, `age fixed`; in the columns' own units.
        compare: also attack without these constraints, with the same budget: `unconstrained.robust_accuracy`.
        epsilon_curve: other budgets at which robust accuracy is reported too.
        median_distance: report the smallest budget at which half of the records that are answered correctly fall.
    """

    needs = Access.PROBABILITIES | Access.QUERIES
    hint = "Raise attack.queries or attack.levels"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        categories: int | None = 1,
        answers: Literal["probabilities", "labels"] = "probabilities",
        queries: int = 1000,
        levels: int = 3,
        labels: Literal[True, "predicted"] = True,
        immutable: list[str] | None = None,
        constraints: list[str] | None = None,
        compare: bool = False,
        epsilon_curve: list[float] | None = None,
        median_distance: bool = False,
    ) -> None:
        super().__init__(model, test_loader, device)
        self.settle(
            batch_size=batch_size,
            epsilon=epsilon,
            norm="linf",
            labels=labels,
            immutable=immutable,
            epsilon_curve=epsilon_curve,
            median_distance=median_distance,
        )
        in_range("categories", categories, 0, optional=True)
        one_of("answers", answers, ("probabilities", "labels"))
        in_range("queries", queries, 1)
        in_range("levels", levels, 2)
        self.categories = categories
        self.answers = answers
        self.queries = queries
        self.levels = levels
        self.constraints = constraints
        self.compare = compare
        if answers == "labels":
            self.needs = Access.LABELS | Access.QUERIES

    def unconstrained(self) -> SquareAttack | None:
        """Square with the same budget, which knows no categories and no whole numbers."""
        if not self.compare:
            return None
        return SquareAttack(epsilon=self.budget, queries=self.queries, labels=self.labels, immutable=self.immutable)

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Possible records for one batch; one that is wrong as it stands is left alone."""
        with torch.no_grad():
            answers = model(x).argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        found, held = x.clone(), (answers == y).nonzero().squeeze(1)
        self.queried += len(x)
        if not len(held) or (self.budget == 0 and self.categories == 0):
            return found
        whole = self.ball(x[held], mask)
        search = by_scores if self.answers == "probabilities" else by_labels
        values = max(1, moves_of(whole, self.levels).touched.numel())
        size = len(held) if search is by_labels else max(64, _CANDIDATES // values)
        for part in torch.arange(len(held), device=x.device).split(size):
            index = held[part]
            found[index], asked = search(
                model, whole.take(part), y[index], generator, queries=self.queries, levels=self.levels
            )
            self.queried += asked
        return found
