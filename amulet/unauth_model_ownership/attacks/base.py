"""The base class of extraction attacks: queries, and a recipe for the stolen model."""

from abc import abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor

from amulet.core.component import Attack, Factory
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.training.device_data import updates_of
from amulet.training.recipe import Recipe


class Oracle:
    """The victim as the adversary sees it: it answers with logits, and counts the queries.

    >>> import torch
    >>> oracle = Oracle(lambda records: records.x)
    >>> answers = oracle.ask(Records.of(torch.zeros(3, 2), torch.zeros(3)))
    >>> oracle.queries
    3
    """

    def __init__(self, answer: Callable[[Records], Tensor]) -> None:
        self._answer = answer
        self.queries = 0
        """Number of records answered so far; the same record asked twice counts twice."""

    def ask(self, records: Records) -> Tensor:
        """The victim's logits (n, classes), float32 on the CPU. Keep them: asking again costs another query."""
        self.queries += len(records)
        return self._answer(records)


class ExtractionAttack(Attack):
    """An attack that trains a stolen model on the victim's answers. A subclass has one method to write: `query`.

    Every attack has the settings below, which concern its evaluation; a subclass that takes them as keyword-only
    arguments makes them available to the user.
    """

    risk = "unauth_model_ownership"
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
    fine_tune_rates: Sequence[float] = (1.0, 5.0)
    """Learning rates of fine-tuned copies, as multiples of the victim's."""
    prune: Sequence[float] = (0.5, 0.8)
    """Shares of the weights that pruned copies have lost."""

    @abstractmethod
    def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
        """Query the victim.

        Args:
            oracle: the victim.
            records: the adversary's records; never the victim's training records.
            stream: the attack's random stream.

        Returns:
            The training data of the stolen model: records with the victim's logits as `targets`; made-up ones have
            negative ids.
        """

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
