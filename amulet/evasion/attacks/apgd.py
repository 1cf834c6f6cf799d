"""APGD: gradient ascent that chooses the length of its steps (Croce and Hein, ICML 2020)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.errors import IncompatibleError, in_range, one_of
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.evasion.attacks.adaptive import CLASSES, GOALS, TOWARD, adapt
from amulet.evasion.attacks.balls import BALLS, Ball, Norm
from amulet.evasion.attacks.gradient import GradientAttack, SearchDtype, Searcher


class APGD(GradientAttack):
    """Gradient ascent with momentum, whose steps shorten where they stop helping (Croce and Hein, ICML 2020).

    It begins with steps of twice the budget and halves them, record by record, at checkpoints: no length of a step has
    to be chosen, and 100 steps find what PGD needs restarts for. A record that falls is left at once. How it computes
    is said at `GradientAttack`.

    Args:
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        steps: gradient steps of each search.
        loss: what is raised: `cross_entropy`; `margin`, the best wrong logit minus the true one; or `dlr`, the margin
            in units of the first logit less the third, which no scale of the logits changes and which needs three
            classes, with targets four.
        targets: 0: any wrong class. k: one search toward each of the k wrong classes that are likeliest at the input,
            at most all of them; each gets the records that withstood those before it.
        restarts: how often all searches are done.
        norm: `linf` or `l2`.
        labels: true: the true ones; `predicted`: the model's own answers.
        eot: how many answers of a model are averaged whose answers are random; 1: they are not.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        search_dtype: `auto` takes bfloat16 where the processor is faster with it; or `float32`, `bfloat16`.
    """

    hint = "Set attack.targets=3 with attack.loss=margin, raise attack.steps or attack.restarts"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        steps: int = 100,
        loss: Literal["cross_entropy", "margin", "dlr"] = "cross_entropy",
        targets: int = 0,
        restarts: int = 1,
        norm: Norm = "linf",
        labels: Literal[True, "predicted"] = True,
        eot: int = 1,
        immutable: list[str] | None = None,
        search_dtype: SearchDtype = "auto",
    ) -> None:
        super().__init__(model, test_loader, device)
        in_range("batch_size", batch_size, 1, optional=True)
        one_of("norm", norm, BALLS)
        in_range("epsilon", epsilon, 0, BALLS[norm].largest, optional=True)
        in_range("steps", steps, 1)
        one_of("loss", loss, GOALS)
        in_range("targets", targets, 0)
        in_range("restarts", restarts, 1)
        one_of("labels", labels, (True, "predicted"))
        in_range("eot", eot, 1)
        one_of("search_dtype", search_dtype, ("auto", "float32", "bfloat16"))
        self.batch_size = batch_size
        self.epsilon = epsilon
        self.steps = steps
        self.loss = loss
        self.targets = targets
        self.restarts = restarts
        self.norm = norm
        self.labels = labels
        self.eot = eot
        self.immutable = immutable
        self.search_dtype: SearchDtype = search_dtype

    def check(self, data: AmuletDataset) -> None:
        """`dlr` divides by what lies between classes that a data set of few classes has not."""
        needed = CLASSES[self.loss][self.targets > 0]
        if data.num_classes < needed:
            raise IncompatibleError(
                f"`attack.loss={self.loss}` needs at least {needed} classes{' with targets' if self.targets else ''}, "
                f"and {data.name} has {data.num_classes}: set attack.loss=margin"
            )

    def searches(self, logits: Tensor, y: Tensor) -> Sequence[tuple[Tensor, ...]]:
        """One without a target, or one toward each of the likeliest wrong classes; all of them `restarts` times."""
        if not self.targets:
            return [(y,)] * self.restarts
        wrong = logits.scatter(1, y.unsqueeze(1), float("-inf"))
        likeliest = wrong.topk(min(self.targets, logits.shape[1] - 1), dim=1).indices
        return [(y, target) for target in likeliest.unbind(dim=1)] * self.restarts

    def climb(
        self,
        searcher: Searcher,
        ball: Ball,
        aims: tuple[Tensor, ...],
        start: Tensor,
        *,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """One search of `steps` steps."""
        goal = TOWARD[self.loss] if self.targets else GOALS[self.loss]
        return adapt(
            searcher.model,
            ball,
            aims,
            goal,
            start=start.clone(),
            steps=self.steps,
            dtype=searcher.dtype,
            slack=searcher.slack,
            wanted=wanted,
        )
