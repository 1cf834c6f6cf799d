"""The base of distribution inference attacks, which distinguish models of two populations by their answers."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

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


class DistributionAttack(Attack):
    """An attack that infers which of two shares of an attribute the training data had. One method to write: `scores`.

    For each ratio the victim trains `n_models` models and the adversary `n_shadow`, or as many, each on a separate draw
    from that side's records; a part of the adversary's records is set aside for the queries that all models answer.

    Args:
        recipe: the recipe of the victim's models, for `attack()`; the runner calls `infer` instead.
        victim_records: the records from which the victim draws its training sets.
        adversary_records: the records from which the adversary draws its training sets and its queries.
    """

    risk = "distribution_inference"
    attribute: str | None
    value: int
    ratio_1: float
    ratio_2: float
    n_models: int
    n_shadow: int | None = None
    size: int | None
    labels: Labels
    query_fraction: float
    shadow: Literal["same_as_victim", "standard"]
    test: str

    def __init__(
        self,
        recipe: Recipe | None = None,
        victim_records: Records | None = None,
        adversary_records: Records | None = None,
    ) -> None:
        self.recipe = recipe
        self.victim_records, self.adversary_records = victim_records, adversary_records

    @abstractmethod
    def scores(self, victims: Tensor, first: Tensor, second: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
        """One or more tests of each victim separately.

        Args:
            victims: log probabilities (2, v, queries, classes) of the victims' models; first the queries of the first
                ratio, then those of the second.
            first: (2, n, queries, classes) of the adversary's models of the first ratio.
            second: (2, n, queries, classes) of its models of the second.
            labels: (2, queries), true labels of the queries.

        Returns:
            (v,) by test, above 0 for the second ratio; one of the tests must have the name in `test`.
        """

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
        """The size of all training sets, the number of records of each cell for the two ratios, and the labels' shares.

        Args:
            pools: the records from which each side draws.
            labels: the labels whose shares `labels: fixed` uses.

        Raises:
            IncompatibleError: the pools cannot provide the ratios.
        """
        shares = (labels.bincount() / len(labels)).tolist() if self.labels == "fixed" else None
        ratios = (self.ratio_1, self.ratio_2)
        size = agreed_size(self.size, pools, ratios, self.labels, shares)
        return size, [quotas(size, ratio, shares) for ratio in ratios], shares

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
        theirs, mine = (
            [
                pool.places(plan.cells[which], self.labels, stream / side / which / model / "records")
                for which in (0, 1)
                for model in range(count)
            ]
            for side, pool, count in (("victim", victims, self.n_models), ("adversary", shadows, n_shadow))
        )
        _assert_shares((self.ratio_1, self.ratio_2), (victims, theirs), (shadows, mine))
        labels = torch.stack([part.y.cpu() for part in queries])
        made = _produced(recipe, victims, theirs, stream / "victim", f"train {len(theirs)} models of {name}")
        answers = log_answers(made, queries)
        shadow_label = f"train {len(mine)} models against {name}"
        ours = log_answers(_produced(shadow_recipe, shadows, mine, stream / "adversary", shadow_label), queries)
        found = self.scores(answers, ours[:, :n_shadow], ours[:, n_shadow:], labels)
        population = torch.arange(2 * self.n_models) // self.n_models
        shares = _label_shares(victims.records.y.cpu(), theirs, answers.shape[3])
        return DistributionEvidence(
            population=population,
            scores=dict(found),
            test=self.test,
            query_ids=torch.stack([part.ids.cpu() for part in queries]),
            victim_ids=torch.stack([victims.records.ids.cpu()[place] for place in theirs]),
            adversary_ids=torch.stack([shadows.records.ids.cpu()[place] for place in mine]),
            accuracy={"victim": accuracies(answers, labels), "adversary": accuracies(ours, labels)},
            name=name,
            manifest={
                "attribute": victims.attribute,
                "value": self.value,
                "ratios": [self.ratio_1, self.ratio_2],
                "ratios_got": {
                    side: sorted({pool.share(place) for place in drawn})
                    for side, pool, drawn in (("victim", victims, theirs), ("adversary", shadows, mine))
                },
                **_named(shares),
                "models": {"victim": len(theirs), "adversary": len(mine)},
                "standard_error": standard_error(found[self.test], population),
                "size": plan.size,
                "pools": {"victim": len(victims), "adversary": len(shadows), "queries": len(asked)},
                "queries": labels.numel(),
                "shadow": self.shadow,
            },
            warnings=(*self._warnings(name, answers, plan.cells, (victims, shadows)), *_told_by_labels(name, shares)),
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
                "task. Train longer (epochs), lower batch_size, raise attack.size, or weaken the defence"
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


def _produced(recipe: Recipe, pool: Pool, drawn: Sequence[Tensor], stream: Stream, label: str) -> Iterator[nn.Module]:
    n = len(drawn) // 2
    streams = [stream / (i // n) / (i % n) / "model" for i in range(len(drawn))]
    return fit_in_portions(recipe, pool.records, drawn, streams, label)


def _assert_shares(ratios: tuple[float, float], *sides: tuple[Pool, Sequence[Tensor]]) -> None:
    for pool, drawn in sides:
        for i, places in enumerate(drawn):
            asked, got = ratios[i // (len(drawn) // 2)], pool.share(places)
            if abs(got - float(exact(asked))) > 1e-9:
                raise RuntimeError(
                    f"a training set has {pool.attribute} = {pool.value} in a share of {got}, not {asked}"
                )


def _label_shares(y: Tensor, drawn: Sequence[Tensor], classes: int) -> Tensor:
    """(2, classes) the mean share of each label in the training sets of either ratio."""
    each = torch.stack([y[places].bincount(minlength=classes).double() / len(places) for places in drawn])
    return each.unflatten(0, (2, -1)).mean(dim=1)


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
