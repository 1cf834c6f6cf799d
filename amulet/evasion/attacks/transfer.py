"""Examples made for a model of the adversary's own (Papernot et al., 2017; MI-FGSM: Dong et al., CVPR 2018)."""

from typing import Any, Literal, Self

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import SettingError, in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.ascent import cross_entropy
from amulet.evasion.attacks.balls import Ball, Norm
from amulet.evasion.attacks.base import EvasionAttack
from amulet.models.inspect import evaluating, frozen, predict
from amulet.training.victim import DataSplits, Victim


class TransferAttack(EvasionAttack):
    """Adversarial inputs made for a surrogate, and handed to the victim as they are.

    The adversary trains the surrogate on its own records by the victim's plain recipe, labelled by the victim's answers
    (Papernot et al., Practical Black-Box Attacks against Machine Learning, ASIA CCS 2017) or by the true labels. The
    inputs are moved along its gradient with momentum, all steps, beyond where it is wrong (MI-FGSM: Dong et al., CVPR
    2018, Algorithm 1). It asks the victim for classes alone, and measures what an adversary without gradients and
    without many queries achieves: what withstands it need not be robust.

    Args:
        surrogate: the adversary's model, for `attack()`; the runner has it trained.
        batch_size: how many records are attacked at once; None: about two million input values, at most 8,192 records.
        epsilon: the budget in units of the input, [0, 1] (linf) or at least 0 (l2). None: that of a defence against
            evasion if one is under assessment, else 0.03.
        steps: gradient steps.
        rel_step_size: the length of a step as a share of epsilon.
        momentum: the share of the former direction that is kept, at least 0; 0: plain steps.
        answers: the surrogate's labels: `victim`, its classes for the adversary's records; or `true`.
        knows_defense: train the surrogate with the victim's defence.
        norm: `linf` or `l2`.
        labels: true: the true ones; `predicted`: the model's own answers.
        immutable: names of columns that may not change; `one_hot` stands for all one-hot columns.
        epsilon_curve: other budgets at which robust accuracy is reported too.
        median_distance: report the smallest budget at which half of the records that are answered correctly fall.
    """

    needs = Access.LABELS | Access.QUERIES
    hint = "Examples of another model find a part of what there is: use attack=apgd"

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        surrogate: nn.Module | None = None,
        *,
        batch_size: int | None = None,
        epsilon: float | None = None,
        steps: int = 10,
        rel_step_size: float = 0.1,
        momentum: float = 1.0,
        answers: Literal["victim", "true"] = "victim",
        knows_defense: bool = False,
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
        in_range("steps", steps, 1)
        in_range("rel_step_size", rel_step_size, above=0)
        in_range("momentum", momentum, 0)
        one_of("answers", answers, ("victim", "true"))
        self.surrogate = surrogate
        self.steps = steps
        self.rel_step_size = rel_step_size
        self.momentum = momentum
        self.answers = answers
        self.knows_defense = knows_defense
        if knows_defense:
            self.needs = Access.LABELS | Access.QUERIES | Access.TRAINING

    def bound(self, victim: Victim, splits: DataSplits) -> Self:
        """With a surrogate of this victim, trained or loaded from the store."""
        records = splits.adversary_records
        if self.answers == "victim":
            records = records.replaced(y=predict(victim.model, records).argmax(dim=1).to(records.y))
        recipe = victim.recipe if self.knows_defense and victim.recipe.differentiable else splits.plain_recipe
        made = self.changed()
        made.surrogate = recipe.fit(records, splits.attack_stream("evasion", "transfer"), "surrogate")
        return made

    def changed(self, **changes: Any) -> Self:
        """A copy with the same surrogate."""
        made = super().changed(**changes)
        made.surrogate = self.surrogate
        return made

    def unbounded(self) -> None:
        """It promises nothing: with any budget an input may be wrong for the surrogate alone."""

    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch; a record that is wrong as it stands is left alone."""
        if self.surrogate is None:
            raise SettingError("`surrogate` must be given: the model that the examples are made for")
        with torch.no_grad():
            answers = model(x).argmax(dim=1)
        if self.labels == "predicted":
            y = answers
        found, held = x.clone(), (answers == y).nonzero().squeeze(1)
        if self.budget > 0 and len(held):
            other = self.surrogate.to(x.device)
            with evaluating(other), frozen(other):
                found[held] = self._climbed(other, self.ball(x[held], mask), y[held])
        return found

    def _climbed(self, model: nn.Module, ball: Ball, y: Tensor) -> Tensor:
        point, kept = ball.x.clone(), torch.zeros_like(ball.x)
        size = self.rel_step_size * ball.epsilon
        for _ in range(self.steps):
            point.requires_grad_()
            (gradient,) = torch.autograd.grad(cross_entropy(model(point).float(), y).sum(), point)
            scale = gradient.flatten(1).abs().sum(dim=1).clamp_min(1e-30)
            kept = self.momentum * kept + gradient / scale.view(-1, *[1] * (point.dim() - 1))
            point = ball.step(point.detach(), kept.clone(), size)
        return point.detach()
