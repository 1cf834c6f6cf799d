"""Membership inference without shadow models: the record against a population that the model was not trained on."""

import numpy as np
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.datasets.records import Records
from amulet.membership_inference.attacks.candidates import Asked, CandidateAttack, Scored
from amulet.membership_inference.attacks.signals import membership_signal
from amulet.training.recipe import Recipe


class PopulationAttack(CandidateAttack):
    """Is the model surer of the record than of most others of its class, which it was not trained on?

    Score `population`: the share of the population's records of the same class on which the model is less confident of
    the label, in (0, 1) (Ye et al., CCS 2022, attack P, with a threshold for each class). It needs no shadow models.

    The arguments are those of every membership inference attack: `CandidateAttack`.
    """

    title = "population attack"
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
    ) -> None:
        super().__init__(model, recipe, records, members, population)
        self._set_pool(pool_size)

    def judge(self, asked: Asked) -> Scored:
        """One look at the records, one at the population."""
        y, other_y = asked.records.y.cpu(), asked.population.y.cpu()
        signals = membership_signal(asked.answer(asked.records), y)
        others = membership_signal(asked.answer(asked.population), other_y)
        return Scored(
            scores={"population": shares_below(signals, y.numpy(), others, other_y.numpy())}, target_signals=signals
        )


def shares_below(signals: np.ndarray, y: np.ndarray, others: np.ndarray, other_y: np.ndarray) -> np.ndarray:
    """The share of `others` of the same class that are below each signal, (n,): (k + 1) / (m + 2) of m, ties half.

    A class that no other record has is compared with all of them.

    >>> shares_below(np.array([2.0, 2.0]), np.array([0, 1]), np.array([1.0, 3.0, 1.0]), np.array([0, 0, 1]))
    array([0.5       , 0.66666667])
    """
    found = np.empty(len(signals))
    for label in np.unique(y):
        mine = y == label
        same = others[other_y == label]
        ordered = np.sort(same if len(same) else others)
        sides = [np.searchsorted(ordered, signals[mine], side=side) for side in ("left", "right")]
        found[mine] = (np.mean(sides, axis=0) + 1) / (len(ordered) + 2)
    return found
