"""What every membership inference attack is: scores for candidates, of which some were trained on."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from amulet.core.component import Attack
from amulet.core.errors import SettingError, in_range
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.membership_inference.attacks.shadows import half_split
from amulet.membership_inference.metrics.audit import Audit
from amulet.membership_inference.metrics.membership import STRONGEST, MembershipEvidence, most_exposed
from amulet.models.inspect import predict
from amulet.training.recipe import Recipe
from amulet.training.victim import DataSplits, Victim

Shadow = Literal["same_as_victim", "standard"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What an attack works with; it does not see the membership."""

    answer: Callable[[Records], Tensor]
    """Records to the attacked model's logits (n, classes)."""
    recipe: Recipe | None
    """Of shadow models; None for attacks that need none."""
    records: Records
    """The candidates."""
    population: Records
    """Records of the same kind on which no model is trained."""
    stream: Stream
    victim: str
    """Its name in messages."""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What an attack found: scores by name, and what they were made of."""

    scores: Mapping[str, np.ndarray]
    """(n,) each: the higher, the more likely a member."""
    target_signals: np.ndarray
    """(n,): what was seen of the attacked model."""
    deciding: str = ""
    """The score that decides, chosen without the attacked model's answers; empty: the first."""
    target_aucs: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    shadow_signals: np.ndarray | None = None
    shadow_members: np.ndarray | None = None
    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Records of which a model is trained on some."""

    pool: Records
    members: Tensor
    """(n,) bool."""
    others: Records | None = None
    """What it is trained on besides."""

    @property
    def training(self) -> Records:
        """What the model is trained on."""
        chosen = self.pool.take(self.members)
        return chosen if self.others is None else self.others.concat(chosen)


class CandidateAttack(Attack):
    """An attack that scores candidates by the answers of one model. A subclass has one method to write: `judge`.

    Args:
        model: the model to attack, for `attack()`; the runner gives the victims' answers to `run` instead.
        recipe: of shadow models, where it trains some.
        records: the candidates.
        members: (n,) bool, the truth, which is in the evidence; the attack does not see it.
        population: records of the same kind on which no model is trained.
    """

    risk = "membership_inference"
    n_shadow: int = 0
    """How many shadow models it trains."""
    shadow: Shadow = "same_as_victim"
    """Their recipe: the victim's with its defences, or `standard`, without, for an adversary who does not know them."""
    pool_size: int | None = None
    """How many candidates the runner draws from the training split, half of them members; None: all."""

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

    @abstractmethod
    def judge(self, asked: Asked) -> Scored:
        """Scores by name, each (n,), from the model's answers."""

    def _set_pool(self, pool_size: int | None) -> None:
        in_range("pool_size", pool_size, 4, optional=True)
        self.pool_size = pool_size

    def models_trained(self) -> int:
        """The shadow models, and the victim's recipe on the members."""
        return self.n_shadow + 1

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def manifest(self) -> dict[str, Any]:
        """What a reader of a result should know of how it scores, beside the shadow models; JSON."""
        return {}

    def warnings(self) -> list[str]:
        """Why scores with these hyper-parameters may not carry their claim, each with what to do about it."""
        return []

    def candidates(self, victim: Victim, splits: DataSplits) -> Candidates:
        """Random halves of a pool: the same for both victims, and for all attacks with the same `pool_size`.

        The pool is drawn from the whole training split, independently of the victim's and the adversary's part.
        """
        pool = _pool(self.pool_size, splits)
        inside, outside = half_split(pool.y.cpu(), splits.attack_stream("membership") / "victim")
        members = torch.zeros(len(pool), dtype=torch.bool)
        members[inside] = True
        if members.sum() != len(outside):
            raise RuntimeError("members and non-members must be disjoint and equal in number")
        return Candidates(pool=pool, members=members)

    def outcome(self, score: np.ndarray, members: np.ndarray, delta: float) -> Audit | None:
        """What an audit proves; None for attacks that are none."""
        return None

    def run(
        self,
        answer: Callable[[Records], Tensor],
        recipe: Recipe | None,
        records: Records,
        members: Tensor,
        population: Records,
        stream: Stream,
        *,
        victim: str = "model",
    ) -> MembershipEvidence:
        """Score every record.

        Args:
            answer: records to the attacked model's logits (n, classes).
            recipe: the recipe of shadow models.
            stream: the attack's stream; neither the number of shadow models nor the victim changes what is drawn.
            victim: the victim's name in messages.
        """
        if members.shape != (len(records),):
            raise SettingError(
                f"`members` must be one bool for each of {len(records)} candidates, got {tuple(members.shape)}"
            )
        asked = Asked(
            answer=answer, recipe=recipe, records=records, population=population, stream=stream, victim=victim
        )
        found = self.judge(asked)
        first = next(iter(found.scores))
        n, nothing = len(records), np.zeros((0, len(records)))
        evidence = MembershipEvidence(
            victim=victim,
            ids=records.ids.cpu().numpy(),
            members=members.cpu().numpy(),
            correct=(answer(records).argmax(dim=1) == records.y.cpu()).numpy(),
            groups=groups_of(records),
            scores=found.scores,
            deciding=found.deciding or first,
            target_aucs=found.target_aucs,
            target_signals=found.target_signals,
            shadow_signals=nothing if found.shadow_signals is None else found.shadow_signals,
            shadow_members=np.zeros((0, n), dtype=bool) if found.shadow_members is None else found.shadow_members,
            manifest=found.manifest or {"score": first, "score_names": {STRONGEST: first}},
            warnings=tuple(f"{victim}: {text}" for text in self.warnings()),
        )
        return evidence.changed(exposed=most_exposed(evidence))

    def attack(self) -> MembershipEvidence:
        """Attack `model`; the evidence goes to `amulet.membership_inference.metrics.measure`."""
        model, recipe, records, members = self.model, self.recipe, self.records, self.members
        if model is None or records is None or members is None or self.population is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a model, a recipe, records, members and a population to "
                "run `attack()`"
            )
        recipe = recipe.plain() if recipe is not None and self.shadow == "standard" else recipe
        stream = Stream(0) / "attack" / "membership"
        return self.run(partial(predict, model), recipe, records, members.bool(), self.population, stream)


def groups_of(records: Records) -> dict[str, np.ndarray]:
    """Who is in which group, (n,) bool by attribute and value in words: `race.Black`."""
    found: dict[str, np.ndarray] = {}
    for attribute in records.attributes:
        values = records.attribute(attribute).cpu()
        for value in values.unique().tolist():
            found[f"{attribute}.{records.value_name(attribute, value)}"] = (values == value).numpy()
    return found


def _pool(pool_size: int | None, splits: DataSplits) -> Records:
    """An even number of training records, stratified: `pool_size`, or all but an odd last one, for every seed."""
    records = splits.data.train
    size = min(pool_size or len(records), len(records))
    size -= size % 2
    if size == len(records):
        return records
    if size == len(records) - 1:
        return records.take(torch.arange(size))
    (chosen,) = stratified_split(records.y.cpu(), [size], splits.attack_stream("membership", "pool").generator())
    return records.take(chosen)
