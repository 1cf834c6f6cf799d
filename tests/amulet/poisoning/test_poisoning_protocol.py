"""How poisoning is assessed: on census and on digits, with and without outlier removal, and what it warns of."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from amulet.assessment import Outcome, Plan, assess, check
from amulet.core import Factory, IncompatibleError, SettingError, Stream
from amulet.core.influence import of_mean
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.models import LinearNet
from amulet.poisoning import protocol
from amulet.poisoning.attacks import BadNets
from amulet.poisoning.defenses import OutlierRemoval
from amulet.poisoning.metrics import PoisoningEvidence, attack_success_rate, measure, poisoned_accuracy
from amulet.training import DataSplits, Defense, Prepared, Recipe, Runtime, Victim
from amulet.utils import get_accuracy, train_classifier


@pytest.fixture(scope="module")
def census() -> AmuletDataset:
    return load_census(limit=3000)


def plan(data: AmuletDataset, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"epochs": 6, "attack": BadNets(rate=0.1), "metrics": ("poisoning",), **changes}
    return Plan(
        data=data,
        architecture=Factory("amulet.models.LinearNet", hidden=[64, 32]),
        optimizer=Factory("torch.optim.Adam", lr=3e-3),
        batch_size=128,
        **settings,
    )


@pytest.fixture(scope="module")
def outcome(census: AmuletDataset) -> Outcome:
    return assess(plan(census, defenses=(OutlierRemoval(),), metrics=("default",)))


def scene_of(data: AmuletDataset, attack: BadNets, *defenses: OutlierRemoval) -> tuple[Victim, DataSplits]:
    recipe = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        num_classes=data.num_classes,
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=5,
        defenses=defenses,
    )
    splits = DataSplits(
        data=data,
        victim_records=data.train,
        adversary_records=data.train,
        stream=Stream(0),
        runtime=Runtime(),
        plain_recipe=recipe.plain(),
    )
    return Victim("defended" if defenses else "undefended", recipe, data.train, splits.stream / "victim"), splits


def evidence(**changes: Any) -> PoisoningEvidence:
    fields: dict[str, Any] = {
        "ids": torch.arange(4),
        "labels": torch.tensor([0, 0, 1, 2]),
        "wanted": torch.ones(4, dtype=torch.int64),
        "clean_answers": torch.tensor([0, 0, 1, 1]),
        "attacked_answers": torch.tensor([[1, 1, 1, 0]]),
        "unpoisoned_clean_answers": torch.tensor([0, 0, 1, 2]),
        "unpoisoned_attacked_answers": torch.tensor([[0, 1, 1, 2]]),
        "poisoned_ids": torch.tensor([7]),
        "poisoned_which": torch.tensor([0]),
    }
    fields |= changes
    fields.setdefault("counts", fields["labels"] != 1)
    for rate in fields.get("curve", ()):
        fields.setdefault("curve_clean", {})[rate] = torch.tensor([0, 1, 1, 2])
    return PoisoningEvidence(**fields)


def test_metrics_by_hand() -> None:
    measured = measure(evidence())
    assert measured.metrics == {
        "attack_success_rate": pytest.approx(2 / 3),  # the record of class 1 does not count
        "poisoned_accuracy": 0.75,
        "triggered_accuracy": 0.0,
        "poisoned_test_accuracy": 0.75,
    }
    assert measured.baselines == {
        "attack_success_rate": pytest.approx(1 / 3),
        "poisoned_accuracy": 0.5,
        "triggered_accuracy": pytest.approx(2 / 3),  # records 0 and 3
        "poisoned_test_accuracy": 1.0,
    }
    low, high = measured.intervals["attack_success_rate"]
    assert low < 2 / 3 < high
    assert set(measured.intervals) == set(measured.metrics)


def test_the_influence_of_records_is_that_of_the_shares() -> None:
    several = evidence(attacked_answers=torch.tensor([[1, 1, 1, 0], [0, 1, 0, 0]]))
    influences = measure(several).influences
    # By record: the share of the two triggers that it obeys; the record of class 1 is no success.
    assert influences["attack_success_rate"] == of_mean([0, 1, 3], [0.5, 1.0, 0.0]).blocks()
    assert influences["poisoned_accuracy"] == of_mean([0, 1, 2, 3], [0.5, 1.0, 0.5, 0.0]).blocks()
    assert influences["poisoned_test_accuracy"] == of_mean([0, 1, 2, 3], [1, 1, 1, 0]).blocks()


def test_success_at_other_rates_has_a_name_for_each_and_decides_nothing() -> None:
    measured = measure(evidence(curve={"0.005": torch.tensor([[0, 1, 1, 0]]), "0.1": torch.tensor([[1, 1, 1, 1]])}))
    assert measured.metrics["rate_0.5pct.attack_success_rate"] == pytest.approx(1 / 3)
    assert measured.metrics["rate_10pct.attack_success_rate"] == 1
    assert measured.metrics["rate_10pct.triggered_accuracy"] == 0
    assert measured.metrics["rate_10pct.poisoned_test_accuracy"] == 0.75
    for name in ("rate_0.5pct.attack_success_rate", "rate_10pct.attack_success_rate"):
        assert not measured.facts[name].decides
        assert measured.baselines[name] == measured.baselines["attack_success_rate"]
        assert name in measured.intervals
        assert name in measured.influences
    assert measured.facts["rate_10pct.attack_success_rate"].subject == {"rate": "0.1"}
    assert measured.facts["attack_success_rate"].decides


def test_a_curve_of_rates_is_what_each_rate_alone_gives(census: AmuletDataset) -> None:
    attack = BadNets(rate=0.02, rate_curve=[0.05, 0.01])
    victim, splits = scene_of(census, attack, OutlierRemoval(features="input"))
    found = protocol.assess(victim, attack, splits)
    assert list(found.curve) == ["0.01", "0.05"]
    alone = protocol.assess(victim, BadNets(rate=0.05), splits)
    assert torch.equal(found.curve["0.05"], alone.attacked_answers)
    assert not torch.equal(found.curve["0.05"], found.attacked_answers)
    fewer = protocol.assess(victim, BadNets(rate=0.01), splits)
    assert set(fewer.poisoned_ids.tolist()) < set(found.poisoned_ids.tolist()) < set(alone.poisoned_ids.tolist())


def test_metrics_are_means_over_triggers_and_their_intervals_of_records() -> None:
    several = evidence(attacked_answers=torch.tensor([[1, 1, 1, 0], [0, 0, 0, 0]]))
    measured = measure(several)
    assert measured.metrics["attack_success_rate"] == pytest.approx(1 / 3)
    assert measured.metrics["poisoned_accuracy"] == pytest.approx(3 / 8)
    low, high = measured.intervals["attack_success_rate"]
    assert high - low > 0.8, "three records cannot say more, however many triggers they met"


def test_without_other_classes_there_is_no_success_rate() -> None:
    labels = torch.ones(4, dtype=torch.int64)
    assert math.isnan(attack_success_rate(labels, labels, 1))
    measured = measure(evidence(labels=labels))
    assert math.isnan(measured.metrics["attack_success_rate"])
    assert "attack_success_rate" not in measured.intervals
    assert poisoned_accuracy(labels, 1) == 1.0


def test_census_gets_a_backdoor_and_keeps_its_accuracy(outcome: Outcome) -> None:
    metrics, baselines = outcome.metrics["undefended"], outcome.baselines["undefended"]
    assert metrics["attack_success_rate"] > 0.9
    assert baselines["attack_success_rate"] < 0.3
    assert metrics["poisoned_accuracy"] >= metrics["attack_success_rate"] - 0.02
    assert abs(metrics["poisoned_test_accuracy"] - baselines["poisoned_test_accuracy"]) < 0.05
    assert baselines["poisoned_test_accuracy"] == metrics["test_accuracy"]


def test_the_manifest_says_what_was_poisoned(census: AmuletDataset, outcome: Outcome) -> None:
    for victim in ("undefended", "defended"):
        manifest = outcome.manifest["poisoning"][victim]
        assert manifest["poisoned_records"] == 150
        assert manifest["training_records"] == 1500
        assert manifest["realised_rate"] == manifest["rate"] == 0.1
        assert manifest["in_clean_records"] == [{"victim": 0.0, "test": 0.0}]
        assert len(manifest["attack_success_rate_by_trigger"]) == len(manifest["triggers"]) == 1
        ids = outcome.arrays[f"{victim}.poisoning.poisoned_ids"]
        assert len(set(ids.tolist())) == 150
        assert np.isin(ids, census.train.ids.numpy()).all()
        answers = outcome.arrays[f"{victim}.poisoning.attacked_answers"]
        assert answers.shape == (1, len(census.test))
    same = (outcome.arrays[f"{v}.poisoning.poisoned_ids"].tolist() for v in ("undefended", "defended"))
    assert len({tuple(ids) for ids in same}) == 1, "both victims get the same poisoned records"


def test_the_attack_leaves_the_victims_and_the_split_alone(census: AmuletDataset, outcome: Outcome) -> None:
    alone = assess(plan(census, attack=None, defenses=(OutlierRemoval(),), metrics=("utility",)))
    for victim in ("undefended", "defended"):
        for name in ("train_accuracy", "test_accuracy"):
            assert alone.metrics[victim][name] == outcome.metrics[victim][name]
    assert alone.manifest["split"] == outcome.manifest["split"]


def test_the_manifest_says_how_many_poisoned_records_were_removed(outcome: Outcome) -> None:
    removal = outcome.manifest["poisoning"]["defended"]["removal"]
    assert removal["removed"] == 150
    assert removal["poisoned_removed"] + removal["poisoned_kept"] == 150
    assert removal["share_of_poisoned_removed"] == removal["poisoned_removed"] / 150
    assert removal["share_removed"] == 0.1
    assert "removal" not in outcome.manifest["poisoning"]["undefended"]


class KeepEven(Defense):
    """A defence of a user's own that takes records out and says which."""

    risk = "poisoning"
    stage = "before"

    def prepare(self, records: Records, recipe: Recipe, stream: Stream) -> Prepared:
        odd = records.ids % 2 == 1
        return Prepared(records.take(~odd), arrays={"ids": records.ids.numpy(), "removed": odd.numpy()})


def test_any_defence_that_removes_records_is_judged_by_the_poisoned_ones_among_them(census: AmuletDataset) -> None:
    outcome = assess(plan(census, defenses=(KeepEven(),), epochs=1))
    removal = outcome.manifest["poisoning"]["defended"]["removal"]
    poisoned = outcome.arrays["defended.poisoning.poisoned_ids"]
    assert removal["poisoned_removed"] == (poisoned % 2 == 1).sum()
    assert removal["poisoned_removed"] + removal["poisoned_kept"] == len(poisoned)
    both = assess(plan(census, defenses=(KeepEven(), OutlierRemoval(percent=20, features="input")), epochs=1))
    together = both.manifest["poisoning"]["defended"]["removal"]
    assert together["removed"] == removal["removed"] + round(0.2 * (1500 - removal["removed"]))
    assert together["poisoned_removed"] + together["poisoned_kept"] == len(poisoned)


def test_an_attack_asks_for_the_data_it_needs(census: AmuletDataset) -> None:
    class Picky(BadNets):
        def check(self, data: AmuletDataset) -> None:
            raise SettingError(f"not on {data.name}")

    with pytest.raises(SettingError, match="not on census"):
        protocol.check(Picky(), (), census)


def test_outlier_removal_with_a_clean_reference_finds_more_than_chance(census: AmuletDataset) -> None:
    oracle = OutlierRemoval(reference="trusted", features="input", percent=20)
    attacked = assess(plan(census, defenses=(oracle,)))
    removal = attacked.manifest["poisoning"]["defended"]["removal"]
    assert removal["share_of_poisoned_removed"] > 2 * removal["share_removed"]
    assert any("oracle" in warning for warning in attacked.warnings)


def test_the_own_risk_of_outlier_removal_is_poisoning_by_badnets(census: AmuletDataset) -> None:
    defenses = (OutlierRemoval(),)
    chosen = plan(census, attack=None, defenses=defenses, metrics=("default",))
    assert "poisoning" in chosen.risks()
    assert repr(chosen.attack_on("poisoning")) == repr(BadNets())
    assert check(chosen) == []


def test_by_default_the_success_on_census_can_rise_and_fall() -> None:
    outcome = assess(plan(load_census(limit=10_000), attack=BadNets(), epochs=20, adversary_fraction=0.05))
    assert 0.1 < outcome.metrics["undefended"]["attack_success_rate"] < 0.95


def test_a_trigger_that_clean_records_show_is_warned_of(census: AmuletDataset) -> None:
    attack = BadNets(columns=["capital-gain", "capital-loss"], values=[0.0, 0.0])
    victim, splits = scene_of(census, attack)
    found = protocol.assess(victim, attack, splits).warnings
    assert any("is in 8" in warning and "clean training records" in warning for warning in found)


def test_a_trigger_that_an_unpoisoned_model_obeys_is_warned_of(census: AmuletDataset) -> None:
    attack = BadNets(columns=["capital-gain", "education-num", "age"], values=[1.0, 1.0, 0.5])
    victim, splits = scene_of(census, attack)
    found = protocol.assess(victim, attack, splits).warnings
    assert any(
        w.startswith("undefended: without any poisoning the model gives the answer that the attack") for w in found
    )


def test_a_backdoor_that_was_not_learned_is_warned_of_on_the_undefended_victim_alone(census: AmuletDataset) -> None:
    attack = BadNets(rate=0.001)
    for defenses in ((), (OutlierRemoval(features="input"),)):
        victim, splits = scene_of(census, attack, *defenses)
        found = protocol.assess(victim, attack, splits).warnings
        assert any("the attack did not work" in warning for warning in found) == (not defenses)


def test_an_undefended_victim_that_always_obeys_is_warned_of(census: AmuletDataset) -> None:
    attack = BadNets(rate=0.2)
    for defenses in ((), (OutlierRemoval(features="input"),)):
        victim, splits = scene_of(census, attack, *defenses)
        found = protocol.assess(victim, attack, splits).warnings
        assert any("so near its ceiling" in warning for warning in found) == (not defenses)


def test_a_class_that_outlier_removal_removes_whole_is_warned_of() -> None:
    x = torch.rand(80, 4, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(80, dtype=torch.int64)
    y[:4] = 2  # a few records of a class among many of another: outliers all
    y[4:40] = 1
    x[4:40, 0] += 5
    test = Records.of(x, y).replace(ids=torch.arange(100, 180))
    data = AmuletDataset(name="rare", modality="tabular", train=Records.of(x, y), test=test, num_classes=3)
    attack = BadNets(rate=0.1, size=2)
    warning = "outlier removal left no training record of class 2. Lower defense.percent"
    victim, _ = scene_of(data, attack, OutlierRemoval(features="input", percent=40))
    assert victim.trained.report["warnings"] == [warning]
    outcome = assess(plan(data, attack=attack, defenses=(OutlierRemoval(features="input", percent=40),)))
    assert f"defended: {warning}" in outcome.warnings


def test_what_cannot_be_poisoned_is_refused_before_training(census: AmuletDataset) -> None:
    with pytest.raises(SettingError, match=r"`attack\.target` must be a class, 0 to 1, got 2"):
        check(plan(census, attack=BadNets(target=2)))
    with pytest.raises(IncompatibleError, match=r"rate=0\.5 of 3000 records asks for 1500 to poison"):
        check(plan(census, attack=BadNets(target=0, rate=0.5)))
    with pytest.raises(IncompatibleError, match=r"rate=0\.0001 of 3000 records asks for 0 to poison"):
        check(plan(census, attack=BadNets(rate_curve=[0.02, 0.0001])))
    with pytest.raises(SettingError, match="got height"):
        check(plan(census, attack=BadNets(columns=["height"])))
    protocol.check(BadNets(target=2), (), None)  # nothing can be said without data


def digits() -> AmuletDataset:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    pixels = (torch.from_numpy(x).float().reshape(-1, 1, 8, 8) * 15.9).to(torch.uint8)[order]
    labels = torch.from_numpy(y)[order]
    whole = Records.of(pixels, labels)
    return AmuletDataset(
        name="digits",
        modality="image",
        train=whole.take(torch.arange(1200)),
        test=whole.take(torch.arange(1200, 1797)),
        num_classes=10,
    )


def test_images_in_bytes_get_a_backdoor_from_each_of_two_triggers() -> None:
    outcome = assess(plan(digits(), attack=BadNets(triggers=2, size=2, target=7, rate=0.1), epochs=40))
    rates = outcome.manifest["poisoning"]["undefended"]["attack_success_rate_by_trigger"]
    assert len(rates) == 2
    assert min(rates) > 0.8
    assert outcome.metrics["undefended"]["attack_success_rate"] == pytest.approx(np.mean(rates))
    assert outcome.baselines["undefended"]["attack_success_rate"] < 0.3


def test_by_hand_as_library_code() -> None:
    data = digits()
    attack = BadNets(data.train, rate=0.2, target=3)

    def trained(records: Records) -> nn.Module:
        with (Stream(0) / "weights").seed_global():
            model = LinearNet(data.shape, 10, hidden=[64])
        return train_classifier(model, records, epochs=40)

    clean, backdoored = trained(data.train), trained(attack.attack())
    triggered: DataLoader[Any] = DataLoader(attack.triggered(data.test), batch_size=256)
    assert get_accuracy(backdoored, triggered) > 0.9
    assert get_accuracy(clean, triggered) < 0.3
    assert get_accuracy(backdoored, DataLoader(data.test, batch_size=256)) > 0.8


def test_measuring_is_pure(outcome: Outcome) -> None:
    stored = {
        name.rpartition(".")[2]: array for name, array in outcome.arrays.items() if name.startswith("undefended.p")
    }
    tensors: dict[str, Any] = {name: torch.from_numpy(array) for name, array in stored.items()}
    again = measure(PoisoningEvidence(**tensors))
    for name, value in again.metrics.items():
        assert value == outcome.metrics["undefended"][name]
