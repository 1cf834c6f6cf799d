"""The base of distribution inference attacks: populations of models of both sides, and what is seen of them."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from amulet.core.access import Access
from amulet.core.component import Attack
from amulet.core.errors import IncompatibleError, SettingError, needs_attributes, one_of
from amulet.core.stream import Stream
from amulet.datasets.base import AmuletDataset
from amulet.datasets.records import Records
from amulet.datasets.split import stratified_split
from amulet.distribution_inference.attacks.scores import accuracies
from amulet.distribution_inference.metrics import DistributionEvidence, standard_error
from amulet.distribution_inference.populations import Cells, Labels, Pool, agreed_size, exact, largest_size, quotas
from amulet.models.inspect import predict
from amulet.training.parallel.memory_budget import fit_in_portions
from amulet.training.recipe import Recipe

_LABEL_GAP = 0.01  # difference of a label's share between the populations above which it can tell them


class PopulationAttack(Attack):
    """An attack that infers the share of an attribute in the training data. One method to write: `judge`.

    `ratio_1` and `ratio_2` are told apart; `between` adds others. For each ratio the victim trains `n_models` models
    and the adversary `n_shadow`, or as many, each on a separate draw from that side's records; a part of the
    adversary's records is set aside for the queries that all models answer.

    Args:
        recipe: the recipe of the victim's models, for `attack()`; the runner calls `infer` instead.
        victim_records: the records from which the victim draws its training sets.
        adversary_records: the records from which the adversary draws its training sets and its queries.
    """

    risk = "distribution_inference"
    needs = Access.PROBABILITIES | Access.QUERIES | Access.TRAINING
    attribute: str | None
    value: int
    ratio_1: float
    ratio_2: float
    n_models: int
    n_between: int = 0
    """The victim's models for each ratio between the two."""
    n_shadow: int | None = None
    size: int | None
    labels: Labels
    query_fraction: float
    shadow: Literal["same_as_victim", "standard"]
    min_updates: int
    test: str

    def __init__(
        self,
        recipe: Recipe | None = None,
        victim_records: Records | None = None,
        adversary_records: Records | None = None,
    ) -> None:
        self.recipe = recipe
        self.victim_records, self.adversary_records = victim_records, adversary_records

    def models_trained(self) -> int:
        """The victim's and the adversary's populations at all ratios."""
        own = self.n_shadow or self.n_models
        return sum(self._models_of(which) + own for which in range(len(self.ratios)))

    @property
    def between(self) -> tuple[float, ...]:
        """Ratios between the two of which models are trained too."""
        return ()

    @property
    def ratios(self) -> tuple[float, ...]:
        """Of the populations: the two that are told apart, then those between."""
        return (self.ratio_1, self.ratio_2, *self.between)

    def _models_of(self, which: int) -> int:
        return self.n_models if which < 2 else self.n_between

    @abstractmethod
    def judge(self, victims: "Seen", shadows: "Seen", labels: Tensor) -> tuple[Mapping[str, Tensor], Tensor | None]:
        """One or more tests of each of the victim's models separately.

        Args:
            victims: what the adversary sees of the victim's models.
            shadows: of its own.
            labels: (2, queries), true labels of the queries.

        Returns:
            (v,) by test, above 0 for the second ratio; one of the tests must have the name in `test`. And the ratios
            (v,) that it infers, or None if it only tells two apart.
        """

    def inside(self, model: nn.Module) -> Tensor | None:
        """What the adversary reads in a model's weights, (d,) float64; None: it looks at answers only."""
        return None

    def check(self, data: AmuletDataset) -> None:
        """Raise `IncompatibleError` or `SettingError` if it cannot work on this data; called before any training."""

    def chosen(self, records: Records) -> str:
        """The attribute whose share is inferred.

        Raises:
            IncompatibleError: the records have no attribute, or one value only.
            SettingError: they lack the requested one.
        """
        if not records.attributes:
            raise needs_attributes("distribution inference")
        name = records.attributes[0] if self.attribute is None else self.attribute
        one_of("attack.attribute", name, records.attributes)
        values = records.attribute(name).unique().tolist()
        if len(values) < 2:
            raise IncompatibleError(
                f"distribution inference: all records have {name} = {records.value_name(name, values[0])}, so its "
                "share cannot vary"
            )
        if self.value not in values:
            known = ", ".join(f"{value} {records.value_name(name, value)}" for value in values)
            raise SettingError(f"`attack.value` must be one of the values of {name}, {known}; got {self.value}")
        return name

    def planned(self, pools: Sequence[Pool], labels: Tensor) -> tuple[int, list[Cells], list[float] | None]:
        """The size of all training sets, the number of records of each cell for each ratio, and the labels' shares.

        Args:
            pools: the records from which each side draws.
            labels: the labels whose shares `labels: fixed` uses.

        Raises:
            IncompatibleError: the pools cannot provide the ratios.
        """
        shares = (labels.bincount() / len(labels)).tolist() if self.labels == "fixed" else None
        size = agreed_size(self.size, pools, self.ratios, self.labels, shares)
        return size, [quotas(size, ratio, shares) for ratio in self.ratios], shares

    def infer(
        self,
        recipe: Recipe,
        shadow_recipe: Recipe,
        victim_records: Records,
        adversary_records: Records,
        *,
        stream: Stream,
        name: str = "victim",
    ) -> DistributionEvidence:
        """Train both sides' models, query them, and score each of the victim's.

        Args:
            recipe: the victim's recipe.
            shadow_recipe: the adversary's recipe.
            victim_records: the victim's pool.
            adversary_records: the adversary's pool; disjoint from the victim's.
            stream: the attack's random stream; the same for both victims.
            name: the victim's name in messages.

        Raises:
            IncompatibleError: these records cannot give the ratios.
        """
        plan = self.arranged(victim_records, adversary_records, stream)
        victims, shadows, asked = plan.victims, plan.adversary, plan.queries
        queries = [
            asked.draw(quotas(plan.query_size, ratio, plan.label_shares), self.labels, stream / "queries" / which)
            for which, ratio in enumerate((self.ratio_1, self.ratio_2))
        ]
        n_shadow = self.n_shadow or self.n_models
        each = range(len(self.ratios))
        theirs = _Side(self.ratios, victims, stream / "victim", [self._models_of(which) for which in each])
        mine = _Side(self.ratios, shadows, stream / "adversary", [n_shadow for _ in each])
        drawn, own = theirs.draws(plan.cells, self.labels), mine.draws(plan.cells, self.labels)
        labels = torch.stack([part.y.cpu() for part in queries])
        made = theirs.models(self._longer(recipe), drawn, f"train {len(drawn)} models of {name}")
        seen = self._seen(made, queries, theirs)
        made = mine.models(self._longer(shadow_recipe), own, f"train {len(own)} models against {name}")
        ours = self._seen(made, queries, mine)
        found, guesses = self.judge(seen, ours, labels)
        shares = _label_shares(victims.records.y.cpu(), drawn, theirs.population, seen.answers.shape[3])
        ends = {test: scores[theirs.population < 2] for test, scores in found.items()}
        told = theirs.population[theirs.population < 2]
        return DistributionEvidence(
            population=theirs.population,
            scores=dict(found),
            ratios=self.ratios,
            estimates=guesses,
            test=self.test,
            query_ids=torch.stack([part.ids.cpu() for part in queries]),
            victim_ids=torch.stack([victims.records.ids.cpu()[place] for place in drawn]),
            adversary_ids=torch.stack([shadows.records.ids.cpu()[place] for place in own]),
            accuracy={"victim": accuracies(seen.answers, labels), "adversary": accuracies(ours.answers, labels)},
            name=name,
            manifest={
                "attribute": victims.attribute,
                "value": self.value,
                "ratios": list(self.ratios),
                "ratios_got": {
                    side: sorted({pool.share(place) for place in places})
                    for side, pool, places in (("victim", victims, drawn), ("adversary", shadows, own))
                },
                **_named(shares),
                "models": {"victim": len(drawn), "adversary": len(own)},
                "standard_error": standard_error(ends[self.test], told),
                "size": plan.size,
                "pools": {"victim": len(victims), "adversary": len(shadows), "queries": len(asked)},
                "queries": labels.numel(),
                "shadow": self.shadow,
            },
            warnings=(
                *self._warnings(name, seen.answers, plan.cells, (victims, shadows)),
                *_told_by_labels(name, shares),
            ),
        )

    def attack(self) -> DistributionEvidence:
        """Attack the recipe: how well can the ratios behind its models be distinguished?"""
        if self.recipe is None or self.victim_records is None or self.adversary_records is None:
            raise SettingError(
                f"`{type(self).__name__}` must be built with a recipe and the records of both sides to run `attack()`"
            )
        shadow = self.recipe if self.shadow == "same_as_victim" else self.recipe.plain()
        stream = Stream(0) / "attack" / self.risk
        return self.infer(self.recipe, shadow, self.victim_records, self.adversary_records, stream=stream)

    def arranged(self, victim_records: Records, adversary_records: Records, stream: Stream) -> "Arrangement":
        """The pools and the number of records drawn from each; nothing is trained.

        Raises:
            IncompatibleError: these records cannot give the ratios.
        """
        attribute = self.chosen(victim_records)
        if torch.isin(victim_records.ids, adversary_records.ids).any():
            raise SettingError("`victim_records` and `adversary_records` must not share records")
        training, asked = self._cut(adversary_records, attribute, stream / "queries")
        victims = Pool(victim_records, attribute, self.value)
        shadows, queries = (Pool(adversary_records, attribute, self.value, part) for part in (training, asked))
        labels = torch.cat([victim_records.y.cpu(), adversary_records.y.cpu()])
        size, cells, label_shares = self.planned((victims, shadows), labels)
        query_size = largest_size((queries,), (self.ratio_1, self.ratio_2), self.labels, label_shares)
        if not query_size:
            raise IncompatibleError(
                f"distribution inference: {len(queries)} records for queries cannot have {queries.name} in "
                f"shares of {self.ratio_1:g} and {self.ratio_2:g}. Raise attack.query_fraction or take ratios nearer "
                "to the data's"
            )
        return Arrangement(victims, shadows, queries, size, query_size, cells, label_shares)

    def _longer(self, recipe: Recipe) -> Recipe:
        """The recipe, with enough updates in each epoch for models of few records to learn the task."""
        return recipe.changed(min_updates=max(recipe.min_updates, self.min_updates))

    def _seen(self, models: Iterable[nn.Module], queries: Sequence[Records], side: "_Side") -> "Seen":
        inside: list[Tensor | None] = []

        def looked() -> Iterator[nn.Module]:
            for model in models:
                inside.append(self.inside(model))
                yield model

        answers = log_answers(looked(), queries)
        read = [one for one in inside if one is not None]
        return Seen(answers, side.population, torch.tensor(self.ratios).double(), torch.stack(read) if read else None)

    def _cut(self, records: Records, attribute: str, stream: Stream) -> list[Tensor]:
        """The adversary's training records, and its queries: neither side trains on the latter."""
        has = (records.attribute(attribute) == self.value).long().cpu()
        strata = has * (int(records.y.max()) + 1) + records.y.cpu()
        asked = round(self.query_fraction * len(records))
        return stratified_split(strata, [len(records) - asked, asked], (stream / "cut").generator())

    def _warnings(self, name: str, answers: Tensor, cells: Sequence[Cells], pools: Sequence[Pool]) -> list[str]:
        found: list[str] = []
        if (shadows := self.n_shadow or self.n_models) < 5:
            found.append(
                f"{name}: {shadows} models of each ratio tell the adversary little of how such models differ. Raise "
                f"attack.{'n_shadow' if self.n_shadow else 'n_models'} to 10 or more"
            )
        used = max(
            count / len(have[cell])
            for pool in pools
            for have in (pool.cells(self.labels),)
            for drawn in cells
            for cell, count in drawn.items()
            if count
        )
        if used > 0.8:
            found.append(
                f"{name}: each training set takes {used:.0%} of all records of one group, so models of one ratio are "
                "trained on nearly the same records and the interval is too narrow. Lower attack.size"
            )
        predicted = answers.argmax(dim=3)
        constant = (predicted == predicted[:, :, :1]).all(dim=2).all(dim=0).double().mean().item()
        if constant > 0.5:
            found.append(
                f"{name}: {constant:.0%} of the models answer one class for every query: they have not learned the "
                "task. Train longer (attack.min_updates, epochs), raise attack.size, or weaken the defence"
            )
        return found


@dataclass(frozen=True)
class Arrangement:
    """The pools of both sides, and the number of records of a draw; for queries, as many as possible."""

    victims: Pool
    adversary: Pool
    queries: Pool
    size: int
    query_size: int
    cells: list[Cells]
    """Of each ratio."""
    label_shares: list[float] | None


@dataclass(frozen=True)
class Seen:
    """What the adversary sees of one side's models."""

    answers: Tensor
    """Log probabilities (2, models, queries, classes): first the queries of the first ratio, then those of the
    second."""
    population: Tensor
    """(models,) the position of each model's ratio in `ratios`."""
    ratios: Tensor
    """(k,) of the populations: the two that are told apart, then those between."""
    inside: Tensor | None
    """(models, d) what it reads in their weights."""


@dataclass(frozen=True)
class _Side:
    """The populations of models of one side."""

    ratios: tuple[float, ...]
    pool: Pool
    stream: Stream
    counts: list[int]
    """The number of models of each ratio."""

    @property
    def population(self) -> Tensor:
        return torch.repeat_interleave(torch.tensor(self.counts))

    def _streams(self) -> Iterator[tuple[int, Stream]]:
        for which, count in enumerate(self.counts):
            for model in range(count):
                yield which, self.stream / which / model

    def draws(self, cells: Sequence[Cells], labels: Labels) -> list[Tensor]:
        """The positions of the records of each model."""
        found = [self.pool.places(cells[which], labels, stream / "records") for which, stream in self._streams()]
        for which, places in zip(self.population.tolist(), found, strict=True):
            asked, got = self.ratios[which], self.pool.share(places)
            if abs(got - float(exact(asked))) > 1e-9:
                raise RuntimeError(
                    f"a training set has {self.pool.attribute} = {self.pool.value} in a share of {got}, not {asked}"
                )
        return found

    def models(self, recipe: Recipe, drawn: Sequence[Tensor], label: str) -> Iterator[nn.Module]:
        """The models of these records, one after the other."""
        streams = [stream / "model" for _, stream in self._streams()]
        return fit_in_portions(recipe, self.pool.records, drawn, streams, label)


def _label_shares(y: Tensor, drawn: Sequence[Tensor], population: Tensor, classes: int) -> Tensor:
    """(2, classes) the mean share of each label in the training sets of the two ratios that are told apart."""
    each = torch.stack([y[places].bincount(minlength=classes).double() / len(places) for places in drawn])
    return torch.stack([each[population == which].mean(dim=0) for which in (0, 1)])


def _named(shares: Tensor) -> dict[str, Any]:
    """Of class 1 of two, else of every class."""
    rows = [[round(share, 4) for share in half] for half in shares.tolist()]
    return {"positive_labels": [half[1] for half in rows]} if shares.shape[1] == 2 else {"label_shares": rows}


def _told_by_labels(name: str, shares: Tensor) -> list[str]:
    label = int((shares[0] - shares[1]).abs().argmax())
    one, other = shares[:, label].tolist()
    if abs(one - other) <= _LABEL_GAP:
        return []
    text = (
        f"{name}: class {label} is {one:.0%} of the first population's records and {other:.0%} of the second's: how "
        "often a model answers it tells the ratio, whatever it learned of the attribute. Set attack.labels=fixed"
    )
    return [text]


def log_answers(models: Iterable[nn.Module], queries: Sequence[Records]) -> Tensor:
    """Each model's log probabilities (sets, models, queries, classes) in float64.

    Adding a constant to all logits of a model does not change them.
    """
    asked = queries[0].concat(queries[1])
    logits = torch.stack([predict(model, asked) for model in models])
    return torch.stack(logits.double().log_softmax(dim=2).split(len(queries[0]), dim=1))
