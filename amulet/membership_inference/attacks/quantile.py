"""Membership inference by quantile regression (Bertran et al., NeurIPS 2023): one regressor, no shadow models."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.component import Factory
from amulet.core.errors import IncompatibleError, SettingError, in_range
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.membership_inference.attacks.candidates import Asked, CandidateAttack, Scored
from amulet.membership_inference.attacks.signals import membership_signal
from amulet.models.inspect import predict
from amulet.training.hook import Hook, Loss, LossFunction, Training
from amulet.training.loop import EarlyStopping, train
from amulet.training.recipe import Recipe

_NARROW, _WIDE = -3.0, 3.0  # of log sigma, in units of the population's spread: no division by almost nothing


class QuantileRegression(CandidateAttack):
    """Is the model surer of the record than a regressor expects it to be of such a record that is not a member?

    The regressor is fitted to the model's signals on the population, on which it was not trained: to each record and
    class the mean and the spread of a Gaussian, the paper's parametric form. Score `quantile`: how many standard
    deviations the record's signal is above the mean (Bertran et al., 2023, section 4). It needs no shadow models.

    Args:
        epochs: the most passes over the population; early stopping keeps the best one on a tenth of it.
        batch_size: records per update.
        lr: Adam's learning rate.

    The regressor has the recipe's architecture. The other arguments are those of every membership inference attack:
    `CandidateAttack`.
    """

    title = "quantile regression"
    needs = Access.PROBABILITIES

    def __init__(
        self,
        model: nn.Module | None = None,
        recipe: Recipe | None = None,
        records: Records | None = None,
        members: Tensor | None = None,
        population: Records | None = None,
        *,
        pool_size: int | None = None,
        epochs: int = 30,
        batch_size: int = 128,
        lr: float = 0.001,
    ) -> None:
        super().__init__(model, recipe, records, members, population)
        self._set_pool(pool_size)
        in_range("epochs", epochs, 1)
        in_range("batch_size", batch_size, 1)
        in_range("lr", lr, above=0)
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr

    def check(self, data: AmuletDataset) -> None:
        """It learns from the records themselves."""
        if data.answers is not None:
            raise IncompatibleError(
                "QuantileRegression learns from records what a model answers to them, and here are answers alone: take "
                "attack=membership_population"
            )

    def judge(self, asked: Asked) -> Scored:
        """Fit the regressor to the population and compare every record with what it expects."""
        if asked.recipe is None:
            raise SettingError("`QuantileRegression` must be built with a recipe, whose architecture the regressor has")
        signals = membership_signal(asked.answer(asked.records), asked.records.y.cpu())
        others = membership_signal(asked.answer(asked.population), asked.population.y.cpu())
        centre, spread = float(others.mean()), max(float(others.std()), 1e-6)
        scaled = torch.from_numpy((others - centre) / spread).float().unsqueeze(1)
        classes = asked.recipe.num_classes
        stream, runtime = asked.stream / "quantile", asked.recipe.runtime
        with (stream / "weights").seed_global():
            regressor = asked.recipe.architecture.build(input_shape=asked.records.shape, num_classes=2 * classes)
        train(
            regressor,
            asked.population.replace(targets=scaled),
            optimizer=Factory("torch.optim.Adam", lr=self.lr),
            epochs=self.epochs,
            batch_size=self.batch_size,
            stream=stream,
            hooks=[_GaussianLoss()],
            device=runtime.device,
            precision="float32",
            early_stopping=EarlyStopping(fraction=0.1, patience=3) if len(asked.population) >= 20 else None,
            reporter=runtime.reporter,
            label=f"quantile regression for {asked.victim}",
        )
        mean, log_sigma = expected(predict(regressor, asked.records).double(), asked.records.y.cpu())
        score = ((signals - centre) / spread - mean.numpy()) * np.exp(-log_sigma.numpy())
        return Scored(scores={"quantile": score}, target_signals=signals)


def expected(outputs: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log standard deviation, (n,) each, for the class of each record, of outputs (n, 2 classes)."""
    pairs = outputs.view(len(outputs), -1, 2)
    chosen = pairs.gather(1, y.view(-1, 1, 1).expand(-1, 1, 2)).squeeze(1)
    middle, half = (_WIDE + _NARROW) / 2, (_WIDE - _NARROW) / 2
    return chosen[:, 0], middle + half * torch.tanh(chosen[:, 1] / half)


class _GaussianLoss(Hook):
    """The negative log likelihood of the signal under the Gaussian that is expected."""

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        logits = training.forward(batch.inputs())
        assert batch.targets is not None
        mean, log_sigma = expected(logits, batch.y)
        distance = (batch.targets[:, 0] - mean) * torch.exp(-log_sigma)
        return Loss(log_sigma + distance.square() / 2 + math.log(2 * math.pi) / 2, logits)

    def validation(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        return self.loss(training, batch, inner)
