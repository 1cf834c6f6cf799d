"""Projected gradient descent (Madry et al., ICLR 2018)."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.ascent import GOALS
from amulet.evasion.attacks.balls import BALLS, Norm
from amulet.evasion.attacks.gradient import GradientAttack, SearchDtype


class EvasionPGD(GradientAttack):
    """Projected gradient descent within a ball around each input (Madry et al., ICLR 2018; paper: S1).

    Untargeted; how it searches is said at `GradientAttack`.

    Args:
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        steps: gradient steps.
        rel_step_size: the length of a step as a share of epsilon; the paper's is 0.25.
        norm: `linf` or `l2`.
        random_start: start at random in the ball instead of at the input.
        restarts: the number of searches; a record that withstood one is attacked again.
        labels: true: the true ones; `predicted`: the model's own answers, as CleverHans does when it gets no labels.
            Wrong answers are then turned into right ones, and robust accuracy on two classes cannot fall below
            1 - accuracy.
        loss: what is raised: `margin`, the best wrong logit minus the true one, which neither saturates nor spends its
            steps on classes that are out of reach; or `cross_entropy`, as in the paper. On two classes in L-inf both
            take the same steps.
        eot: how many answers of a model are averaged whose answers are random; 1: they are not.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        search_dtype: `auto` takes bfloat16 where the processor is faster with it; or `float32`, `bfloat16`.
    """

    hint = "Set attack.loss=margin, raise attack.steps or attack.restarts"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        steps: int = 40,
        rel_step_size: float = 0.1,
        norm: Norm = "linf",
        random_start: bool = True,
        restarts: int = 1,
        labels: Literal[True, "predicted"] = True,
        loss: Literal["cross_entropy", "margin"] = "margin",
        eot: int = 1,
        immutable: list[str] | None = None,
        search_dtype: SearchDtype = "auto",
    ) -> None:
        super().__init__(model, test_loader, device)
        in_range("batch_size", batch_size, 1, optional=True)
        one_of("norm", norm, BALLS)
        in_range("epsilon", epsilon, 0, BALLS[norm].largest, optional=True)
        in_range("steps", steps, 1)
        in_range("rel_step_size", rel_step_size, above=0)
        in_range("restarts", restarts, 1)
        one_of("labels", labels, (True, "predicted"))
        one_of("loss", loss, GOALS)
        in_range("eot", eot, 1)
        one_of("search_dtype", search_dtype, ("auto", "float32", "bfloat16"))
        self.batch_size = batch_size
        self.epsilon = epsilon
        self.steps = steps
        self.rel_step_size = rel_step_size
        self.norm = norm
        self.random_start = random_start
        self.restarts = restarts
        self.labels = labels
        self.loss = loss
        self.eot = eot
        self.immutable = immutable
        self.search_dtype: SearchDtype = search_dtype

    def goal(self, logits: Tensor, y: Tensor) -> Tensor:
        """`loss`."""
        return GOALS[self.loss](logits, y)
