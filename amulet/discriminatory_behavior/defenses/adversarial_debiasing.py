"""Adversarial debiasing (Zhang et al., AIES 2018; Louppe et al., NeurIPS 2017)."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.errors import SettingError, in_range, needs_attributes, one_of
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import evaluating
from amulet.training.hook import Hook, Loss, LossFunction, Training
from amulet.training.standalone import TrainingDefense

_PURSUED = {
    "demographic_parity": "demographic_parity_difference",
    "equalized_odds": "equalized_odds_difference",
}
"""The metric that each objective lowers."""
_COLLAPSED = 0.05  # answers of other classes than the most frequent one, over such labels


class AdversarialDebiasing(TrainingDefense):
    """Train a model against an adversary that predicts the sensitive attributes from its answers (paper: FD1).

    The model minimises its own loss minus `strength` times the adversary's; the adversary, a small network on the
    model's class probabilities, is trained together with it.

    Args:
        objective: what to make equal between groups. `demographic_parity`: the answers; the adversary sees them alone.
            `equalized_odds`: the answers to records of one label; the adversary sees the true label as well.
        strength: the weight lambda of the adversary in the model's loss, at least 0.
        projection: also remove from the model's gradient what helps the adversary: its projection onto the adversary's
            gradient (Zhang et al., Equation 1). Costs two more passes back through the model.
        ramp: the number of epochs over which the weight rises from 0; otherwise training may oscillate or collapse.
        anneal: lower the learning rate along a cosine to 0, so that the two players converge instead of oscillating;
            multiplies a schedule of the recipe.
        adversary_steps: the adversary's updates for each of the model's.
        adversary_lr: the adversary's learning rate (Adam).
        adversary_hidden: the width of its hidden layer.
        attributes: which sensitive attributes to hide; None: all of them.
    """

    risk = "discriminatory_behavior"
    family = "group fairness"
    private = False

    def __init__(
        self,
        model: nn.Module | None = None,
        loss_function: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        train_loader: DataLoader[Any] | None = None,
        device: str | torch.device = "cpu",
        epochs: int = 1,
        *,
        objective: Literal["demographic_parity", "equalized_odds"] = "demographic_parity",
        strength: float = 1.5,
        projection: bool = False,
        ramp: int = 10,
        anneal: bool = True,
        adversary_steps: int = 3,
        adversary_lr: float = 0.01,
        adversary_hidden: int = 32,
        attributes: list[str] | None = None,
    ) -> None:
        super().__init__(model, loss_function, optimizer, train_loader, device, epochs)
        one_of("objective", objective, _PURSUED)
        in_range("strength", strength, 0)
        in_range("ramp", ramp, 0)
        in_range("adversary_steps", adversary_steps, 1)
        in_range("adversary_lr", adversary_lr, above=0)
        in_range("adversary_hidden", adversary_hidden, 1)
        self.objective = objective
        self.pursues = (_PURSUED[objective],)
        self.strength = strength
        self.projection = projection
        self.ramp = ramp
        self.anneal = anneal
        self.adversary_steps = adversary_steps
        self.adversary_lr = adversary_lr
        self.adversary_hidden = adversary_hidden
        self.attributes = attributes

    def hook(self) -> Hook:
        """A new hook for one training run."""
        return _Debiasing(self)

    def train_fair(self) -> nn.Module:
        """Train the model passed to the constructor in place and return it in eval mode."""
        return self._train()

    def check(self, data: AmuletDataset) -> None:
        """Do the data have the attributes to hide?"""
        self.hidden(data.attributes)

    def hidden(self, available: tuple[str, ...]) -> list[int]:
        """The positions of the attributes to hide among those the records have."""
        if not available:
            raise needs_attributes("adversarial debiasing")
        wanted = available if self.attributes is None else self.attributes
        for name in wanted:
            if name not in available:
                raise SettingError(f"`attributes` must be among {', '.join(available)}; got {name}")
        return [available.index(name) for name in wanted]


class _Adversary(nn.Module):
    """Class probabilities (b, classes), with the label if it sees it, to logits, one softmax for each attribute."""

    def __init__(self, num_classes: int, hidden: int, sizes: list[int], *, sees_label: bool) -> None:
        super().__init__()
        inputs = 2 * num_classes if sees_label else num_classes
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, sum(sizes)))
        self.sizes = sizes
        self.sees_label = sees_label

    def loss(self, probabilities: Tensor, labels: Tensor, z: Tensor) -> Tensor:
        """Cross-entropy with the attributes z (b, k), summed over the attributes, (b,)."""
        if self.sees_label:
            known = F.one_hot(labels, probabilities.shape[1]).to(probabilities.dtype)
            probabilities = torch.cat([probabilities, known], dim=1)
        parts = self.layers(probabilities).split(self.sizes, dim=1)
        losses = [F.cross_entropy(part, z[:, i], reduction="none") for i, part in enumerate(parts)]
        return torch.stack(losses).sum(dim=0)


class _Debiasing(Hook):
    def __init__(self, defense: AdversarialDebiasing) -> None:
        self.defense = defense
        self.adversary: _Adversary | None = None
        self.optimizer: Optimizer | None = None
        self.columns: list[int] = []
        self.faded = 1.0
        self.sum: Tensor = torch.zeros(())
        self.answered = self.labels = self.of_epoch = torch.zeros(0, dtype=torch.int64)
        self.steps = 0
        self.losses: list[float] = []

    def start(self, training: Training) -> None:
        records = training.records
        self.columns = self.defense.hidden(records.attributes)
        sizes = [int(records.z[:, column].max()) + 1 for column in self.columns]
        stream = training.stream / self.defense.name
        with torch.no_grad(), evaluating(training.model):  # predicting must not change BatchNorm's statistics
            num_classes = training.forward(records.inputs(slice(0, 2))).shape[1]
        with (stream / "weights").seed_global():
            self.adversary = _Adversary(
                num_classes,
                self.defense.adversary_hidden,
                sizes,
                sees_label=self.defense.objective == "equalized_odds",
            )
        self.adversary.to(training.device)
        self.optimizer = torch.optim.Adam(self.adversary.parameters(), lr=self.defense.adversary_lr)
        self.sum = torch.zeros((), device=training.device)
        self.labels = records.y.bincount(minlength=num_classes)
        self.of_epoch = torch.zeros_like(self.labels, device=training.device)

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        assert self.adversary is not None
        assert self.optimizer is not None
        values, logits = inner(batch)
        if not len(batch):
            return Loss(values, logits)
        z, seen = batch.z[:, self.columns], logits.detach().softmax(dim=1)
        with torch.enable_grad():
            for _ in range(self.defense.adversary_steps):
                self.optimizer.zero_grad(set_to_none=True)
                self.adversary.loss(seen, batch.y, z).mean().backward()
                self.optimizer.step()
        for parameter in self.adversary.parameters():
            parameter.requires_grad_(False)
        against = self.adversary.loss(logits.softmax(dim=1), batch.y, z)
        for parameter in self.adversary.parameters():
            parameter.requires_grad_(True)
        self.sum += against.detach().mean()
        self.steps += 1
        self.of_epoch += F.one_hot(logits.detach().argmax(dim=1), len(self.of_epoch)).sum(dim=0)
        ramp, weight = self.defense.ramp, torch.full_like(self.sum, self.defense.strength)
        if self.defense.projection:
            weight += _overlap(values.mean(), against.mean(), list(training.model.parameters()))
        return Loss(values - weight * (min(1.0, training.epoch / ramp) if ramp else 1.0) * against, logits)

    def epoch_end(self, training: Training) -> None:
        self.answered, self.of_epoch = self.of_epoch, torch.zeros_like(self.of_epoch)
        self.losses.append((self.sum / max(self.steps, 1)).item())
        self.sum, self.steps = torch.zeros_like(self.sum), 0
        if self.defense.anneal and training.epoch + 1 < training.epochs:
            share = (1 + math.cos(math.pi * (training.epoch + 1) / training.epochs)) / 2
            for group in training.optimizer.param_groups:
                group["lr"] *= share / self.faded
            self.faded = share

    def finish(self, training: Training) -> dict[str, Any]:
        most = int(self.answered.argmax())
        others, had = (1 - (part.max() / part.sum().clamp_min(1)).item() for part in (self.answered, self.labels))
        if others < _COLLAPSED * had:
            training.warnings.append(
                f"the debiasing adversary wins: in the last epoch the model answers class {most} to {1 - others:.1%} "
                "of the training records, and one answer for everybody is fair and of no use. Lower "
                f"defense.strength (now {self.defense.strength}), or train longer with a longer defense.ramp (now "
                f"{self.defense.ramp}); with few records use more (dataset.limit, adversary_fraction)"
            )
        return {"adversary_loss": self.losses[-1], "adversary_losses": self.losses}


def _overlap(loss: Tensor, against: Tensor, parameters: Sequence[nn.Parameter]) -> Tensor:
    """How many times the adversary's gradient is in the model's: the projection's coefficient."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    mine, its = (
        torch.autograd.grad(one, trained, retain_graph=True, allow_unused=True, materialize_grads=True)
        for one in (loss, against)
    )
    dot, square = (sum((a * b).sum() for a, b in zip(one, its, strict=True)) for one in (mine, its))
    return torch.as_tensor(dot / (square + 1e-12))
