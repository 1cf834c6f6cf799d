"""Which training records defences took out before training."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np


class Removal(NamedTuple):
    """What became of the records that defences could have taken out."""

    ids: np.ndarray
    """(n,) of the records, those that were taken out and those that stayed."""
    removed: np.ndarray
    """(n,) bool."""


def removal_in(arrays: Mapping[str, np.ndarray]) -> Removal | None:
    """What the arrays of `amulet.training.Trained` say was removed; None where no defence of the recipe removes.

    A defence that does so reports `ids` and, aligned with them, a bool array `removed`.

    >>> arrays = {"mine.ids": np.array([4, 5, 6]), "mine.removed": np.array([False, True, False])}
    >>> removal_in({**arrays, "other.ids": np.array([4, 6]), "other.removed": np.array([True, False])})
    Removal(ids=array([4, 5, 6]), removed=array([ True,  True, False]))
    """
    found = [
        Removal(arrays[ids], removed.astype(bool))
        for name, removed in arrays.items()
        if name.endswith(".removed") and (ids := f"{name.removesuffix('removed')}ids") in arrays
    ]
    if len(found) < 2:
        return found[0] if found else None
    ids = np.unique(np.concatenate([one.ids for one in found]))
    return Removal(ids, np.isin(ids, np.concatenate([one.ids[one.removed] for one in found])))
