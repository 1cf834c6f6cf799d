"""What every extraction attack is: queries, and a recipe for the stolen model."""

from abc import abstractmethod
from collections.abc import Callable

from torch import Tensor

from amulet.core.component import Attack, Factory
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.training.recipe import Recipe


class Oracle:
    """The victim as the adversary sees it: it answers with logits, and counts what it was asked.

    >>> import torch
    >>> oracle = Oracle(lambda records: records.x)
    >>> answers = oracle.ask(Records.of(torch.zeros(3, 2), torch.zeros(3)))
    >>> oracle.queries
    3
    """

    def __init__(self, answer: Callable[[Records], Tensor]) -> None:
        self._answer = answer
        self.queries = 0
        """Records answered so far; the same record asked twice counts twice."""

    def ask(self, records: Records) -> Tensor:
        """The victim's logits (n, classes), float32 on the CPU. Keep them: asking again is another query."""
        self.queries += len(records)
        return self._answer(records)


class ExtractionAttack(Attack):
    """An attack that trains a stolen model on the victim's answers. A subclass has one method to write: `query`.

    The settings below concern what is done with the attack, and every attack has them; a subclass that takes them as
    keyword-only arguments makes them settings of the user's.
    """

    risk = "unauth_model_ownership"
    objective: str = "logit_mse"
    """What the stolen model is trained to: `logit_mse`, `kl` or `hard_labels` of `amulet.training.objective`."""
    epochs: int | None = None
    batch_size: int | None = None
    architecture: str | None = None
    queries: int | None = None
    """How many of the adversary's records the victim is asked about; None: all."""
    query_curve: list[int] | None = None
    """Budgets at which fidelity is reported too: random parts of what was bought, no further queries."""
    suspects: int = 5
    """Fine-tuned copies, and stolen models, that an ownership defence is judged on."""
    independents: int = 10
    """Independent models that an ownership defence is judged on."""
    fine_tune_epochs: int = 5

    @abstractmethod
    def query(self, oracle: Oracle, records: Records, stream: Stream) -> Records:
        """Buy answers.

        Args:
            oracle: the victim.
            records: what the adversary owns; never the victim's training records.
            stream: the attack's random stream.

        Returns:
            What the stolen model is trained on: records with the victim's logits as `targets`; made-up ones have
            negative ids.
        """

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def recipe(self, plain: Recipe) -> Recipe:
        """How models of the adversary's are made: as the victim's without a defence, but for what is set."""
        return plain.changed(
            architecture=Factory(self.architecture) if self.architecture else plain.architecture,
            epochs=self.epochs or plain.epochs,
            batch_size=self.batch_size or plain.batch_size,
        )
