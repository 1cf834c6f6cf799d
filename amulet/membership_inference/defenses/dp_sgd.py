"""DP-SGD (Abadi et al., CCS 2016): clip each record's gradient, add noise, and account for it."""

import math
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.component import Factory, code_digest
from amulet.core.errors import IncompatibleError, SettingError, in_range, one_of
from amulet.datasets.records import Records
from amulet.membership_inference.defenses.accounting import Accountant, noise_for, spent
from amulet.membership_inference.defenses.architecture import WithGroupNorm, batch_norms, has_batch_norm, unprotectable
from amulet.membership_inference.defenses.clipping import PerRecord
from amulet.membership_inference.defenses.probe import ROWS, check_augmentation, check_model
from amulet.models.inspect import batch_size_for
from amulet.training.hook import Hook, Loss, LossFunction, Training
from amulet.training.standalone import TrainingDefense

Sampling = Literal["poisson", "shuffled"]

_GRADIENTS = ("amulet.membership_inference.defenses.clipping", "amulet.membership_inference.defenses.units")


class DPSGD(TrainingDefense):
    """Train so that no single record changes the model much: (epsilon, delta)-differential privacy (paper: PD1).

    Two data sets are neighbours if one has one record more. The training report has the `epsilon` that was spent; it is
    None, with a warning that says why, unless every step that uses the records is private.

    Args:
        epsilon: the budget, (0, 1000]; the noise is chosen to spend at most this. None: `noise_multiplier` is given.
        delta: the probability that the bound fails, below 1/n for n training records. None: n^-1.1.
        max_grad_norm: the L2 norm to which each record's gradient is clipped.
        noise_multiplier: standard deviation of the noise in units of `max_grad_norm`. None: found for `epsilon`.
        batch_size: the expected size of a Poisson batch; noise favours large batches and many steps. None: a tenth of
            the records, at most 1,024; with a loader (`train_private`), the loader's.
        lr: the learning rate of the recipe's optimizer with this defence. None: the recipe's, which was probably not
            chosen for clipped and noisy gradients. With a given optimizer (`train_private`) its rate counts.
        sampling: `poisson`: each record is in each batch with probability batch_size / n, which the accounting
            assumes; `shuffled`: every record once per epoch, as is often done; epsilon is then None.
        accountant: opacus' `prv`, or `rdp`, which is faster and needs 5 to 10 % more noise; above epsilon 20 it is
            `rdp` in any case.
        report_losses: report the loss and the accuracy on the training records, which no noise protects. They are
            for whoever trains, not for release: epsilon does not cover them. False: they are left out.
        batch_norm: `replace` replaces it by GroupNorm, in the undefended victim too; `refuse` stops.
    """

    risk = "membership_inference"
    title = "DP-SGD"
    family = "differential privacy"
    per_record = True

    def __init__(
        self,
        model: nn.Module | None = None,
        loss_function: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        train_loader: DataLoader[Any] | None = None,
        device: str | torch.device = "cpu",
        epochs: int = 1,
        *,
        epsilon: float | None = 8.0,
        delta: float | None = None,
        max_grad_norm: float = 1.0,
        noise_multiplier: float | None = None,
        batch_size: int | None = None,
        lr: float | None = 0.01,
        sampling: Sampling = "poisson",
        accountant: Accountant = "prv",
        report_losses: bool = True,
        batch_norm: Literal["replace", "refuse"] = "replace",
    ) -> None:
        super().__init__(model, loss_function, optimizer, train_loader, device, epochs)
        in_range("epsilon", epsilon, above=0, high=1000, optional=True)
        in_range("delta", delta, above=0, below=1, optional=True)
        in_range("max_grad_norm", max_grad_norm, above=0)
        in_range("noise_multiplier", noise_multiplier, 0, optional=True)
        in_range("batch_size", batch_size, 1, optional=True)
        in_range("lr", lr, above=0, optional=True)
        one_of("sampling", sampling, ("poisson", "shuffled"))
        one_of("accountant", accountant, ("prv", "rdp"))
        one_of("batch_norm", batch_norm, ("replace", "refuse"))
        if (epsilon is None) == (noise_multiplier is None):
            raise SettingError(
                "one of `epsilon` and `noise_multiplier` sets the other and must be null, got "
                f"epsilon {epsilon} and noise_multiplier {noise_multiplier}"
            )
        self.epsilon = epsilon
        self.delta = delta
        self.max_grad_norm = max_grad_norm
        self.noise_multiplier = noise_multiplier
        self.batch_size = batch_size
        self.lr = lr
        self.sampling: Sampling = sampling
        self.accountant: Accountant = accountant
        self.report_losses = report_losses
        self.batch_norm = batch_norm

    def describe(self) -> dict[str, Any]:
        """Includes the code of the clipped gradients, on which the weights depend."""
        return super().describe() | {"gradients": [code_digest(module) for module in _GRADIENTS]}

    def hook(self) -> Hook:
        """A new hook for one training run."""
        return _PrivateSteps(self)

    def tune(self, optimizer: Factory) -> Factory:
        """The recipe's optimizer with this defence's learning rate."""
        return optimizer if self.lr is None else optimizer.with_settings(lr=self.lr)

    def adapt(self, architecture: Factory) -> Factory:
        """The architecture with GroupNorm instead of BatchNorm; unchanged if it has none."""
        found = has_batch_norm(architecture)
        if found and self.batch_norm == "refuse":
            raise IncompatibleError(
                f"`{architecture.path}` has BatchNorm, under which records change each other's gradients; take a model "
                "without it, or batch_norm=replace, which trains both victims with GroupNorm"
            )
        # If it cannot be determined: the wrapper does not change models without BatchNorm.
        return architecture if found is False or self.batch_norm == "refuse" else WithGroupNorm.of(architecture)

    def warnings(self) -> list[str]:
        """A warning: a learning rate not chosen for clipped and noisy gradients overstates the cost of privacy."""
        untuned = (
            "DP-SGD trains at the recipe's own learning rate, which was not chosen for clipped and noisy gradients, so "
            "its cost in accuracy may be overstated: try some values of lr, such as 0.01 for Adam"
        )
        return [untuned] if self.lr is None else []

    def train_private(self) -> nn.Module:
        """Train the model passed to the constructor in place and return it in eval mode."""
        return self._train()


def poisson_sample(n: int, rate: float, generator: torch.Generator) -> Tensor:
    """The places, rising, of a sample that has each of `n` records with probability `rate`, independently.

    Drawn are the gaps between them, which are geometric: a number for each record in the sample, not for all `n`.
    """
    usual, parts, last = n * rate, list[Tensor](), -1.0
    while last < n:
        uniform = torch.rand(int(usual + 6 * usual**0.5 + 10), generator=generator, dtype=torch.float64)
        gaps = (uniform.neg_().log1p_() / torch.tensor(-rate, dtype=torch.float64).log1p_()).floor_().add_(1)
        parts.append(gaps.cumsum_(0).add_(last))
        last = parts[-1][-1].item()
    places = torch.cat(parts)
    return places[: int((places < n).sum())].long()


class _PrivateSteps(Hook):
    def __init__(self, defense: DPSGD) -> None:
        self.defense = defense
        self.shows_losses = defense.report_losses
        self.samples = 0
        self.sampling = False
        """Are the batches drawn here, not by another hook?"""

    def start(self, training: Training) -> None:
        defense, n = self.defense, len(training.records)
        own = training.batch_size if defense.model is not None else min(1024, -(-n // 10))
        expected = min(defense.batch_size or own, n)
        self.rate = expected / n
        self.per_epoch = max(1, round(n / expected))
        self.updates_each = max(hook.updates for hook in training.hooks)
        self.delta = n**-1.1 if defense.delta is None else defense.delta
        if n > 1 and self.delta >= 1 / n:
            raise SettingError(
                f"`delta` must be below 1/n = {1 / n:.3g} for {n} training records, got {self.delta:g}: at 1/n, "
                "publishing one record at random counts as private"
            )
        self._check_model(training)
        self.per_record = PerRecord(training.model)
        if defense.noise_multiplier is None:
            assert defense.epsilon is not None
            steps = training.epochs * self.per_epoch
            self.noise = noise_for(defense.epsilon, self.delta, self.rate, steps, defense.accountant, self.updates_each)
        else:
            self.noise = defense.noise_multiplier
        self.generator = (training.stream / defense.name / "noise").generator(training.device)

    def batches(self, training: Training, generator: torch.Generator) -> Iterator[Tensor]:
        self.sampling = True
        n = len(training.records)
        if self.defense.sampling == "shuffled":
            yield from torch.randperm(n, generator=generator).tensor_split(self.per_epoch)
            return
        for _ in range(self.per_epoch):
            yield poisson_sample(n, self.rate, generator)

    def backward(self, training: Training, batch: Records, loss: LossFunction) -> Loss:
        self.samples += training.update == 0
        weights = self.per_record.weights
        sums: list[Tensor] = []
        losses: list[Loss] = []
        size = batch_size_for(training.records.shape)  # a sample of images may not fit into memory
        for start in range(0, len(batch), size):
            part = batch if len(batch) <= size else batch.batch(slice(start, start + size))
            with self.per_record.recording() as runs:
                values, logits = loss(part)
            clipped = self.per_record.clipped(values, runs, self.defense.max_grad_norm).gradients
            sums = [a.add_(b) for a, b in zip(sums, clipped, strict=True)] if sums else clipped
            losses.append(Loss(values.detach(), logits.detach()))
        if losses:
            found = Loss(torch.cat([each.values for each in losses]), torch.cat([each.logits for each in losses]))
        else:  # a Poisson sample may be empty; noise is added all the same
            found = Loss(torch.zeros(0, device=training.device), torch.zeros(0, 1, device=training.device))
            sums = [torch.zeros_like(weight) for weight in weights]
        noise = torch.randn(sum(w.numel() for w in weights), generator=self.generator, device=training.device)
        noise *= self.noise * self.defense.max_grad_norm
        expected = self.rate * len(training.records)
        noisy = noise.add_(torch.cat([total.flatten() for total in sums])).div_(expected)
        for weight, part in zip(weights, noisy.split([weight.numel() for weight in weights]), strict=True):
            weight.grad = part.view_as(weight).to(weight.dtype)
        return found

    def finish(self, training: Training) -> dict[str, Any]:
        defense = self.defense
        epsilon = spent(self.noise, self.delta, self.rate, self.samples, defense.accountant, self.updates_each)
        reasons = self._unaccounted(training)
        if math.isinf(epsilon):
            reasons.append("there is no noise (noise_multiplier)")
        if reasons:
            training.warnings.append(
                f"epsilon is null: no differential privacy can be claimed, because {'; '.join(reasons)}. Leave that "
                "out to have a guarantee"
            )
        exposed = ["the number of records"]
        if defense.report_losses:
            exposed.append("loss and accuracy on the training records")
        hidden: dict[str, Any] = {} if defense.report_losses else {"loss": None, "accuracy": None, "losses": []}
        if hidden and "early stopping" in training.side_channels:
            hidden["best_validation_loss"] = None
        return hidden | {
            "epsilon": None if reasons else epsilon,
            "target_epsilon": defense.epsilon,
            "delta": self.delta,
            "noise_multiplier": self.noise,
            "max_grad_norm": defense.max_grad_norm,
            "sampling": defense.sampling if self.sampling else "another defence's",
            "sampling_rate": self.rate,
            "expected_batch_size": self.rate * len(training.records),
            "steps": self.samples,
            "updates_per_step": self.updates_each,
            "accountant": defense.accountant,
            "released_without_noise": exposed,
            "random_numbers": "seeded, noise in float32, no secure mode: for measurements, not for a release",
        }

    def _unaccounted(self, training: Training) -> list[str]:
        """Why the accounting would not cover all uses of the records."""
        reasons: list[str] = []
        if not self.sampling:
            reasons.append("the batches are another defence's, not drawn by Poisson sampling")
        elif self.defense.sampling != "poisson":
            reasons.append("the batches are not drawn by Poisson sampling (sampling=shuffled)")
        reasons += [f"{name} uses the records without noise" for name in training.side_channels]
        reasons += self.untested
        return reasons

    def _check_model(self, training: Training) -> None:
        """Refuse what cannot be trained privately, all problems at once, before the first step."""
        model = training.model.train()
        problems = unprotectable(model)
        if problems:
            raise SettingError(
                f"`model`: {type(model).__name__} cannot be trained by DP-SGD: {'; '.join(problems)}. "
                "`opacus.validators.ModuleValidator.fix(model)` replaces such layers"
            )
        replaced = getattr(model, "replaced_batch_norms", 0)
        if replaced and not batch_norms(model):
            training.warnings.append(
                f"{replaced} BatchNorm layers are replaced by GroupNorm, in the undefended victim too; compare "
                "with runs of other defences only if these use GroupNorm as well, or take a model without BatchNorm"
            )
        stream = training.stream / self.defense.name / "check"
        generator = stream.generator(training.device)
        x = torch.rand(ROWS, *training.records.shape, generator=generator, device=training.device)
        with torch.random.fork_rng(devices=[training.device] if training.device.type == "cuda" else []):
            check_model(model, x, generator)
        self.untested = check_augmentation(training.augmentation, training.records, (stream / "images").generator())
