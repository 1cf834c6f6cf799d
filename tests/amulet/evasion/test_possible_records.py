"""Attacks on tables that keep to what a possible record is: against a list of all possible records of a small table."""

from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from amulet.core import Factory, IncompatibleError, SettingError, Stream
from amulet.core.access import Access
from amulet.datasets import AmuletDataset, Records, Scale, load_census
from amulet.evasion import protocol
from amulet.evasion.attacks import ConstrainedAttack, ConstrainedPGD, EvasionPGD, TabularSearch
from amulet.evasion.attacks.constraints import Constraints
from amulet.models import predict
from amulet.training import DataSplits, Recipe, Runtime, Victim

NAMES = ("age", "years", "job=a", "job=b", "job=c", "home=x", "home=y")
GROUPS = ((2, 5), (5, 7))
CENSUS = load_census(limit=200)


def table(count: int = 120, constraints: tuple[str, ...] = ()) -> AmuletDataset:
    """Ages 20 to 40 and years 0 to 8, two one-hot variables; age - years >= 14 for all records."""
    generator = torch.Generator().manual_seed(0)

    def draw(high: int) -> Tensor:
        return torch.randint(0, high, (2 * count,), generator=generator)

    age, years = draw(21), draw(7)
    job, home = (nn.functional.one_hot(draw(k), k).float() for k in (3, 2))
    x = torch.cat([(age / 20).unsqueeze(1), (years / 8).unsqueeze(1), job, home], dim=1)
    records = Records.of(x, draw(2))
    return AmuletDataset(
        name="people",
        modality="tabular",
        train=records.take(torch.arange(count)),
        test=records.take(torch.arange(count, 2 * count)),
        num_classes=2,
        feature_names=NAMES,
        groups=GROUPS,
        scales={"age": Scale(20, 40, True), "years": Scale(0, 8, True)},
        constraints=constraints,
    )


def wavy() -> nn.Module:
    """A model whose answers change over a table."""
    with Stream(0).seed_global():
        first = nn.Linear(7, 24)
        made = nn.Sequential(first, nn.Tanh(), nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 2))
        with torch.no_grad():
            for weights in made.parameters():
                weights.mul_(3)
            first.weight[:, 2:] *= 0.05  # else any other category turns every record
        return made.eval()


def anything(age: int, years: int, was: int) -> bool:
    return True


def related(age: int, years: int, was: int) -> bool:
    return years <= age - 14


def older(age: int, years: int, was: int) -> bool:
    return age >= was and years <= 6


Rule = Callable[[int, int, int], bool]
RULES: dict[str, tuple[tuple[str, ...], Rule]] = {
    "none": ((), anything),
    "relation": (("years <= age - 14",), related),
    "rises": (("age rises", "years <= 6"), older),
}


def enumerated(model: nn.Module, data: AmuletDataset, epsilon: float, categories: int, rule: Rule) -> Tensor:
    """(n,) bool: which test records some possible record turns; written out in the columns' own units."""
    answers = predict(model, data.test).argmax(dim=1)
    ages, years = range(20, 41), range(9)
    fell = torch.zeros(len(data.test), dtype=torch.bool)
    for i, x in enumerate(data.test.x):
        age, year = round(20 + 20 * x[0].item()), round(8 * x[1].item())
        job, home = int(x[2:5].argmax()), int(x[5:].argmax())
        possible = [
            [(a - 20) / 20, y / 8, *(float(j == k) for k in range(3)), *(float(h == k) for k in range(2))]
            for a, y, j, h in product(ages, years, range(3), range(2))
            if abs(a - age) <= 20 * epsilon + 1e-6
            and abs(y - year) <= 8 * epsilon + 1e-6
            and (j != job) + (h != home) <= categories
            and rule(a, y, age)
        ]
        fell[i] = bool((predict(model, torch.tensor(possible)).argmax(dim=1) != answers[i]).any())
    return fell


@pytest.mark.parametrize("rule", ["none", "relation", "rises"])
@pytest.mark.parametrize("categories", [0, 1, 2])
def test_searches_find_what_a_list_of_all_possible_records_has(rule: str, categories: int) -> None:
    statements, holds = RULES[rule]
    data, model = table(30, statements), wavy()
    records = data.test.replace(y=predict(model, data.test).argmax(dim=1))
    every = enumerated(model, data, 0.25, categories, holds)
    assert 3 < every.sum() < 30
    settings: dict[str, Any] = {"epsilon": 0.25, "categories": categories}
    for attack in (
        TabularSearch(**settings, levels=11, queries=600),
        TabularSearch(**settings, levels=11, queries=600, answers="labels"),
        ConstrainedPGD(**settings, restarts=4, search_dtype="float32"),
    ):
        found = ran(attack, model, data, records)
        fell = predict(model, found).argmax(dim=1) != records.y
        assert not (fell & ~every).any(), "it found a record that is not possible"
        least = 0.6 if isinstance(attack, ConstrainedPGD) else 0.999
        assert fell.sum() >= least * every.sum(), attack


def test_two_categories_that_a_relation_ties_change_together() -> None:
    data = table(40, ("job=a + job=b >= home=x",))

    class Chef(nn.Module):  # who answers by the job alone
        def forward(self, x: Tensor) -> Tensor:
            return torch.stack([0.5 - x[:, 4], x[:, 4] - 0.5], dim=1)

    kept = data.test.x[:, 4] + data.test.x[:, 5] < 2
    records = data.test.take(kept)
    records = records.replace(y=records.x[:, 4].long())
    found = ran(TabularSearch(epsilon=0.0, categories=2), Chef(), data, records)
    assert torch.equal(found[:, 4], 1 - records.x[:, 4])
    moved = (records.x[:, 4] == 0) & (records.x[:, 5] == 1)
    assert moved.any()
    assert (found[moved, 6] == 1).all(), "who becomes c must leave home=x as well"
    one = ran(TabularSearch(epsilon=0.0, categories=1), Chef(), data, records)
    assert torch.equal(one[moved], records.x[moved]), "one change alone is not possible"


def ran(attack: ConstrainedAttack, model: nn.Module, data: AmuletDataset, records: Records) -> Tensor:
    attack = attack.on(data)
    found = attack.adversarial(model, records, Stream(1), mask=attack.changeable(data))
    assert attack.possible(found, records.x).all()
    assert attack.distance(found, records.x).max() <= attack.budget + 1e-6
    return found


@pytest.mark.parametrize("queries", [1, 7, 60])
@pytest.mark.parametrize("answers", ["probabilities", "labels"])
def test_a_search_asks_no_more_than_it_may_and_counts_it(queries: int, answers: Any) -> None:
    asked = 0

    class Counting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal asked
            asked += len(x)
            return torch.stack([torch.ones(len(x)), torch.zeros(len(x))], dim=1)  # nothing turns it

    data = table(50)
    records = data.test.replace(y=torch.zeros(50, dtype=torch.int64))
    attack = TabularSearch(epsilon=0.2, queries=queries, answers=answers).on(data)
    attack.adversarial(Counting(), records, Stream(0))
    assert attack.queried <= (queries + 1) * len(records)
    assert asked in (attack.queried, attack.queried + len(records)), "the first answers are asked for once or twice"


def test_what_it_needs_depends_on_what_it_asks_for() -> None:
    assert TabularSearch().needs == Access.PROBABILITIES | Access.QUERIES
    assert TabularSearch(answers="labels").needs == Access.LABELS | Access.QUERIES
    assert TabularSearch(answers="labels").changed(epsilon=0.1).needs == Access.LABELS | Access.QUERIES


def test_repair_is_idempotent_and_keeps_to_everything() -> None:
    data = load_census(limit=400, encoding="full")
    limits, x = Constraints.of(data, ["age rises", "hours-per-week <= 60"]), data.test.x
    generator = torch.Generator().manual_seed(0)
    low, high = limits.range(x, 0.2, None)
    assert limits.possible(x, x).all()
    assert not limits.possible(x + 0.01 * (x < 0.5), x).any()
    for categories in (0, 1, None):
        point = x + torch.randn(x.shape, generator=generator)
        near = limits.nearest(point, x, low, high, categories)
        assert limits.possible(near, x).all()
        assert (near != x).any(dim=1).float().mean() > 0.9
        assert categories is None or limits.changed_categories(near, x).max() == categories
        torch.testing.assert_close(limits.nearest(near, x, low, high, categories), near)
    age, hours = near[:, 0], near[:, 4]
    assert (age >= x[:, 0]).all()
    assert (age > x[:, 0]).any()
    scale = data.scales["hours-per-week"]
    raw = scale.low + hours * (scale.high - scale.low)
    assert ((raw <= 60.001) | (hours <= x[:, 4])).all(), "who works more may not work more still"


def splits() -> DataSplits:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[32]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=8,
    )
    return DataSplits(
        data=CENSUS,
        victim_records=CENSUS.train,
        adversary_records=CENSUS.train,
        stream=Stream(0),
        runtime=Runtime(),
        plain_recipe=recipe,
    )


@pytest.fixture(scope="module")
def victim() -> Victim:
    return Victim("undefended", splits().plain_recipe, CENSUS.train, Stream(0) / "victim")


@pytest.mark.parametrize("kind", [TabularSearch, ConstrainedPGD])
def test_a_constrained_attack_in_the_protocol(victim: Victim, kind: type[ConstrainedAttack]) -> None:
    attack = kind(epsilon=0.1, immutable=["workclass"])  # pyright: ignore[reportCallIssue]
    found = protocol.assess(victim, attack, splits())
    assert found.robust_correct.sum() < found.clean_correct.sum() - 10
    assert not found.invalid
    assert not any("cannot exist" in one for one in found.warnings)
    assert any("cannot exist" in one for one in protocol.assess(victim, EvasionPGD(epsilon=0.1), splits()).warnings)
    assert found.manifest["categories"] == 1
    measured = protocol.measure(found)
    assert measured.facts["robust_accuracy"].at == "eps 0.1, possible records, 1 category, workclass kept"


def test_what_is_no_possible_record_is_an_error(victim: Victim, monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(self: Any, model: nn.Module, x: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.where(x == 1, 0.99, x)

    monkeypatch.setattr(TabularSearch, "perturb", mixed)
    with pytest.raises(RuntimeError, match="not possible records"):
        protocol.assess(victim, TabularSearch(epsilon=0.1), splits())


def test_what_cannot_be_is_refused_before_anything_is_trained() -> None:
    pictures = AmuletDataset(
        name="pictures",
        modality="image",
        train=Records.of(torch.rand(4, 1, 5, 5), torch.tensor([0, 1, 0, 1])),
        test=Records(torch.rand(2, 1, 5, 5), torch.tensor([0, 1]), torch.zeros(2, 0).long(), torch.tensor([7, 8])),
        num_classes=2,
    )
    with pytest.raises(IncompatibleError, match="those of a table"):
        protocol.check(TabularSearch(), (), pictures)
    with pytest.raises(SettingError, match=r"`attack.constraints`: nothing is known of `agee`"):
        protocol.check(TabularSearch(constraints=["agee rises"]), (), CENSUS)
    with pytest.raises(SettingError, match="`categories` must satisfy 0 <= categories"):
        TabularSearch(categories=-1)
    protocol.check(TabularSearch(constraints=["age rises"], immutable=["occupation"]), (), CENSUS)
