"""The base class of membership inference attacks."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from amulet.core.access import Access
from amulet.core.errors import SettingError, in_range, one_of
from amulet.datasets.records import Records
from amulet.membership_inference.attacks.candidates import Asked, CandidateAttack, Scored, Shadow
from amulet.membership_inference.attacks.selection import ENOUGH, against_shadows, averaged, strongest
from amulet.membership_inference.attacks.shadows import Observed, ask_shadows, halves
from amulet.membership_inference.attacks.signals import membership_signal
from amulet.membership_inference.metrics.membership import STRONGEST

FEW = 16
"""Shadow models below which scores are rough."""


_POPULATION = 1000  # of it in further views: a share of so many is exact enough for one part of a mean


class MembershipAttack(CandidateAttack):
    """An attack that compares a model with shadow models. A subclass has one method to write: `scores`.

    Of several scores the strongest decides the risk: the one with the largest mean AUC against the shadow models, each
    attacked with the others. The judged model's answers have no part in the choice.

    Its shadow models, `n_shadow` of them, are an even number and at least 4.

    Args:
        model: the model to attack, for `attack()`; the runner gives the victims' answers to `run` instead.
        recipe: the recipe of the shadow models: ideally that of the attacked model.
        records: the candidates, an even number; the model was trained on an unknown half of them.
        members: (n,) bool, the truth, which is in the evidence; the attack does not see it.
        population: records of the same kind on which no model is trained.
    """

    needs = Access.LOGITS | Access.QUERIES | Access.TRAINING

    def _set_shadows(self, n_shadow: int, shadow: Shadow, pool_size: int | None) -> None:
        in_range("n_shadow", n_shadow, 4)
        if n_shadow % 2:
            raise SettingError(
                f"`n_shadow` must be even, so that each record is in exactly half of the shadow models; got {n_shadow}"
            )
        one_of("shadow", shadow, ("same_as_victim", "standard"))
        in_range("pool_size", pool_size, 4, optional=True)
        self.n_shadow = n_shadow
        self.shadow: Shadow = shadow
        self.pool_size = pool_size

    @abstractmethod
    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        """Scores by name, each (n,): the higher, the more likely a member."""

    def views(self, records: Records) -> list[Records]:
        """What is asked about each record: the record itself first. The scores of all views are averaged."""
        return [records]

    def warnings(self) -> list[str]:
        """Why scores with these hyper-parameters may not carry their claim, each with what to do about it."""
        return [] if self.n_shadow >= FEW else [self._too_few("show what models do with and without a record")]

    def _too_few(self, roughly: str) -> str:
        return (
            f"{self.n_shadow} shadow models {roughly} roughly, so the risk is understated. Raise attack.n_shadow to "
            f"{FEW} or more; those that exist are used again"
        )

    def judge(self, asked: Asked) -> Scored:
        """Train the shadow models and score every record."""
        records, stream = asked.records, asked.stream
        if asked.recipe is None:
            raise SettingError(f"`{type(self).__name__}` must be built with a recipe of its shadow models")
        if len(records) % 2:
            raise SettingError(f"`records` must be an even number of candidates, got {len(records)}")
        inside = halves(records.y.cpu(), self.n_shadow, stream)
        views, population = self.views(records), asked.population
        others = [population, *self.views(population.take(torch.arange(min(_POPULATION, len(population)))))[1:]]
        shadows = ask_shadows(asked.recipe, views, others, inside, stream, f"shadow models for {asked.victim}")
        target = [membership_signal(asked.answer(view), records.y.cpu()) for view in views]
        elsewhere = [membership_signal(asked.answer(view), view.y.cpu()) for view in others]
        observed = [
            Observed(
                target=target[i],
                shadows=on_records,
                inside=inside.numpy(),
                population_target=elsewhere[i],
                population_shadows=on_others,
            )
            for i, (on_records, on_others) in enumerate(shadows)
        ]
        scores = averaged(self.scores, observed)
        against = against_shadows(self.scores, observed) if self.n_shadow >= ENOUGH else {}
        return Scored(
            scores=scores,
            deciding=strongest(against) if against else next(iter(scores)),
            target_aucs=against,
            target_signals=observed[0].target,
            shadow_signals=observed[0].shadows,
            shadow_members=observed[0].inside,
            manifest=_choice(against, scores),
        )


def _choice(against: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Which score decides, and how it was chosen; `score_names` says which one is meant by a name of `measure`'s."""
    first = next(iter(scores))
    if len(scores) == 1:
        return {"score": first, "score_names": {STRONGEST: first}, "score_chosen": "the only one"}
    if not against:
        few = f"the first: with fewer than {ENOUGH} shadow models none can be attacked with the others"
        return {"score": first, "score_names": {STRONGEST: first}, "score_chosen": few}
    return {
        "score": (best := strongest(against)),
        "score_names": {STRONGEST: best},
        "score_chosen": "the largest mean AUC against the shadow models, each attacked with the others",
        "score_auc_over_targets": {name: round(float(each.mean()), 6) for name, each in against.items()},
    }
