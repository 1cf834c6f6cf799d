"""Projected gradient descent among possible records of a table (C-PGD: Simonetto et al., IJCAI 2022)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.ascent import GOALS
from amulet.evasion.attacks.constrained import ConstrainedAttack
from amulet.evasion.attacks.gradient import GradientAttack, SearchDtype
from amulet.evasion.attacks.pgd import EvasionPGD


class ConstrainedPGD(ConstrainedAttack, GradientAttack):
    """Gradient steps through points between records; each is judged at the possible record that is near it.

    Every record that it hands in could exist, as those of `TabularSearch`; the budgets are the same two. At each step
    numbers are rounded to whole ones, each one-hot group takes the category of its largest value, and columns of a
    relation that is broken go back to what they were (the repair of C-PGD: Simonetto et al., A Unified Framework for
    Adversarial Attack and Defense in Constrained Feature Space, IJCAI 2022; of CAPGD: Simonetto et al., NeurIPS 2024).
    The gradient is taken there; the steps themselves are not rounded, else whole numbers would never leave their place.
    With a budget of 0 nothing changes.

    Args:
        batch_size: how many records are attacked at once; None: at most 8,192.
        epsilon: how far a number may move, as a share of its range in the training data, [0, 1]. None: the budget of a
            defence against evasion if one is under assessment, else 0.03.
        categories: how many one-hot groups may have another category; None: all.
        steps: gradient steps.
        rel_step_size: the length of a step as a share of epsilon; of one-hot columns as a share of 1.
        random_start: start at random in the ball instead of at the record.
        restarts: the number of searches; a record that withstood one is attacked again.
        labels: true: the true ones; `predicted`: the model's own answers.
        loss: what is raised: `margin` or `cross_entropy`.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        constraints: what holds for every possible record beside what the data set states: `low <= high`,
            `2 * a + b <= 10`, `total == part + rest`, `age rises`, `age falls`, `age fixed`; in the columns' own units.
        search_dtype: `auto` takes bfloat16 where the processor is faster with it; or `float32`, `bfloat16`.
        compare: also attack without these constraints, with the same budget: `unconstrained.robust_accuracy`.
        epsilon_curve: other budgets at which robust accuracy is reported too.
        median_distance: report the smallest budget at which half of the records that are answered correctly fall.
    """

    needs = Access.LOGITS | Access.QUERIES | Access.GRADIENTS
    hint = "Use attack=tabular_search, or raise attack.restarts"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        categories: int | None = 1,
        steps: int = 40,
        rel_step_size: float = 0.1,
        random_start: bool = True,
        restarts: int = 5,
        labels: Literal[True, "predicted"] = True,
        loss: Literal["cross_entropy", "margin"] = "margin",
        immutable: list[str] | None = None,
        constraints: list[str] | None = None,
        search_dtype: SearchDtype = "auto",
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
        in_range("steps", steps, 1)
        in_range("rel_step_size", rel_step_size, above=0)
        in_range("restarts", restarts, 1)
        one_of("loss", loss, GOALS)
        one_of("search_dtype", search_dtype, ("auto", "float32", "bfloat16"))
        self.categories = categories
        self.steps = steps
        self.rel_step_size = rel_step_size
        self.random_start = random_start
        self.restarts = restarts
        self.loss = loss
        self.constraints = constraints
        self.compare = compare
        self.search_dtype: SearchDtype = search_dtype

    def unconstrained(self) -> EvasionPGD | None:
        """PGD with the same budget, which knows no categories and no whole numbers."""
        if not self.compare:
            return None
        settings = EvasionPGD().settings().keys() & self.settings().keys() - {"epsilon_curve", "median_distance"}
        return EvasionPGD(**{name: getattr(self, name) for name in settings})

    def goal(self, logits: Tensor, y: Tensor) -> Tensor:
        """`loss`."""
        return GOALS[self.loss](logits, y)
