"""Removers that train a copy further, or another model on its answers."""

import torch
from torch import nn

from amulet.core.errors import in_range
from amulet.datasets.records import Records
from amulet.models.inspect import evaluating, frozen, predict
from amulet.training.hook import Hook, Loss, LossFunction, Training
from amulet.unauth_model_ownership.removers.base import Remover, Thief
from amulet.unauth_model_ownership.triggers import TriggerSet


class FineTuning(Remover):
    """Train the copy further on a random half of the thief's records, with their true labels.

    Args:
        rate: the learning rate as a multiple of the recipe's, > 0.
    """

    def __init__(self, *, rate: float = 1.0) -> None:
        in_range("rate", rate, above=0)
        self.rate = rate

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        return thief.tune(model, thief.half, self.rate)


class AdversarialTuning(Remover):
    """Train the copy further on worst-case inputs, which moves the decision boundaries that fingerprints measure.

    Szyller et al. (TMLR 2023) evade dataset inference in this way. The worst case is one step of size `epsilon` along
    the sign of the loss's gradient, from a random point (Wong et al., ICLR 2020).

    Args:
        epsilon: the size of the step in each value of an input, (0, 1].
        rate: the learning rate as a multiple of the recipe's, > 0.
    """

    def __init__(self, *, epsilon: float = 0.05, rate: float = 1.0) -> None:
        in_range("epsilon", epsilon, above=0, below=1)
        in_range("rate", rate, above=0)
        self.epsilon, self.rate = epsilon, rate

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        noise = (thief.stream / "worst cases").generator()
        return thief.tune(model, thief.half, self.rate, _WorstCase(self.epsilon, noise))


class _WorstCase(Hook):
    def __init__(self, epsilon: float, generator: torch.Generator) -> None:
        self.epsilon, self.generator = epsilon, generator

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        x = batch.inputs()
        start = (2 * torch.rand(x.shape, generator=self.generator) - 1).to(x.device) * self.epsilon
        moved = (x + start).clamp_(0, 1).requires_grad_()
        with torch.enable_grad(), frozen(training.model), evaluating(training.model):
            (slope,) = torch.autograd.grad(inner(batch.replaced(x=moved)).values.sum(), moved)
        worst = (moved.detach() + 1.25 * self.epsilon * slope.sign()).clamp(x - self.epsilon, x + self.epsilon)
        return inner(batch.replaced(x=worst.clamp_(0, 1)))


class Overwriting(Remover):
    """Train a mark of the thief's own into the copy: its records, and among them inputs with drawn labels.

    Args:
        triggers: how many inputs: noise over all columns of a table, patterns for images.
        repeats: how often each is among the records of an epoch.
        rate: the learning rate as a multiple of the recipe's, > 0.
    """

    def __init__(self, *, triggers: int = 100, repeats: int = 10, rate: float = 1.0) -> None:
        in_range("triggers", triggers, 1)
        in_range("repeats", repeats, 1)
        in_range("rate", rate, above=0)
        self.triggers, self.repeats, self.rate = triggers, repeats, rate

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        records, stream = thief.half, thief.stream / "own mark"
        own = TriggerSet.draw(self.triggers, records, thief.recipe.num_classes, stream)
        return thief.tune(model, records.concat(own.records(records, self.repeats, stream)), self.rate)


class Distilling(Remover):
    """Train new weights on the copy's answers to all of the thief's records: extraction without a budget.

    Args:
        objective: of the new model: `kl`, `logit_mse` or `hard_labels` of `amulet.training.objective`.
    """

    def __init__(self, *, objective: str = "kl") -> None:
        self.objective = objective

    def remove(self, model: nn.Module, thief: Thief) -> nn.Module:
        """See `Remover.remove`."""
        records = thief.records
        taught = records.replace(targets=predict(model, records).to(records.x.device))
        return thief.recipe.changed(objective=self.objective).fit(taught, thief.stream, thief.name)
