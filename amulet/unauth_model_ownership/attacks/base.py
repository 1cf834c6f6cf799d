"""The base class of extraction attacks: queries, and a recipe for the stolen model."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from amulet.core.access import ALL, Access
from amulet.core.component import Attack, Factory
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.training.device_data import updates_of
from amulet.training.recipe import Recipe


class Oracle:
    """The victim as the adversary sees it: it answers as far as it grants that, and counts the queries.

    >>> import torch
    >>> oracle = Oracle(lambda records: records.x, Access.LABELS)
    >>> oracle.ask(Records.of(torch.tensor([[0.2, 0.8], [3.0, 1.0]]), torch.zeros(2)))
    tensor([[0., 1.],
            [1., 0.]])
    >>> oracle.queries
    2
    """

    def __init__(self, answer: Callable[[Records], Tensor], grants: Access = ALL) -> None:
        self._answer, self._grants = answer, grants
        self.queries = 0
        """Number of records answered so far; the same record asked twice counts twice."""

    def ask(self, records: Records) -> Tensor:
        """The victim's answers (n, classes), float32 on the CPU. Keep them: asking again costs another query.

        They are logits; where only probabilities are granted, the logarithms of these; where only the class is, 1 for
        it and 0 for the others.
        """
        self.queries += len(records)
        logits = self._answer(records)
        if Access.LOGITS in self._grants:
            return logits
        if Access.PROBABILITIES in self._grants:
            return logits.log_softmax(dim=1)
        return F.one_hot(logits.argmax(dim=1), logits.shape[1]).to(logits.dtype)


@dataclass(frozen=True)
class Means:
    """What the adversary has beside its records and the victim's answers."""

    learn: Callable[[Records], nn.Module]
    """Trains a model on records with the victim's answers as `targets`, as the stolen model will be; in eval mode."""
    groups: tuple[tuple[int, int], ...] = ()
    """Column ranges [start, end) of a table that are one-hot codes of one variable."""


class ExtractionAttack(Attack):
    """An attack that trains a stolen model on the victim's answers. A subclass has one method to write: `query`.

    Every attack has the settings below, which concern its evaluation; a subclass that takes them as keyword-only
    arguments makes them available to the user.
    """

    risk = "unauth_model_ownership"
    needs = Access.LOGITS | Access.QUERIES
    """The oracle answers with no more than that."""
    objective: str = "kl"
    """The objective of the stolen model: `kl`, `logit_mse` or `hard_labels` of `amulet.training.objective`."""
    epochs: int | None = None
    """Passes over the queried records; None: the victim's epochs, each of at least as many updates as the victim's."""
    batch_size: int | None = None
    architecture: str | None = None
    queries: int | None = None
    """How many of the adversary's records the victim is asked about; None: all."""
    query_curve: list[int] | None = None
    """Smaller budgets at which fidelity is reported too: random parts of the answers, without further queries."""
    suspects: int = 5
    """The number of fine-tuned copies at each rate, and of stolen models, to evaluate an ownership defence with."""
    independents: int = 10
    """The number of independent models with which an ownership defence is evaluated."""
    fine_tune_epochs: int = 5
    """How long removers train copies further."""
    removers: Mapping[str, Mapping[str, Any]] | None = None
    """What a thief does to copies so that they are not recognised, by the copies' names; None: `removers.USUAL`."""
    sequential: bool = False
    """Is what is asked chosen by earlier answers? Then a smaller budget buys the first of the answers, not any."""

    @abstractmethod
    def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
        """Query the victim.

        Args:
            oracle: the victim.
            records: the adversary's records; never the victim's training records.
            stream: the attack's random stream.

        Returns:
            The training data of the stolen model: records with the victim's answers as `targets`; made-up ones have
            negative ids. A record without an id of its own, and so without a true label, is a made-up one.
        """

    def gather(self, oracle: Oracle, records: Records, stream: Stream, means: Means) -> Records:
        """As `query`, which it calls; an attack overrides it that trains models between its queries."""
        return self.query(oracle, records, stream)

    def most_queries(self, owned: int) -> int | None:
        """How many queries so many records of the adversary's are enough for; None: as many as it likes."""
        return owned

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def recipe(self, plain: Recipe, records: int = 0) -> Recipe:
        """The recipe of the adversary's models: the victim's without a defence, except for what is set.

        Args:
            plain: the victim's recipe without a defence.
            records: an epoch has at least as many updates as one over so many records, unless `epochs` is set. A thief
                with few answers trains on them as long as with many: else a small budget would look like a safe model.
        """
        size = self.batch_size or plain.batch_size
        return plain.changed(
            architecture=Factory(self.architecture) if self.architecture else plain.architecture,
            epochs=self.epochs or plain.epochs,
            batch_size=size,
            min_updates=0 if self.epochs else updates_of(records, size),
        )
