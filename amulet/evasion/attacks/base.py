"""The base class of evasion attacks."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Literal, Self, cast

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from amulet.core.access import Access
from amulet.core.component import Attack
from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.reporting import Reporter, Stage
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.variables import shared_name
from amulet.evasion.attacks.balls import BALLS, Ball
from amulet.models.arithmetic import laid_out
from amulet.models.inspect import batch_size_for, device_of, evaluating, frozen, predict
from amulet.training.victim import DataSplits, Victim


class EvasionAttack(Attack):
    """An attack that changes inputs within a budget. A subclass has one method to write: `perturb`.

    The settings below concern what is done with the attack, and every attack has them; a subclass that takes them as
    keyword-only arguments makes them hyper-parameters, and need do no more: the protocol keeps the budget and the
    immutable columns, and looks for masked gradients. `epsilon` must be one.

    Args:
        model: the model to attack, for `attack()`; the runner gives victims to `adversarial` instead.
        test_loader: the records to attack.
        device: the device to use; the model is moved there.
    """

    risk = "evasion"
    needs = Access.QUERIES | Access.LOGITS | Access.GRADIENTS
    epsilon: float | None = None
    """The budget in units of the input. None: that of a defence against evasion under assessment, else 0.03."""
    norm: str = "linf"
    """In which the budget is: a name of `amulet.evasion.attacks.balls.BALLS`."""
    labels: Literal[True, "predicted"] = True
    """What is attacked: the true labels, or the model's own answers."""
    immutable: list[str] | None = None
    """Columns that may not change, by name; that of a one-hot variable, or `one_hot`, stands for all its columns."""
    queried: int = 0
    """How many answers it asked the victim for so far, where it counts them."""
    epsilon_curve: list[float] | None = None
    """Other budgets at which robust accuracy is reported too."""
    median_distance: bool = False
    """Report the smallest budget at which half of the records that are answered correctly fall."""
    batch_size: int | None = None
    """How many records are attacked at once; also that of the loader that `attack` returns. None: as many as
    `amulet.models.inspect.batch_size_for` says."""
    keeps_possible: ClassVar[bool] = False
    """Are the records that it makes of a table's all possible ones?"""
    hint: ClassVar[str] = "Use attack=evasion_pgd"
    """What helps where a longer search with another goal finds more."""

    def __init__(
        self,
        model: nn.Module | None = None,
        test_loader: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.model, self.test_loader, self.device = model, test_loader, device

    @property
    def follows_gradients(self) -> bool:
        """Does it need the victim's gradients? Where they are hidden, it finds less than there is."""
        return Access.GRADIENTS in self.needs

    def settle(
        self,
        *,
        batch_size: int | None,
        epsilon: float | None,
        norm: str,
        labels: Literal[True, "predicted"],
        immutable: list[str] | None,
        epsilon_curve: list[float] | None,
        median_distance: bool,
    ) -> None:
        """Check and keep the settings that attacks have in common."""
        in_range("batch_size", batch_size, 1, optional=True)
        one_of("norm", norm, BALLS)
        in_range("epsilon", epsilon, 0, BALLS[norm].largest, optional=True)
        for other in epsilon_curve or ():
            in_range("epsilon_curve", other, 0, BALLS[norm].largest)
        one_of("labels", labels, (True, "predicted"))
        self.batch_size, self.epsilon, self.norm, self.labels = batch_size, epsilon, norm, labels
        self.immutable, self.epsilon_curve, self.median_distance = immutable, epsilon_curve, median_distance

    @abstractmethod
    def perturb(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor:
        """Adversarial inputs for one batch.

        Args:
            model: in eval mode, its weights frozen.
            x: inputs (b, *shape) in [0, 1] on the model's device.
            y: true labels (b,).
            mask: 1 where an input may change, 0 elsewhere, of shape (*shape); None: everywhere.
            generator: the attack's random stream, on the model's device.

        Returns:
            Inputs (b, *shape) in [0, 1] within the budget around `x`.
        """

    def nearest(
        self, model: nn.Module, x: Tensor, y: Tensor, *, mask: Tensor | None, generator: torch.Generator
    ) -> Tensor | None:
        """The nearest wrong inputs, whatever the budget, for one batch; None: it searches within a budget."""
        return None

    def unconstrained(self) -> "EvasionAttack | None":
        """An attack to compare with that need not make possible records; None: there is nothing to compare."""
        return None

    def threat(self) -> dict[str, Any]:
        """What its adversary may do, beside the budget: attacks that differ in it are not compared in a suite."""
        return {"norm": self.norm, "labels": self.labels, "immutable": self.immutable}

    @property
    def budget(self) -> float:
        """`epsilon`, or 0.03 (8/255) where none was given."""
        return 0.03 if self.epsilon is None else self.epsilon

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def bound(self, victim: Victim, splits: DataSplits) -> Self:
        """The attack on this victim, with what it must have beside the model, such as another model; trains that.

        By default itself: most attacks need no more than the model.
        """
        return self

    def asked(self, model: nn.Module) -> nn.Module:
        """What is attacked and judged in the model's place; by default the model."""
        return model

    def judged(self, victim: Victim, records: Records) -> Tensor:
        """The logits by which records are judged, (n, classes), on the CPU."""
        asked = self.asked(victim.model)
        return victim.logits(records) if asked is victim.model else predict(asked, records)

    def changeable(self, data: AmuletDataset) -> Tensor | None:
        """1 for the columns that are not `immutable`, (features,), or None for all of them."""
        if not self.immutable:
            return None
        mask = torch.ones(data.shape)
        variables = {shared_name(data.feature_names[start:end]): (start, end) for start, end in data.groups}
        for name in self.immutable:
            if name == "one_hot" and data.groups:
                for start, end in data.groups:
                    mask[start:end] = 0
            elif name in data.feature_names:
                mask[data.feature_names.index(name)] = 0
            elif name in variables:
                mask[slice(*variables[name])] = 0
            elif not data.feature_names:
                raise SettingError(
                    f"`attack.immutable` must be null for {data.name}, whose inputs are no named columns"
                )
            else:
                raise SettingError(f"`attack.immutable` must name columns of {data.name} or be one_hot, got {name}")
        return mask

    def ball(self, x: Tensor, mask: Tensor | None) -> Ball:
        """The inputs to choose from for each of `x` (b, *shape); searches that check this attack choose from them."""
        return BALLS[self.norm](x, self.budget, mask)

    def possible(self, x: Tensor, origin: Tensor) -> Tensor:
        """(b,) whether inputs (b, *shape) are among those that it may make of `origin`, beside the budget."""
        return torch.ones(len(x), dtype=torch.bool, device=x.device)

    def distance(self, x: Tensor, origin: Tensor) -> Tensor:
        """How far inputs (b, *shape) are from where they came from, in the budget's unit: (b,)."""
        return BALLS[self.norm].length(x - origin)

    def conditions(self) -> dict[str, Any]:
        """Under which a robust accuracy holds; JSON."""
        immutable = {"immutable": list(self.immutable)} if self.immutable else {}
        return {"epsilon": self.budget, "norm": self.norm, **immutable}

    def manifest(self, device: torch.device) -> dict[str, Any]:
        """What a reader of a result should know of how it works on that device, beside its conditions; JSON."""
        return {}

    def longer(self) -> Self | None:
        """The same with a search twice as long, which finds no more where this one had converged; None: no search.

        By default where `steps` is a hyper-parameter.
        """
        steps = self.settings().get("steps")
        return None if steps is None else self.changed(steps=2 * steps)

    def unbounded(self) -> Self | None:
        """The same with a budget and a search that no right answer should withstand; None: it cannot promise that.

        By default where `steps` is a hyper-parameter.
        """
        settings = self.settings()
        if "steps" not in settings:
            return None
        longer_steps = {"rel_step_size": 0.1} if "rel_step_size" in settings else {}
        epsilon = BALLS[self.norm].whole(self.budget)
        return self.changed(epsilon=epsilon, steps=max(settings["steps"], 40), **longer_steps)

    def batches(
        self,
        model: nn.Module,
        records: Records,
        stream: Stream,
        *,
        mask: Tensor | None = None,
        stage: Stage | None = None,
    ) -> Iterator[tuple[slice, Tensor]]:
        """Adversarial inputs (b, *shape) batch by batch, in float32 on the model's device, each with its positions.

        A test split of images would not fit into memory as floats; for a table `adversarial` returns all at once.
        """
        device = device_of(model)
        mask = None if mask is None else mask.to(device)
        size = self.batch_size or batch_size_for(records.shape)
        for start in range(0, len(records), size):
            batch = slice(start, min(start + size, len(records)))
            x, y = records.inputs(batch).to(device), records.y[batch].to(device)
            generator = (stream / start).generator(device)
            with evaluating(model), frozen(model), laid_out(model, x[:1], low_precision=False):
                found = cast(object, self.perturb(model, x, y, mask=mask, generator=generator))  # also of a user's
            if not (isinstance(found, Tensor) and found.shape == x.shape):
                got = f"a tensor {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
                raise SettingError(f"`{type(self).__name__}.perturb` must return inputs {tuple(x.shape)}, got {got}")
            yield batch, found
            if stage is not None:
                stage.advance(len(y))

    def adversarial(
        self,
        model: nn.Module,
        records: Records,
        stream: Stream,
        *,
        mask: Tensor | None = None,
        stage: Stage | None = None,
    ) -> Tensor:
        """Adversarial inputs (n, *shape) in float32, on the CPU, for all records."""
        return torch.cat([x.cpu() for _, x in self.batches(model, records, stream, mask=mask, stage=stage)])

    def attack(self) -> DataLoader[Any]:
        """Attack `model` on all records of `test_loader`; a loader of adversarial inputs and true labels."""
        if self.model is None or self.test_loader is None:
            raise SettingError(f"`{type(self).__name__}` must be built with a model and a loader to run `attack()`")
        records = Records.from_loader(self.test_loader)
        self.model.to(self.device)
        with Reporter().stage(type(self).__name__, len(records), "record") as stage:
            x = self.adversarial(self.model, records, Stream(0) / "attack" / "evasion", stage=stage)
        return DataLoader(TensorDataset(x, records.y), batch_size=self.batch_size or batch_size_for(x.shape[1:]))
