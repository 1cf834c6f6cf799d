"""The base class of membership inference attacks."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.component import Attack
from amulet.core.errors import SettingError, in_range, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.membership_inference.attacks.selection import ENOUGH, against_shadows, strongest
from amulet.membership_inference.attacks.shadows import Observed, ask_shadows, halves
from amulet.membership_inference.attacks.signals import membership_signal
from amulet.membership_inference.metrics.membership import STRONGEST, MembershipEvidence
from amulet.models.inspect import predict
from amulet.training.recipe import Recipe

Shadow = Literal["same_as_victim", "standard"]
FEW = 16
"""Shadow models below which scores are rough."""


class MembershipAttack(Attack):
    """An attack that compares a model with shadow models. A subclass has one method to write: `scores`.

    Of several scores the strongest decides the risk: the one with the largest mean AUC against the shadow models, each
    attacked with the others. The judged model's answers have no part in the choice.

    Args:
        model: the model to attack, for `attack()`; the runner gives the victims' answers to `run` instead.
        recipe: the recipe of the shadow models: ideally that of the attacked model.
        records: the candidates, an even number; the model was trained on an unknown half of them.
        members: (n,) bool, the truth, which is in the evidence; the attack does not see it.
        population: records of the same kind on which no model is trained.
        n_shadow: the number of shadow models, even and at least 4.
        shadow: their recipe: `same_as_victim`: the victim's recipe with its defences; `standard`: the recipe without
            defences, for an adversary who does not know about them.
        pool_size: how many candidates the runner draws from the training split, half of them members; None: all.
    """

    risk = "membership_inference"
    needs = Access.LOGITS | Access.QUERIES | Access.TRAINING
    n_shadow: int
    shadow: Shadow
    pool_size: int | None

    def __init__(
        self,
        model: nn.Module | None = None,
        recipe: Recipe | None = None,
        records: Records | None = None,
        members: Tensor | None = None,
        population: Records | None = None,
    ) -> None:
        self.model, self.recipe, self.records, self.members = model, recipe, records, members
        self.population = population

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

    def models_trained(self) -> int:
        """The shadow models, and the victim's recipe on the members."""
        return self.n_shadow + 1

    @abstractmethod
    def scores(self, observed: Observed) -> dict[str, np.ndarray]:
        """Scores by name, each (n,): the higher, the more likely a member."""

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def manifest(self) -> dict[str, Any]:
        """What a reader of a result should know of how it scores, beside the shadow models; JSON."""
        return {}

    def warnings(self) -> list[str]:
        """Why scores with these hyper-parameters may not carry their claim, each with what to do about it."""
        return [] if self.n_shadow >= FEW else [self._too_few("show what models do with and without a record")]

    def _too_few(self, roughly: str) -> str:
        return (
            f"{self.n_shadow} shadow models {roughly} roughly, so the risk is understated. Raise attack.n_shadow to "
            f"{FEW} or more; those that exist are used again"
        )

    def run(
        self,
        answer: Callable[[Records], Tensor],
        recipe: Recipe,
        records: Records,
        members: Tensor,
        population: Records,
        stream: Stream,
        *,
        victim: str = "model",
    ) -> MembershipEvidence:
        """Train the shadow models and score every record.

        Args:
            answer: records to the attacked model's logits (n, classes).
            recipe: the recipe of the shadow models.
            stream: the attack's stream; neither the number of shadow models nor the victim changes what is drawn.
            victim: the victim's name in messages.
        """
        if len(records) % 2 or members.shape != (len(records),):
            raise SettingError(
                "`records` must be an even number of candidates and `members` one bool for each of them, got "
                f"{len(records)} and {tuple(members.shape)}"
            )
        inside = halves(records.y.cpu(), self.n_shadow, stream)
        label = f"shadow models for {victim}"
        on_records, on_others = ask_shadows(recipe, records, population, inside, stream, label)
        logits = answer(records)
        observed = Observed(
            target=membership_signal(logits, records.y.cpu()),
            shadows=on_records,
            inside=inside.numpy(),
            population_target=membership_signal(answer(population), population.y.cpu()),
            population_shadows=on_others,
        )
        scores = self.scores(observed)
        against = against_shadows(self.scores, observed) if self.n_shadow >= ENOUGH else {}
        return MembershipEvidence(
            victim=victim,
            ids=records.ids.cpu().numpy(),
            members=members.cpu().numpy(),
            correct=(logits.argmax(dim=1) == records.y.cpu()).numpy(),
            scores=scores,
            deciding=strongest(against) if against else next(iter(scores)),
            target_aucs=against,
            target_signals=observed.target,
            shadow_signals=observed.shadows,
            shadow_members=observed.inside,
            manifest=_choice(against, scores),
            warnings=tuple(f"{victim}: {text}" for text in self.warnings()),
        )

    def attack(self) -> MembershipEvidence:
        """Attack `model`; the evidence goes to `amulet.membership_inference.metrics.measure`."""
        model, recipe, records, members = self.model, self.recipe, self.records, self.members
        if model is None or recipe is None or records is None or members is None or self.population is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a model, a recipe, records, members and a population to "
                "run `attack()`"
            )
        recipe = recipe.plain() if self.shadow == "standard" else recipe
        stream = Stream(0) / "attack" / "membership"
        return self.run(partial(predict, model), recipe, records, members.bool(), self.population, stream)


def _choice(against: Mapping[str, np.ndarray], scores: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Which score decides, and how it was chosen; `score_names` says which one is meant by a name of `measure`'s."""
    first = next(iter(scores))
    if len(scores) == 1:
        return {"score": first, "score_chosen": "the only one"}
    if not against:
        few = f"the first: with fewer than {ENOUGH} shadow models none can be attacked with the others"
        return {"score": first, "score_names": {STRONGEST: first}, "score_chosen": few}
    return {
        "score": (best := strongest(against)),
        "score_names": {STRONGEST: best},
        "score_chosen": "the largest mean AUC against the shadow models, each attacked with the others",
        "score_auc_over_targets": {name: round(float(each.mean()), 6) for name, each in against.items()},
    }
