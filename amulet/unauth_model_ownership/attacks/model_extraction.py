"""Model extraction by matching the victim's answers (Tramer et al., USENIX Security 2016, as in ML-Doctor)."""

import copy
from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

import torch
from torch import nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader

from amulet.core.access import Access
from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.models.inspect import predict
from amulet.training.loop import train
from amulet.unauth_model_ownership.attacks.base import ExtractionAttack, Means, Oracle
from amulet.unauth_model_ownership.attacks.pool import INPUTS, made_up, other_data
from amulet.unauth_model_ownership.attacks.rounds import choosing, growing
from amulet.unauth_model_ownership.attacks.strategies import CHOICES
from amulet.unauth_model_ownership.removers import Remover, described

_OBJECTIVES: dict[str, tuple[type[nn.Module], Access]] = {
    "kl": (nn.KLDivLoss, Access.PROBABILITIES),
    "logit_mse": (nn.MSELoss, Access.LOGITS),
    "hard_labels": (nn.CrossEntropyLoss, Access.LABELS),
}
"""By objective: torch's loss, and what it needs of the victim's answers."""
_STRATEGIES = ("random", *CHOICES, "jacobian")
_CHOICE = 4  # a strategy chooses among so many times the budget of made-up inputs


class ModelExtraction(ExtractionAttack):
    """Query the victim with the adversary's records and train a model to give the same answers (paper: S3).

    No record is asked about twice. With `strategy` other than `random` the queries come in rounds, and what is asked
    next depends on a model that the thief trains on the answers so far; with `inputs` other than `records` they are no
    records of the victim's kind (Knockoff Nets, Orekondy et al., CVPR 2019).

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
            victim's most likely class. The victim's answers hold no more than that: probabilities, logits, or labels.
        epochs: how often the stolen model sees each answer; None: the victim's epochs, each of at least as many
            updates as over all records, so that few answers are learned as thoroughly as many.
        batch_size: None: the victim's.
        queries: the budget: how many answers the victim gives; None: one for each of the inputs.
        inputs: what is asked: `records`: the adversary's; `shuffled`: blocks of different records put together;
            `noise`; or the import path of a function that loads other data, such as `amulet.datasets.load_cifar10`.
        strategy: `random`; or in rounds the inputs that the thief's model is least certain about, by `margin` or
            `entropy`, or those farthest from all that were asked, `k_center` (ActiveThief, Pal et al., AAAI 2020); or
            `jacobian`: a few inputs at first, then steps from each that was asked to its class's boundary (Papernot et
            al., AsiaCCS 2017), which are no records.
        rounds: of queries, with a strategy other than `random`; before each but the first a model is trained.
        step: the length of a `jacobian` step in each value of an input, (0, 1].
        architecture: import path of the stolen model's class; None: the victim's.
        query_curve: smaller budgets at which fidelity is reported too, covered by the same queries.
        suspects: if a defence verifies ownership: the number of fine-tuned copies at each rate, and of stolen models,
            with which it is evaluated.
        independents: the number of independent models with which it is evaluated; false positive rates need many.
        fine_tune_epochs: how long a copy is trained further where a remover does that.
        removers: what is done to copies so that their owner does not recognise them: by the name of such copies, a
            `Remover`, or a mapping with its class in `_target_` and its settings; None: the usual ones, which are
            `amulet.unauth_model_ownership.removers.USUAL`.
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
        inputs: str = "records",
        strategy: Literal["random", "margin", "entropy", "k_center", "jacobian"] = "random",
        rounds: int = 5,
        step: float = 0.1,
        architecture: str | None = None,
        query_curve: list[int] | None = None,
        suspects: int = 5,
        independents: int = 10,
        fine_tune_epochs: int = 5,
        removers: Mapping[str, Remover | Mapping[str, Any]] | None = None,
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
        one_of("strategy", strategy, _STRATEGIES)
        in_range("rounds", rounds, 2)
        in_range("step", step, 0, 1, above=0)
        if "." not in inputs:
            one_of("inputs", inputs, ("records", *INPUTS))
        if strategy != "random" and queries is None:
            raise SettingError(f"`queries` must be given with strategy {strategy}, which chooses what to ask; got None")
        self.target_model, self.attack_model = target_model, attack_model
        self.optimizer = optimizer
        self.adversary_training_data = adversary_training_data
        self.device = torch.device(device)
        self.objective = objective if criterion is None else _named(criterion)
        self.epochs = epochs
        self.batch_size = batch_size
        self.queries = queries
        self.inputs = inputs
        self.strategy = strategy
        self.rounds = rounds
        self.step = step
        self.architecture = architecture
        self.query_curve = query_curve
        self.suspects = suspects
        self.independents = independents
        self.fine_tune_epochs = fine_tune_epochs
        self.removers = None if removers is None else described(removers)
        self.sequential = strategy != "random"
        needs = _OBJECTIVES[self.objective][1] | Access.QUERIES
        self.needs = needs  # pyright: ignore[reportAttributeAccessIssue]  # here it depends on a setting
        self.report: dict[str, Any] = {}
        """Of the last `attack()`: `queries`, and the training report."""

    def most_queries(self, owned: int) -> int | None:
        """See `ExtractionAttack.most_queries`: records are asked once each, others can be made up."""
        return owned if self.inputs == "records" and self.strategy != "jacobian" else None

    def check(self, data: AmuletDataset) -> None:
        """Other data must have the shape of these, and be enough for the budget."""
        if "." in self.inputs:
            self._enough(len(other_data(self.inputs, data.shape)), f"what {self.inputs} loads")

    def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
        """These records, or a random part within the budget, with the victim's answers as targets."""
        self._enough(len(records), "the adversary's records")
        if self.queries is not None:
            records = records.take(_order(records, stream)[: self.queries])
        return _asked(oracle, records)

    def gather(self, oracle: Oracle, records: Records, stream: Stream, means: Means) -> Records:
        """What `inputs` and `strategy` say, in the order of asking."""
        pool, ask = self._pool(records, stream, means.groups), partial(_asked, oracle)
        if self.strategy == "random" or self.queries is None:
            return self.query(oracle, pool, stream)
        pool = pool.take(_order(pool, stream))
        if self.strategy == "jacobian":
            return growing(ask, means.learn, pool, self.queries, self.rounds, self.step, stream / "steps")
        self._enough(len(pool), "what there is to ask")
        return choosing(self.strategy, ask, means.learn, pool, self.queries, self.rounds)

    def _pool(self, records: Records, stream: Stream, groups: tuple[tuple[int, int], ...]) -> Records:
        """What may be asked."""
        if self.inputs == "records":
            return records
        if self.inputs in INPUTS:
            count = max(len(records), (self.queries or 0) * (1 if self.strategy == "random" else _CHOICE))
            return made_up(INPUTS[self.inputs](records, count, groups, stream / "inputs"), records)
        return made_up(other_data(self.inputs, records.shape).to(records.x.device), records)

    def _enough(self, there: int, what: str) -> None:
        if self.queries is not None and self.queries > there:
            raise SettingError(f"`attack.queries` must be at most {there}, {what}; got {self.queries}")

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
        oracle = Oracle(lambda records: predict(target, records), self.needs)
        size = self.batch_size or (data.batch_size if isinstance(data, DataLoader) else None) or 256

        def learned(bought: Records, model: nn.Module, optimizer: Optimizer, label: str) -> dict[str, Any]:
            return train(
                model,
                bought,
                optimizer=optimizer,
                epochs=self.epochs or 1,
                batch_size=size,
                stream=stream,
                objective=self.objective,
                device=self.device,
                label=label,
            )

        def learn(bought: Records) -> nn.Module:
            trial, optimizer = copy.deepcopy((model, self.optimizer))  # together: it is over the copy's weights
            assert optimizer is not None
            learned(bought, trial, optimizer, "model between queries")
            return trial.eval()

        bought = self.gather(oracle, Records.from_loader(data), stream, Means(learn))
        report = learned(bought, model, self.optimizer, "model extraction")
        self.report = {"queries": oracle.queries, **report}
        return model.eval()


def _order(records: Records, stream: Stream) -> torch.Tensor:
    return torch.randperm(len(records), generator=(stream / "queries").generator())


def _asked(oracle: Oracle, records: Records) -> Records:
    return records.replace(targets=oracle.ask(records).to(records.x.device))


def _named(criterion: nn.Module) -> str:
    for objective, (kind, _) in _OBJECTIVES.items():
        if isinstance(criterion, kind):
            return objective
    names = ", ".join(kind.__name__ for kind, _ in _OBJECTIVES.values())
    raise SettingError(f"`criterion` must be one of {names} of torch.nn; got {type(criterion).__name__}")
