"""The likelihood ratio attack (Carlini et al., S&P 2022), with RMIA and the loss from the same shadow models."""

from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from amulet.core.errors import in_range, one_of
from amulet.datasets.records import Records
from amulet.membership_inference.attacks import formulas
from amulet.membership_inference.attacks.base import FEW, MembershipAttack, Shadow
from amulet.membership_inference.attacks.shadows import Observed
from amulet.membership_inference.attacks.signals import log_confidence
from amulet.training.recipe import Recipe

MANY = 64  # shadow models that are enough to estimate each record's variance


class LiRA(MembershipAttack):
    """Is the model's confidence on a record more like that of models trained on it, or of models that were not?

    Scores: `lira_online` (both kinds of shadow models), `lira_offline` (only those without the record), `rmia`
    (Zarifzadeh et al., ICML 2024), and `loss` (Yeom et al., CSF 2018), which needs no shadow models.

    Args:
        offline: `tail`: the one-sided test of the paper; `density`: that of its code, close to chance.
        variance: `per_example`: each record's own; `pooled`: one for all records; `shrunk`: between the two, as far as
            the records are similar; `auto`: shrunk below 64 shadow models, per example from there.
        rmia: `online`: p(x) is the mean over all shadow models; `offline`: over those without x, scaled by `offline_a`.
        gamma: RMIA: the factor by which a record must exceed another one, 1 or more.
        offline_a: RMIA offline: p(x) = ((1 + a) p_out(x) + 1 - a) / 2, in [0, 1].

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
        rmia: Literal["online", "offline"] = "online",
        gamma: float = 1.0,
        offline_a: float = 0.3,
    ) -> None:
        super().__init__(model, recipe, records, members, population)
        self._set_shadows(n_shadow, shadow, pool_size)
        one_of("offline", offline, ("tail", "density"))
        one_of("variance", variance, ("auto", "shrunk", "pooled", "per_example"))
        one_of("rmia", rmia, ("online", "offline"))
        in_range("gamma", gamma, 1)
        in_range("offline_a", offline_a, 0, 1)
        self.offline: Literal["tail", "density"] = offline
        self.variance: Literal["auto", "shrunk", "pooled", "per_example"] = variance
        self.rmia: Literal["online", "offline"] = rmia
        self.gamma = gamma
        self.offline_a = offline_a

    @property
    def estimate(self) -> formulas.Variance:
        """The variance that `variance` means with this many shadow models."""
        if self.variance == "auto":
            return "per_example" if self.n_shadow >= MANY else "shrunk"
        return self.variance

    def manifest(self) -> dict[str, Any]:
        """Which variants of the scores these are."""
        return {"variance": self.estimate, "offline": self.offline, "rmia": self.rmia}

    def warnings(self) -> list[str]:
        """Few shadow models."""
        return [] if self.n_shadow >= FEW else [self._too_few("estimate each record's Gaussians")]

    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        """The four scores, each (n,)."""
        within, without = observed.split()
        online = self.rmia == "online"
        return {
            "lira_online": formulas.lira_online(observed.target, within, without, self.estimate),
            "lira_offline": formulas.lira_offline(observed.target, without, self.estimate, self.offline),
            "rmia": formulas.rmia(
                observed.target,
                observed.shadows if online else without,
                observed.population_target,
                observed.population_shadows,
                self.gamma,
                None if online else self.offline_a,
            ),
            "loss": log_confidence(observed.target),
        }
