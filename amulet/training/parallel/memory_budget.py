"""Many models on parts of one table, without holding all parts or all models in memory at once."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from amulet.core.stream import Stream
from amulet.datasets.records import Records
from amulet.training.recipe import Recipe

_BUDGET = 2 * 2**30
"""Bytes of records and weights at a time."""
_MOST = 32


def fit_in_portions(
    recipe: Recipe, pool: Records, places: Sequence[Tensor], streams: Sequence[Stream], label: str
) -> Iterator[nn.Module]:
    """One model after the other, each for its part of `pool`; as many are trained at once as fit into memory.

    The models are those of `recipe.fit_many([pool.take(place) for place in places], streams)`.

    Args:
        places: for each model the positions of its records in `pool`, or a bool mask.
        streams: one for each model.
        label: the name of what is trained, for messages.
    """
    if not places:
        return
    size = portion(recipe, pool, places)
    for start in range(0, len(places), size):
        part = slice(start, start + size)
        which = f", {start + 1} to {min(start + size, len(places))} of {len(places)}" if size < len(places) else ""
        models = recipe.fit_many([pool.take(place) for place in places[part]], streams[part], label + which)
        while models:
            yield models.pop(0)


def portion(recipe: Recipe, pool: Records, places: Sequence[Tensor]) -> int:
    """How many models are trained at once: at least one, at most 32."""
    record = pool.x[:1].numel() * pool.x.element_size()
    largest = max(int(place.sum()) if place.dtype == torch.bool else len(place) for place in places)
    parameters = recipe.build(pool.shape, Stream(0)).parameters() if recipe.differentiable else ()
    weights = sum(0 if is_lazy(p) else p.numel() * p.element_size() for p in parameters)
    return max(1, min(_MOST, _BUDGET // max(1, largest * record + weights)))
