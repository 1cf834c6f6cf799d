"""What a thief does to a copied model so that its owner does not recognise it."""

from collections.abc import Mapping

from amulet.unauth_model_ownership.removers.base import Remover, Thief, built, described
from amulet.unauth_model_ownership.removers.compression import FinePruning, Pruning, Quantising
from amulet.unauth_model_ownership.removers.inputs import Filtering, Rounding
from amulet.unauth_model_ownership.removers.tuning import AdversarialTuning, Distilling, FineTuning, Overwriting

USUAL: Mapping[str, Remover] = {
    "fine_tuned": FineTuning(),
    "fine_tuned_x5": FineTuning(rate=5.0),
    "pruned_50": Pruning(share=0.5),
    "pruned_80": Pruning(share=0.8),
    "quantised_4": Quantising(bits=4),
    "overwritten": Overwriting(),
    "filtered": Filtering(),
    "rounded": Rounding(),
}
"""Those that an ownership defence is evaluated with where none are chosen, by the name of their copies."""

__all__ = [
    "USUAL",
    "AdversarialTuning",
    "Distilling",
    "Filtering",
    "FinePruning",
    "FineTuning",
    "Overwriting",
    "Pruning",
    "Quantising",
    "Remover",
    "Rounding",
    "Thief",
    "built",
    "described",
]
