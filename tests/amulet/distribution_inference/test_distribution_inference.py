"""Distribution inference from populations to a number: who gets which records, and what comes out."""

import dataclasses

import pytest
import torch
from torch import Tensor, nn

from amulet.assessment import Plan, assess
from amulet.core import Factory, IncompatibleError, SettingError, Stream, clopper_pearson
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.distribution_inference import protocol
from amulet.distribution_inference.attacks import DistributionInference
from amulet.distribution_inference.attacks.population import log_answers
from amulet.distribution_inference.metrics import DistributionEvidence, distinguishing_accuracy, measure, standard_error
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.models import LinearNet
from amulet.training import Recipe
from tests.helpers.distribution_toys import CountingStore, groups, recipe

VICTIM, ADVERSARY = groups(500, 0), groups(500, 1, first_id=1000)
STREAM = Stream(0) / "attack"


def inferred(attack: DistributionInference, made: Recipe | None = None, **changes: object) -> DistributionEvidence:
    made = made or recipe()
    arguments = {"recipe": made, "shadow_recipe": made, "victim_records": VICTIM, "adversary_records": ADVERSARY}
    return attack.infer(**{**arguments, **changes}, stream=STREAM)  # type: ignore[arg-type]


def test_opposite_shares_are_told_apart() -> None:
    found = measure(inferred(DistributionInference(n_models=6)))
    assert found.metrics["distinguishing_accuracy"] == 1
    assert found.intervals["distinguishing_accuracy"] == clopper_pearson(12, 12)
    assert found.intervals["distinguishing_accuracy"][0] > 0.7
    assert found.metrics["loss.distinguishing_accuracy"] == 1
    assert found.metrics["threshold.distinguishing_accuracy"] == 1
    accuracies = [name for name in found.metrics if name.endswith("distinguishing_accuracy")]
    assert found.baselines == dict.fromkeys(accuracies, 0.5) | {"leaked_records": 0.0}
    assert 0 < found.metrics["leaked_records"] < 1  # at least: all are right
    assert found.influences == {}
    (warning,) = found.warnings
    assert "12 models leave distinguishing_accuracy a standard error of 8 points" in warning


@pytest.mark.parametrize("seed", range(3))
def test_equal_shares_cannot_be_told_apart(seed: int) -> None:
    attack = DistributionInference(n_models=10, ratio_1=0.5, ratio_2=0.5, size=60)
    evidence = attack.infer(
        recipe(epochs=2), recipe(epochs=2), VICTIM, ADVERSARY, stream=Stream(seed), name="undefended"
    )
    found = measure(evidence)
    for test in ("", "loss.", "threshold."):
        low, high = found.intervals[f"{test}distinguishing_accuracy"]
        assert low <= 0.5 <= high, test
    assert any("(10 now); those trained so far are kept" in warning for warning in found.warnings)


def test_everybody_has_the_records_that_are_his() -> None:
    evidence = inferred(DistributionInference(n_models=3, ratio_1=0.2, ratio_2=0.7, size=50))
    share = {int(i): int(z) for part in (VICTIM, ADVERSARY) for i, z in zip(part.ids, part.z, strict=True)}
    sets = {"victim": evidence.victim_ids, "adversary": evidence.adversary_ids}
    for side, ids in sets.items():
        assert ids.shape == (6, 50)
        assert torch.isin(ids, (VICTIM if side == "victim" else ADVERSARY).ids).all()
        assert [sum(share[i] for i in row) for row in ids.tolist()] == [10, 10, 10, 35, 35, 35]
        assert all(len(set(row)) == 50 for row in ids.tolist())
        assert len({tuple(sorted(row)) for row in ids.tolist()}) == 6, "two models share one draw"
        assert evidence.manifest["ratios_got"][side] == [0.2, 0.7]
    asked = evidence.query_ids
    assert torch.isin(asked, ADVERSARY.ids).all()
    assert not torch.isin(asked, evidence.adversary_ids).any()
    queried = [sum(share[i] for i in row) / len(row) for row in asked.tolist()]
    assert queried == pytest.approx([0.2, 0.7])
    assert evidence.population.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_constant_on_all_logits_changes_nothing() -> None:
    class Shifted(nn.Module):
        def __init__(self, inner: nn.Module, by: float) -> None:
            super().__init__()
            self.inner, self.by = inner, by

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) + self.by

    torch.manual_seed(0)
    models = [LinearNet((2,), 2, hidden=[4]) for _ in range(9)]
    queries = [groups(40, 7), groups(40, 8)]
    labels = torch.stack([part.y for part in queries])
    shifted = [Shifted(model, by) for model, by in zip(models, range(-40, 50, 10), strict=True)]

    def scores(some: list[nn.Module]) -> dict[str, Tensor]:
        answers = log_answers(some, queries)
        return dict(DistributionInference().scores(answers[:, :3], answers[:, 3:6], answers[:, 6:], labels))

    before, after = scores([*models]), scores([*shifted])
    for test in before:
        assert torch.allclose(before[test], after[test], atol=1e-5), test


def test_more_models_keep_those_that_were_trained() -> None:
    store = CountingStore()
    few = inferred(DistributionInference(n_models=2), recipe(store, epochs=1))
    assert len(store.trained) == 8
    more = inferred(DistributionInference(n_models=3), recipe(store, epochs=1))
    assert len(store.trained) == 12
    assert torch.equal(few.victim_ids[:2], more.victim_ids[:2])
    assert torch.equal(few.victim_ids[2:], more.victim_ids[3:5])
    inferred(DistributionInference(n_models=3, test="loss"), recipe(store, epochs=1))
    assert len(store.trained) == 12


def test_an_adversary_who_knows_of_no_defence_trains_without_it() -> None:
    data = AmuletDataset(
        name="toy", modality="tabular", train=groups(800, 3), test=groups(100, 4, first_id=9000), num_classes=2
    )

    def evidence_arrays(shadow: str) -> dict[str, object]:
        plan = Plan(
            data=data,
            architecture=Factory("amulet.models.LinearNet", hidden=[8]),
            optimizer=Factory("torch.optim.Adam", lr=0.02),
            epochs=2,
            batch_size=32,
            defenses=(AdversarialTrainingPGD(epsilon=0.5, steps=2),),
            attack=DistributionInference(n_models=2, shadow=shadow),  # type: ignore[arg-type]
            metrics=("distribution_inference",),
        )
        outcome = assess(plan)
        assert outcome.manifest["distribution_inference"]["defended"]["shadow"] == shadow
        return {name: array.tolist() for name, array in outcome.arrays.items()}

    same, standard = evidence_arrays("same_as_victim"), evidence_arrays("standard")
    ours, theirs = "distribution_inference.accuracy.adversary", "distribution_inference.accuracy.victim"
    assert standard[f"defended.{ours}"] == standard[f"undefended.{ours}"]
    assert same[f"defended.{ours}"] != same[f"undefended.{ours}"]
    assert same[f"defended.{theirs}"] == standard[f"defended.{theirs}"] != standard[f"undefended.{theirs}"]
    for ids in ("victim_ids", "adversary_ids", "query_ids"):
        name = f"distribution_inference.{ids}"
        assert same[f"defended.{name}"] == same[f"undefended.{name}"], "victims differ in more than the defence"


def test_the_library_form() -> None:
    evidence = DistributionInference(recipe(epochs=1), VICTIM, ADVERSARY, n_models=2).attack()
    assert evidence.scores.keys() == {"kl", "loss", "threshold"}
    with pytest.raises(SettingError, match="must be built with a recipe"):
        DistributionInference().attack()
    with pytest.raises(SettingError, match="must not share records"):
        DistributionInference(recipe(), VICTIM, VICTIM).attack()


def test_the_value_and_the_labels_can_be_chosen() -> None:
    evidence = inferred(DistributionInference(n_models=2, value=0, ratio_1=0.2, ratio_2=0.6))
    z = {int(i): int(z) for i, z in zip(VICTIM.ids, VICTIM.z, strict=True)}
    shares = [1 - sum(z[i] for i in row) / len(row) for row in evidence.victim_ids.tolist()]
    assert shares == pytest.approx([0.2, 0.2, 0.6, 0.6])
    one, other = evidence.manifest["positive_labels"]
    assert one == pytest.approx(other, abs=0.02)


def test_a_share_of_labels_that_tells_the_ratio_is_warned_of() -> None:
    def unequal(records: Records) -> Records:
        return records.replace(y=torch.where(records.ids % 3 == 0, records.z[:, 0], records.y))

    theirs = {"victim_records": unequal(VICTIM), "adversary_records": unequal(ADVERSARY)}
    for labels, told in (("natural", True), ("fixed", False)):
        attack = DistributionInference(n_models=2, labels=labels)  # type: ignore[arg-type]
        warnings = inferred(attack, recipe(epochs=1), **theirs).warnings
        assert any("how often a model answers it tells the ratio" in w for w in warnings) == told


def test_the_adversary_may_train_fewer_models_than_it_attacks() -> None:
    store = CountingStore()
    few = inferred(DistributionInference(n_models=4, n_shadow=2), recipe(store, epochs=1))
    assert len(store.trained) == 12
    assert few.manifest["models"] == {"victim": 8, "adversary": 4}
    assert few.adversary_ids.shape[0] == 4
    assert len(few.scores["kl"]) == len(few.population) == 8
    assert any("Raise attack.n_shadow" in warning for warning in few.warnings)
    as_many = inferred(DistributionInference(n_models=4), recipe(store, epochs=1))
    assert len(store.trained) == 16
    assert torch.equal(as_many.victim_ids, few.victim_ids)
    assert torch.equal(as_many.adversary_ids[:2], few.adversary_ids[:2])


def scored(right: int, n: int, **changes: object) -> DistributionEvidence:
    """Evidence of n models of which the KL test gets `right` right."""
    population = torch.arange(n) // (n // 2)
    scores = torch.where(population == 1, 1.0, -1.0)
    scores[right:] *= -1
    ids = torch.zeros(2, 1, dtype=torch.int64)
    values: dict[str, object] = {
        "population": population,
        "scores": {"kl": scores, "loss": -scores},
        "test": "kl",
        "query_ids": ids,
        "victim_ids": ids,
        "adversary_ids": ids,
    }
    return DistributionEvidence(**{**values, **changes})  # type: ignore[arg-type]


def test_the_chosen_test_decides() -> None:
    found = measure(scored(17, 20))
    assert found.metrics == {"distinguishing_accuracy": 0.85, "loss.distinguishing_accuracy": 0.15}
    assert found.intervals["distinguishing_accuracy"] == clopper_pearson(17, 20)
    assert any(
        "a standard error of 8 points. For 3 points set attack.n_models=90 (10 now)" in w for w in found.warnings
    )
    assert any("n_models=137 (" in w for w in measure(scored(100, 200)).warnings)
    assert measure(scored(139, 278)).warnings == []
    assert standard_error(torch.ones(20), torch.ones(20)) > 0, "all right is no proof that all will be"
    turned = measure(scored(17, 20, test="loss"))
    assert turned.metrics == {"kl.distinguishing_accuracy": 0.85, "distinguishing_accuracy": 0.15}
    assert measure(scored(190, 200)).warnings == []
    assert distinguishing_accuracy(torch.tensor([-1.0, 0.0, 2.0]), torch.tensor([0, 0, 0])) == pytest.approx(2 / 3)


def test_few_models_nearly_equal_draws_and_models_that_learned_nothing_are_warned_of() -> None:
    attack = DistributionInference(n_models=2, ratio_1=0.5, ratio_2=0.5)
    assert any("2 models of each ratio" in warning for warning in inferred(attack, recipe(epochs=1)).warnings)
    nearly_all = inferred(attack.changed(size=380), recipe(epochs=1))
    assert any("nearly the same records" in warning for warning in nearly_all.warnings)
    stuck = inferred(attack, recipe(epochs=1, optimizer=Factory("torch.optim.SGD", lr=1e-9)), **one_class())
    assert any("answer one class for every query" in warning for warning in stuck.warnings)


def one_class() -> dict[str, Records]:
    """Records on which any model answers always the same: all inputs are equal."""
    return {
        "victim_records": VICTIM.replace(x=torch.zeros_like(VICTIM.x)),
        "adversary_records": ADVERSARY.replace(x=torch.zeros_like(ADVERSARY.x)),
    }


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"ratio_1": -0.1}, "`ratio_1` must satisfy 0 <= ratio_1 <= 1, got -0.1"),
        ({"ratio_2": 0.55555}, "`ratio_2` must have at most three decimal places"),
        ({"n_models": 0}, "`n_models` must satisfy 1 <= n_models, got 0"),
        ({"size": 1}, "`size` must satisfy 2 <= size, got 1"),
        ({"n_shadow": 0}, "`n_shadow` must satisfy 1 <= n_shadow, got 0"),
        ({"labels": "equal"}, "`labels` must be one of fixed, natural; got equal"),
        ({"query_fraction": 0.0}, "`query_fraction` must satisfy 0 < query_fraction < 1"),
        ({"shadow": "none"}, "`shadow` must be one of same_as_victim, standard; got none"),
        ({"test": "meta"}, "`test` must be one of kl, loss, threshold; got meta"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError) as caught:
        DistributionInference().changed(**settings)
    assert message in str(caught.value)


def test_what_cannot_work_is_refused_before_training() -> None:
    data = load_census(limit=200)
    protocol.check(DistributionInference(), (), None)
    protocol.check(DistributionInference(attribute="sex"), (), data)
    with pytest.raises(SettingError, match=r"`attack.attribute` must be one of race, sex; got age"):
        protocol.check(DistributionInference(attribute="age"), (), data)
    with pytest.raises(
        SettingError, match=r"`attack.value` must be one of the values of race, 0 Black, 1 White; got 2"
    ):
        protocol.check(DistributionInference(value=2), (), data)
    with pytest.raises(IncompatibleError, match="the most is"):
        protocol.check(DistributionInference(size=1000), (), data)
    with pytest.raises(IncompatibleError, match="needs a sensitive attribute"):
        protocol.check(DistributionInference(), (), load_census(limit=200, sensitive=[]))
    with pytest.raises(
        IncompatibleError, match=r"the most is \d+\. Lower .* another attribute \(attack.attribute=sex\)"
    ):
        protocol.check(DistributionInference(size=1000), (), data)
    named = dataclasses.replace(groups(100, 0, first_id=90_000), value_names=(("Black", "White"),))
    with pytest.raises(IncompatibleError, match=r"in which 0.1 and 0.9 have group = White; the most is"):
        inferred(DistributionInference(size=10_000), victim_records=named)
    similar = groups(100, 0, share=1.1)
    with pytest.raises(IncompatibleError, match="its share cannot vary"):
        DistributionInference().chosen(similar)
    with pytest.raises(IncompatibleError, match="records for queries cannot have"):
        inferred(DistributionInference(query_fraction=0.01))


def test_on_census() -> None:
    plan = Plan(
        data=load_census(limit=3000),
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        optimizer=Factory("torch.optim.Adam", lr=0.01),
        epochs=3,
        batch_size=32,
        attack=DistributionInference(attribute="sex", n_models=4),
    )
    outcome = assess(plan)
    metrics = outcome.metrics["undefended"]
    assert {"test_accuracy", "distinguishing_accuracy", "loss.distinguishing_accuracy"} <= metrics.keys()
    manifest = outcome.manifest["distribution_inference"]["undefended"]
    assert manifest["attribute"] == "sex"
    assert manifest["ratios_got"] == {"victim": [0.1, 0.9], "adversary": [0.1, 0.9]}
    assert manifest["models"] == {"victim": 8, "adversary": 8}
    low, high = manifest["positive_labels"]
    assert low == pytest.approx(high, abs=0.01), "men earn more in this data, and the share of labels must not tell"
    assert assess(plan).metrics == outcome.metrics
