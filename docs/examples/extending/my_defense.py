"""A defence of your own: train on inputs with Gaussian noise (the training of randomized smoothing)."""

from typing import Any

import torch

from amulet.core.errors import in_range
from amulet.datasets import Records
from amulet.training import Hook, Loss, LossFunction, Training
from amulet.training.standalone import TrainingDefense


class GaussianNoise(TrainingDefense):
    """Train on noisy copies of the records (Cohen et al., ICML 2019).

    Args:
        sigma: standard deviation of the noise in units of the input, at least 0.
    """

    risk = "evasion"
    per_record = True  # a record's noise depends on no other record, so DP-SGD's guarantee holds beside it

    def __init__(self, *given: Any, sigma: float = 0.1) -> None:
        super().__init__(*given)
        in_range("sigma", sigma, 0)
        self.sigma = sigma

    def hook(self) -> Hook:
        """A fresh hook for one training."""
        return _Noise(self)


class _Noise(Hook):
    def __init__(self, defense: GaussianNoise) -> None:
        self.defense = defense
        self.generator: torch.Generator | None = None

    def start(self, training: Training) -> None:
        self.generator = (training.stream / self.defense.name).generator(training.device)

    def loss(self, training: Training, batch: Records, inner: LossFunction) -> Loss:
        x = batch.inputs()
        noise = torch.randn(x.shape, generator=self.generator, device=x.device)
        return inner(batch.replaced(x=(x + self.defense.sigma * noise).clamp(0, 1)))
