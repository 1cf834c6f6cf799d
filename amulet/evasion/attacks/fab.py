"""FAB: the nearest inputs that a model gets wrong (Croce and Hein, ICML 2020)."""

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.balls import BALLS, Norm
from amulet.evasion.attacks.base import EvasionAttack
from amulet.evasion.attacks.boundary import nearest


class FAB(EvasionAttack):
    """Steps onto the model's linearised boundary, which stay near the input (Fast Adaptive Boundary attack).

    It looks for the smallest change instead of the worst one within a budget; where that change is within the budget,
    the record fell and is left. It raises no loss, so that neither the scale of the logits nor a loss that saturates
    deters it (Croce and Hein, Minimally distorted Adversarial Examples with a Fast Adaptive Boundary Attack, ICML
    2020). It computes in float32.

    Args:
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        steps: steps of each search.
        targets: k: one search toward each of the k wrong classes that are likeliest at the input, at most all of them;
            each gets the records that withstood those before it. 0: one search toward whatever boundary is nearest,
            which takes a gradient for each class at each step.
        restarts: how often all searches are done; after the first from a random input within half the budget.
        alpha_max: how far a step is drawn to the input at most, [0, 1].
        eta: how far past the boundary a step goes, at least 1.
        beta: what is left of a change after the step back from a wrong answer, (0, 1).
        norm: `linf` or `l2`.
        labels: true: the true ones; `predicted`: the model's own answers.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
    """

    needs: ClassVar[Access] = Access.QUERIES | Access.LOGITS | Access.GRADIENTS
    hint = "Use attack=apgd, raise attack.steps, attack.targets or attack.restarts"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        steps: int = 100,
        targets: int = 3,
        restarts: int = 1,
        alpha_max: float = 0.1,
        eta: float = 1.05,
        beta: float = 0.9,
        norm: Norm = "linf",
        labels: Literal[True, "predicted"] = True,
        immutable: list[str] | None = None,
    ) -> None:
        super().__init__(model, test_loader, device)
        in_range("batch_size", batch_size, 1, optional=True)
        one_of("norm", norm, BALLS)
        in_range("epsilon", epsilon, 0, BALLS[norm].largest, optional=True)
        in_range("steps", steps, 1)
        in_range("targets", targets, 0)
        in_range("restarts", restarts, 1)
        in_range("alpha_max", alpha_max, 0, 1)
        in_range("eta", eta, 1)
        in_range("beta", beta, above=0, high=1)
        one_of("labels", labels, (True, "predicted"))
        self.batch_size = batch_size
        self.epsilon = epsilon
        self.steps = steps
        self.targets = targets
        self.restarts = restarts
        self.alpha_max = alpha_max
        self.eta = eta
        self.beta = beta
        self.norm = norm
        self.labels = labels
        self.immutable = immutable

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch: changed where a wrong answer was found within the budget."""
        found = x.clone()
        with torch.no_grad():
            logits = model(x).float()
        if self.labels == "predicted":
            y = logits.argmax(dim=1)
        left = (logits.argmax(dim=1) == y).nonzero().squeeze(1)
        wrong = logits.scatter(1, y.unsqueeze(1), float("-inf"))
        others = wrong.argsort(dim=1, descending=True)[:, : logits.shape[1] - 1]
        searches = others[:, : self.targets].split(1, dim=1) if self.targets else (others,)
        for attempt in range(self.restarts if self.budget > 0 else 0):
            for classes in searches:
                ball = self.ball(x[left], mask)
                half = type(ball)(ball.x, self.budget / 2, mask)
                best, distances = nearest(
                    model,
                    ball,
                    y[left],
                    classes[left],
                    start=half.draw(generator) if attempt else ball.x,
                    steps=self.steps,
                    most=self.alpha_max,
                    beyond=self.eta,
                    back=self.beta,
                    enough=self.budget,
                )
                within = distances <= self.budget
                found[left[within]] = best[within]
                left = left[~within]
                if not len(left):
                    return found
        return found
