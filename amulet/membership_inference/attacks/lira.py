"""The likelihood ratio attack (Carlini et al., S&P 2022), with RMIA, BASE and the loss from the same shadow models."""

from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from amulet.core.errors import IncompatibleError, in_range, one_of
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.membership_inference.attacks import formulas
from amulet.membership_inference.attacks.base import FEW, MembershipAttack
from amulet.membership_inference.attacks.candidates import Shadow
from amulet.membership_inference.attacks.shadows import Observed
from amulet.membership_inference.attacks.signals import log_confidence
from amulet.membership_inference.attacks.views import MOST_VIEWS, image_views
from amulet.training.recipe import Recipe

MANY = 64  # shadow models that are enough to estimate each record's variance


class LiRA(MembershipAttack):
    """Is the model's confidence on a record more like that of models trained on it, or of models that were not?

    Scores: `lira_online` (both kinds of shadow models), `lira_offline` (only those without the record), `rmia` and
    `rmia_offline` (Zarifzadeh et al., ICML 2024), `base` (Lassila et al., NeurIPS 2025), and `loss` (Yeom et al., CSF
    2018), which needs no shadow models.

    Args:
        offline: `tail`: the one-sided test of the paper; `density`: that of its code, close to chance.
        variance: `per_example`: each record's own; `pooled`: one for all records; `shrunk`: between the two, as far as
            the records are similar; `auto`: shrunk below 64 shadow models, per example from there.
        gamma: RMIA: the factor by which a record must exceed another one, 1 or more.
        offline_a: RMIA offline: p(x) = ((1 + a) p_out(x) + 1 - a) / 2, in [0, 1].
        queries: of images, how often each is asked: the image, its mirror image, shifts by a pixel, ... (Carlini et
            al., section VI-C). Scores are means over them.

    The other arguments are those of every membership inference attack: `MembershipAttack`.
    """

    def __init__(
        self,
        model: nn.Module | None = None,
        recipe: Recipe | None = None,
        records: Records | None = None,
        members: Tensor | None = None,
        population: Records | None = None,
        *,
        n_shadow: int = 16,
        shadow: Shadow = "same_as_victim",
        pool_size: int | None = None,
        offline: Literal["tail", "density"] = "tail",
        variance: Literal["auto", "shrunk", "pooled", "per_example"] = "auto",
        gamma: float = 1.0,
        offline_a: float = 0.3,
        queries: int = 1,
    ) -> None:
        super().__init__(model, recipe, records, members, population)
        self._set_shadows(n_shadow, shadow, pool_size)
        one_of("offline", offline, ("tail", "density"))
        one_of("variance", variance, ("auto", "shrunk", "pooled", "per_example"))
        in_range("gamma", gamma, 1)
        in_range("offline_a", offline_a, 0, 1)
        in_range("queries", queries, 1, MOST_VIEWS)
        self.offline: Literal["tail", "density"] = offline
        self.variance: Literal["auto", "shrunk", "pooled", "per_example"] = variance
        self.gamma = gamma
        self.offline_a = offline_a
        self.queries = queries

    @property
    def estimate(self) -> formulas.Variance:
        """The variance that `variance` means with this many shadow models."""
        if self.variance == "auto":
            return "per_example" if self.n_shadow >= MANY else "shrunk"
        return self.variance

    def manifest(self) -> dict[str, Any]:
        """Which variants of the scores these are."""
        return {"variance": self.estimate, "offline": self.offline, "queries": self.queries}

    def warnings(self) -> list[str]:
        """Few shadow models."""
        return [] if self.n_shadow >= FEW else [self._too_few("estimate each record's Gaussians")]

    def check(self, data: AmuletDataset) -> None:
        """`IncompatibleError` if records that have no mirror image are to be asked several times."""
        if self.queries > 1 and data.modality != "image":
            raise IncompatibleError(
                f"`attack.queries` of {self.queries} asks about mirrored and shifted images, and {data.name} has none; "
                "leave it at 1"
            )

    def views(self, records: Records) -> list[Records]:
        """The images, mirrored and shifted."""
        return image_views(records, self.queries)

    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        """The six scores, each (n,)."""
        within, without = observed.split()
        target, shadows = observed.target, observed.shadows
        others = observed.population_target, observed.population_shadows
        return {
            "lira_online": formulas.lira_online(target, within, without, self.estimate),
            "lira_offline": formulas.lira_offline(target, without, self.estimate, self.offline),
            "rmia": formulas.rmia(target, shadows, *others, self.gamma, None),
            "rmia_offline": formulas.rmia(target, without, *others, self.gamma, self.offline_a),
            "base": formulas.base(target, shadows, None),
            "loss": log_confidence(target),
        }
