"""Adversarial training (Madry et al., ICLR 2018) and TRADES (Zhang et al., ICML 2019)."""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.component import code_digest
from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.evasion.attacks.ascent import GOALS, Goal, ascend
from amulet.evasion.attacks.balls import BALLS, Norm
from amulet.models.arithmetic import fast_dtype
from amulet.models.inspect import evaluating, frozen
from amulet.training.hook import Hook, Loss, LossFunction, Training
from amulet.training.standalone import TrainingDefense

_SEARCH = ("amulet.evasion.attacks.ascent", "amulet.evasion.attacks.balls", "amulet.models.chain")


class AdversarialTrainingPGD(TrainingDefense):
    """Train on the worst case that PGD finds around each record (paper: SD1).

    Args:
        epsilon: the budget in units of the input, (0, 1] for linf.
        steps: gradient steps for each batch.
        rel_step_size: the length of a step as a share of epsilon.
        norm: `linf` or `l2`.
        random_start: start at random in the ball.
        batches: `adversarial`: only those (Madry et al.); `mixed`: the mean of the clean and the adversarial loss;
            `alternating`: one update on the clean batch, then one on the adversarial one, as the paper's code does.
        loss: `cross_entropy`, or `trades`: clean cross-entropy plus `beta` times the KL divergence between clean
            and adversarial answers, which is also what the search raises.
        beta: TRADES' weight of robustness.
        search_dtype: for the search only: `auto` takes bfloat16 where the processor is faster with it; or `float32`,
            `bfloat16`.
    """

    risk = "evasion"
    title = "adversarial training"
    family = "adversarial training"
    per_record = True  # each record's worst case depends on that record and the model

    def __init__(
        self,
        model: nn.Module | None = None,
        loss_function: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        train_loader: DataLoader[Any] | None = None,
        device: str | torch.device = "cpu",
        epochs: int = 1,
        *,
        epsilon: float = 0.05,
        steps: int = 10,
        rel_step_size: float = 0.25,
        norm: Norm = "linf",
        random_start: bool = True,
        batches: Literal["adversarial", "mixed", "alternating"] = "adversarial",
        loss: Literal["cross_entropy", "trades"] = "cross_entropy",
        beta: float = 6.0,
        search_dtype: Literal["auto", "float32", "bfloat16"] = "auto",
    ) -> None:
        super().__init__(model, loss_function, optimizer, train_loader, device, epochs)
        one_of("norm", norm, BALLS)
        in_range("epsilon", epsilon, above=0, high=BALLS[norm].largest)
        in_range("steps", steps, 1)
        in_range("rel_step_size", rel_step_size, above=0)
        one_of("batches", batches, ("adversarial", "mixed", "alternating"))
        one_of("loss", loss, ("cross_entropy", "trades"))
        in_range("beta", beta, 0)
        one_of("search_dtype", search_dtype, ("auto", "float32", "bfloat16"))
        self.epsilon = epsilon
        self.steps = steps
        self.rel_step_size = rel_step_size
        self.norm: Norm = norm
        self.random_start = random_start
        self.batches = batches
        self.loss = loss
        self.beta = beta
        self.search_dtype = search_dtype

    def dtype(self, device: torch.device) -> torch.dtype:
        """The number format of the search on that device; the weights are trained in the training's precision."""
        return fast_dtype(device) if self.search_dtype == "auto" else getattr(torch, self.search_dtype)

    def describe(self) -> dict[str, Any]:
        """Includes the code of the search, on which the weights depend."""
        return super().describe() | {"search": [code_digest(module) for module in _SEARCH]}

    def hook(self) -> Hook:
        """A new hook for one training run."""
        return _AdversarialBatches(self)

    def train_robust(self) -> nn.Module:
        """Train the model passed to the constructor in place and return it in eval mode."""
        return self._train()


class _AdversarialBatches(Hook):
    def __init__(self, defense: AdversarialTrainingPGD) -> None:
        self.defense = defense
        self.updates = 2 if defense.batches == "alternating" else 1
        self.generator: torch.Generator | None = None

    def start(self, training: Training) -> None:
        self.generator = (training.stream / self.defense.name).generator(training.device)

    def finish(self, training: Training) -> dict[str, Any]:
        return {"search_dtype": str(self.defense.dtype(training.device)).removeprefix("torch.")}

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        assert self.generator is not None
        if self.defense.batches == "alternating" and training.update == 0:
            return inner(batch)
        return self._loss(training, batch, inner, self.generator, mixed=self.defense.batches == "mixed")

    def validation(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        """What is trained on, of both updates of a batch; from the same starts after every epoch."""
        generator = (training.stream / self.defense.name / "validation").generator(training.device)
        return self._loss(training, batch, inner, generator, mixed=self.defense.batches != "adversarial")

    def _loss(
        self, training: Training, batch: Records, inner: LossFunction, generator: torch.Generator, *, mixed: bool
    ) -> Loss:
        if self.defense.loss == "trades":
            return self._trades(training, batch, inner, generator)
        worst_x = self._worst(training.model, batch.inputs(), batch.y, GOALS["cross_entropy"], generator)
        worst = inner(batch.replaced(x=worst_x))
        if not mixed:
            return worst
        clean = inner(batch)
        return Loss((clean.values + worst.values) / 2, clean.logits)

    def _trades(self, training: Training, batch: Records, inner: LossFunction, generator: torch.Generator) -> Loss:
        x, clean = batch.inputs(), inner(batch)
        answers = clean.logits.detach().log_softmax(dim=1)

        def divergence(logits: Tensor, _: Tensor) -> Tensor:
            return F.kl_div(logits.log_softmax(dim=1), answers, reduction="none", log_target=True).sum(dim=1)

        worst = training.forward(self._worst(training.model, x, batch.y, divergence, generator, answers.exp()))
        kl = F.kl_div(worst.log_softmax(dim=1), clean.logits.log_softmax(dim=1), reduction="none", log_target=True).sum(
            dim=1
        )
        return Loss(clean.values + self.defense.beta * kl, clean.logits)

    def _worst(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        goal: Goal,
        generator: torch.Generator,
        answers: Tensor | None = None,
    ) -> Tensor:
        defense = self.defense
        if not len(x):
            return x
        ball = BALLS[defense.norm](x, defense.epsilon)
        step_size = defense.epsilon * defense.rel_step_size
        with torch.enable_grad(), evaluating(model), frozen(model):
            start = ball.draw(generator) if defense.random_start else x.clone()
            return ascend(
                model,
                ball,
                y,
                goal,
                start=start,
                steps=defense.steps,
                step_size=step_size,
                dtype=defense.dtype(x.device),
                answers=answers,
            )
