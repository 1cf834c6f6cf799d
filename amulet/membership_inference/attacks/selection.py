"""The strongest score, chosen on shadow models: never on the answers of the model that is judged."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np

from amulet.core.errors import SettingError
from amulet.core.ranking import auc
from amulet.membership_inference.attacks.shadows import Observed

ENOUGH = 6
"""Shadow models from which each can be attacked with the others: four are left, two of them with each record."""


Scores = Callable[[Observed], Mapping[str, np.ndarray]]


def averaged(scores: Scores, views: Sequence[Observed]) -> dict[str, np.ndarray]:
    """The mean of each score over the views of the records, (n,) by name."""
    found = [_checked(scores(view), len(view.target)) for view in views]
    return {name: np.mean([each[name] for each in found], axis=0) for name in found[0]}


def _checked(found: Any, records: int) -> Mapping[str, np.ndarray]:
    """What an attack of anybody's gives as scores."""
    if not (isinstance(found, Mapping) and found):
        raise SettingError(f"`scores` must return arrays by name, at least one, got {type(found).__name__}")
    for name, values in cast(Mapping[str, Any], found).items():
        if np.shape(values) != (records,):
            raise SettingError(f"`scores` must return ({records},) numbers as {name}, got {np.shape(values)}")
    return cast(Mapping[str, np.ndarray], found)


def against_shadows(scores: Scores, views: Sequence[Observed]) -> dict[str, np.ndarray]:
    """The AUC of each score against each shadow model, (shadows,), by name.

    A shadow model's membership is known. It is attacked with all others but its pair, which was trained on the
    other half, so that each record still is in exactly half of those. Nothing is trained.

    Args:
        scores: what is observed to scores by name.
        views: the same records in one or more views; their scores are averaged.
    """
    found: dict[str, list[float]] = {}
    pairs = np.arange(len(views[0].shadows)) // 2
    for k, pair in enumerate(pairs):
        others = pairs != pair
        seen = [
            Observed(
                target=view.shadows[k],
                shadows=view.shadows[others],
                inside=view.inside[others],
                population_target=view.population_shadows[k],
                population_shadows=view.population_shadows[others],
            )
            for view in views
        ]
        for name, score in averaged(scores, seen).items():
            found.setdefault(name, []).append(auc(views[0].inside[k], score))
    return {name: np.array(each) for name, each in found.items()}


def strongest(aucs: Mapping[str, np.ndarray]) -> str:
    """The score with the largest mean AUC; of equal ones the first.

    >>> strongest({"loss": np.array([0.5, 0.6]), "rmia": np.array([0.6, 0.6])})
    'rmia'
    """
    return max(aucs, key=lambda name: float(aucs[name].mean()))
