"""Model extraction by matching the victim's answers (Tramer et al., USENIX Security 2016, as in ML-Doctor)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.loop import train
from amulet.unauth_model_ownership.attacks.base import ExtractionAttack, Oracle

_OBJECTIVES: dict[str, type[nn.Module]] = {
    "kl": nn.KLDivLoss,
    "logit_mse": nn.MSELoss,
    "hard_labels": nn.CrossEntropyLoss,
}


class ModelExtraction(ExtractionAttack):
    """Query the victim once with the adversary's records and train a model to give the same answers (paper: S3).

    Args:
        target_model: the victim, for `attack()`; the runner queries its victims itself.
        attack_model: an untrained model, for `attack()`.
        optimizer: over `attack_model`'s weights.
        criterion: MSELoss, KLDivLoss or CrossEntropyLoss, in place of `objective`.
        adversary_training_data: the adversary's records; the batch size is the loader's if none is set.
        device: the device of `attack()`; both models are moved there.
        training_epochs: `epochs` by position, as in the paper's Figure 1.
        objective: `kl`: KL divergence from the victim's class probabilities, the strongest that we know; `logit_mse`:
            mean squared error between logits (ML-Doctor, and the paper); `hard_labels`: cross-entropy with the
            victim's most likely class.
        epochs: how often the stolen model sees each answer; None: the victim's epochs, each of at least as many
            updates as over all records, so that few answers are learned as thoroughly as many.
        batch_size: None: the victim's.
        queries: the budget: the number of the adversary's records that are queried, drawn at random; None: all.
        architecture: import path of the stolen model's class; None: the victim's.
        query_curve: smaller budgets at which fidelity is reported too, covered by the same queries.
        suspects: if a defence verifies ownership: the number of fine-tuned copies at each rate, and of stolen models,
            with which it is evaluated.
        independents: the number of independent models with which it is evaluated; false positive rates need many.
        fine_tune_epochs: how long a copy is fine-tuned, on a random half of the adversary's records.
        fine_tune_rates: the learning rates of fine-tuned copies, as multiples of the victim's: `suspects` at each.
        prune: a copy for each: the share of its smallest weights that are set to 0, (0, 1).
    """

    def __init__(
        self,
        target_model: nn.Module | None = None,
        attack_model: nn.Module | None = None,
        optimizer: Optimizer | None = None,
        criterion: nn.Module | None = None,
        adversary_training_data: DataLoader[Any] | Records | None = None,
        device: str | torch.device = "cpu",
        training_epochs: int | None = None,
        *,
        objective: Literal["kl", "logit_mse", "hard_labels"] = "kl",
        epochs: int | None = None,
        batch_size: int | None = None,
        queries: int | None = None,
        architecture: str | None = None,
        query_curve: list[int] | None = None,
        suspects: int = 5,
        independents: int = 10,
        fine_tune_epochs: int = 5,
        fine_tune_rates: Sequence[float] = (1.0, 5.0),
        prune: Sequence[float] = (0.5, 0.8),
    ) -> None:
        one_of("objective", objective, _OBJECTIVES)
        if training_epochs is not None and epochs is not None:
            raise SettingError(f"`epochs` must be given once, got {training_epochs} and {epochs}")
        epochs = training_epochs if epochs is None else epochs
        in_range("epochs", epochs, 1, optional=True)
        in_range("batch_size", batch_size, 1, optional=True)
        in_range("queries", queries, 1, optional=True)
        for budget in query_curve or []:
            in_range("query_curve", budget, 1, queries)
        in_range("suspects", suspects, 1)
        in_range("independents", independents, 1)
        in_range("fine_tune_epochs", fine_tune_epochs, 1)
        for rate in fine_tune_rates:
            in_range("fine_tune_rates", rate, above=0)
        for share in prune:
            in_range("prune", share, above=0, below=1)
        self.target_model, self.attack_model = target_model, attack_model
        self.optimizer = optimizer
        self.adversary_training_data = adversary_training_data
        self.device = torch.device(device)
        self.objective = objective if criterion is None else _named(criterion)
        self.epochs = epochs
        self.batch_size = batch_size
        self.queries = queries
        self.architecture = architecture
        self.query_curve = query_curve
        self.suspects = suspects
        self.independents = independents
        self.fine_tune_epochs = fine_tune_epochs
        self.fine_tune_rates = list(fine_tune_rates)
        self.prune = list(prune)
        self.report: dict[str, Any] = {}
        """Of the last `attack()`: `queries`, and the training report."""

    def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
        """The adversary's records, or a random part within the budget, with the victim's logits as targets.

        Each record is queried once.
        """
        if self.queries is not None and self.queries > len(records):
            raise SettingError(
                f"`attack.queries` must be at most {len(records)}, the adversary's records; got {self.queries}"
            )
        if self.queries is not None:
            order = torch.randperm(len(records), generator=(stream / "queries").generator())
            records = records.take(order[: self.queries])
        return records.replace(targets=oracle.ask(records).to(records.x.device))

    def attack(self) -> nn.Module:
        """Steal `target_model` into `attack_model`, in place, and return it in eval mode."""
        target, model, data = self.target_model, self.attack_model, self.adversary_training_data
        if target is None or model is None or data is None or self.optimizer is None or self.epochs is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a target model, an attack model, its optimizer, the "
                "adversary's records and epochs to run `attack()`"
            )
        stream = Stream(0) / "attack" / "model_extraction"
        target.to(self.device)
        oracle = Oracle(lambda records: predict(target, records))
        bought = self.query(oracle, Records.from_loader(data), stream)
        size = data.batch_size if isinstance(data, DataLoader) else None
        report = train(
            model,
            bought,
            optimizer=self.optimizer,
            epochs=self.epochs,
            batch_size=self.batch_size or size or 256,
            stream=stream,
            objective=self.objective,
            device=self.device,
            label="model extraction",
        )
        self.report = {"queries": oracle.queries, **report}
        return model.eval()


def _named(criterion: nn.Module) -> str:
    for objective, kind in _OBJECTIVES.items():
        if isinstance(criterion, kind):
            return objective
    names = ", ".join(kind.__name__ for kind in _OBJECTIVES.values())
    raise SettingError(f"`criterion` must be one of {names} of torch.nn; got {type(criterion).__name__}")
