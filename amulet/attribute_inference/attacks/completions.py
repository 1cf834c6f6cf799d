"""Inference of an attribute that is an input: the victim is asked about the record with each value in its place."""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amulet.attribute_inference.attacks.base import Asked, Features, Inference
from amulet.attribute_inference.attacks.learner import LearnedAttack
from amulet.core.errors import IncompatibleError, one_of
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.variables import Variable

_MOST = 20  # values of an attribute that is inferred without being named: each takes a query of every record


class CompletionAttack(LearnedAttack):
    """Knows everything of a record but one categorical input; a subclass says how the answers are used.

    Its baselines are a guesser without the model (`inputs`): an MLP that imputes the attribute from the other inputs
    and the label, fitted to the adversary's own records; how frequent each value is; the label alone. The gain over
    the guesser without the model (`advantage`) decides: what can be imputed is no leak of the model (Jayaraman and
    Evans, CCS 2022).
    """

    reference = "inputs"
    decides = "advantage"
    asks_for_each = True

    def __init__(
        self,
        target_model: nn.Module | None = None,
        adversary_records: Records | None = None,
        test_records: Records | None = None,
        device: str | torch.device = "cpu",
        variables: Mapping[str, Variable] | None = None,
        *,
        attributes: list[str] | None = None,
        hidden: Sequence[int] = (64, 32),
        epochs: int = 20,
        batch_size: int = 256,
        lr: float = 0.001,
        held_out: float = 0.2,
    ) -> None:
        super().__init__(target_model, adversary_records, test_records, device, variables)
        self._set_learner(
            attributes=attributes, hidden=hidden, epochs=epochs, batch_size=batch_size, lr=lr, held_out=held_out
        )

    def check(self, data: AmuletDataset) -> None:
        """Pictures have no categorical inputs."""
        if data.modality != "tabular":
            raise IncompatibleError(
                "what is missing in a record is tried out where it is a categorical column of a table; take a table"
            )

    def chosen(self, attributes: tuple[str, ...], variables: Mapping[str, Variable]) -> list[str]:
        """The sensitive attributes that are inputs; where none is, all categorical inputs of at most 20 values."""
        for name in self.attributes or ():
            one_of("attack.attributes", name, variables)
        few = [name for name, variable in variables.items() if len(variable.values) <= _MOST]
        found = self.attributes or [name for name in few if name in attributes] or few
        if not found:
            raise IncompatibleError(
                "a missing input is inferred where it is categorical, and the data set has no categorical input of at "
                f"most {_MOST} values; take one that has, such as census, or see dataset.categorical"
            )
        return list(found)

    def codes(self, attribute: str, records: Records, variables: Mapping[str, Variable]) -> Tensor:
        """The value of the input."""
        return variables[attribute].codes(records)

    def named(self, attribute: str, value: int, asked: Asked) -> str:
        """As the columns are named."""
        return asked.variables[attribute].name_of(value)

    def queries(self, one: Inference) -> int:
        """One for each value."""
        return one.count * super().queries(one)

    def completed(self, records: Records, one: Inference) -> Tensor:
        """The answers to the records with each value in turn, (n, k, classes) logits."""
        variable, answer = one.asked.variables[one.attribute], one.asked.answer

        def ask() -> Tensor:
            return torch.stack([answer(variable.completed(records, value)) for value in one.values.tolist()], dim=1)

        return one.asked.once(one.attribute, records, ask)

    def baselines(self, one: Inference) -> dict[str, Features]:
        """What is known without the model."""
        asked = one.asked
        classes = self.completed(asked.adversary, one).shape[2]

        def inputs(records: Records) -> Tensor:
            label = F.one_hot(records.y.cpu(), classes).float()
            return torch.cat([asked.others(one.attribute, records), label], dim=1)

        return {
            "prior": lambda records: torch.zeros(len(records), dtype=torch.int64),
            "label": lambda records: records.y.cpu(),
            "inputs": inputs,
        }


def only_right(answers: Tensor, y: Tensor) -> Tensor:
    """The value with which alone a record gets its label, (n,); -1 where it does with none or with several.

    Case 1 of Mehnaz et al. (USENIX Security 2022, section 4.2).

    Args:
        answers: (n, k) the answered class by value.
        y: (n,) the labels.

    >>> only_right(torch.tensor([[0, 1], [1, 1], [0, 0]]), torch.tensor([1, 1, 1]))
    tensor([ 1, -1, -1])
    """
    right = answers == y[:, None]
    return torch.where(right.sum(dim=1) == 1, right.int().argmax(dim=1), -1)
