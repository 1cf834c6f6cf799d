"""The strongest score, chosen on shadow models: never on the answers of the model that is judged."""

from collections.abc import Callable, Mapping

import numpy as np

from amulet.core.ranking import auc
from amulet.membership_inference.attacks.shadows import Observed

ENOUGH = 6
"""Shadow models from which each can be attacked with the others: four are left, two of them with each record."""


def against_shadows(
    scores: Callable[[Observed], Mapping[str, np.ndarray]], observed: Observed
) -> dict[str, np.ndarray]:
    """The AUC of each score against each shadow model, (shadows,), by name.

    A shadow model's membership is known. It is attacked with all others but its pair, which was trained on the
    other half, so that each record still is in exactly half of those. Nothing is trained.
    """
    found: dict[str, list[float]] = {}
    pairs = np.arange(len(observed.shadows)) // 2
    for k, pair in enumerate(pairs):
        others = pairs != pair
        seen = Observed(
            target=observed.shadows[k],
            shadows=observed.shadows[others],
            inside=observed.inside[others],
            population_target=observed.population_shadows[k],
            population_shadows=observed.population_shadows[others],
        )
        for name, score in scores(seen).items():
            found.setdefault(name, []).append(auc(observed.inside[k], score))
    return {name: np.array(each) for name, each in found.items()}


def strongest(aucs: Mapping[str, np.ndarray]) -> str:
    """The score with the largest mean AUC; of equal ones the first.

    >>> strongest({"loss": np.array([0.5, 0.6]), "rmia": np.array([0.6, 0.6])})
    'rmia'
    """
    return max(aucs, key=lambda name: float(aucs[name].mean()))
