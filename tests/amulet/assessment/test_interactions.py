"""One assessment of two victims: splits, streams, what is measured, what is refused."""

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from amulet.assessment import RISKS, Plan, assess, check, risk_of
from amulet.core import Factory, IncompatibleError, SettingError
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.evasion.attacks import EvasionPGD
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.training import Defense, Hook, Loss, LossFunction, MemoryStore, Runtime, Training

CENSUS = load_census(limit=400)


def plan(**changes: Any) -> Plan:
    base = Plan(
        data=CENSUS,
        architecture=Factory("amulet.models.LinearNet", hidden=[16]),
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=3,
        batch_size=64,
    )
    return replace(base, **changes)


def test_both_victims_share_records_and_the_attack_changes_neither() -> None:
    store = MemoryStore()
    runtime = Runtime(store=store)
    defended = assess(plan(defenses=(AdversarialTrainingPGD(steps=2),), runtime=runtime))
    assert set(defended.metrics) == {"undefended", "defended"}
    alone = assess(plan(attack=EvasionPGD(steps=3), runtime=runtime))
    assert set(alone.metrics) == {"undefended"}
    assert alone.metrics["undefended"]["test_accuracy"] == defended.metrics["undefended"]["test_accuracy"]
    kept = [key for key in store._kept if not key.startswith("measured-")]  # pyright: ignore[reportPrivateUsage]
    assert len(kept) == 2, "the undefended victim was trained once"


def test_parts_are_disjoint_and_stratified() -> None:
    found = assess(plan(adversary_fraction=0.3)).manifest
    manifest = found["split"]
    assert found["dataset"]["ranges"]["age"] == [17.0, 90.0]
    assert set(found["dataset"]["ranges"]) < set(found["dataset"]["columns"])
    assert (manifest["victim"]["records"], manifest["adversary"]["records"]) == (280, 120)
    assert manifest["test"]["records"] == 400
    shares = [part["classes"][1] for part in manifest.values()]
    assert max(shares) - min(shares) < 0.01


def test_the_same_plan_gives_the_same_numbers_and_another_seed_others() -> None:
    first, again, other = (assess(plan(attack=EvasionPGD(steps=5), seed=seed)) for seed in (0, 0, 1))
    assert first.metrics == again.metrics
    assert first.manifest["split"]["victim"]["digest"] == again.manifest["split"]["victim"]["digest"]
    assert first.manifest["split"]["victim"]["digest"] != other.manifest["split"]["victim"]["digest"]
    assert all((first.arrays[name] == again.arrays[name]).all() for name in first.arrays)


def test_what_is_measured() -> None:
    defense = AdversarialTrainingPGD(steps=1)
    assert plan().risks() == ["utility"]
    assert plan(defenses=(defense,)).risks() == ["utility", "evasion"]
    assert plan(attack=EvasionPGD(), defenses=(defense,)).risks() == ["utility", "evasion"], "each risk once"
    assert plan(metrics=("S1", "utility", "fairness")).risks() == ["evasion", "utility", "discriminatory_behavior"]
    with pytest.raises(SettingError, match="`metric` must name risks"):
        plan(metrics=("robustness",)).risks()
    outcome = assess(plan(metrics=("fairness",)))
    assert "sex.equalized_odds_difference" in outcome.metrics["undefended"]
    sizes = outcome.manifest["discriminatory_behavior"]["undefended"]["groups"]["sex"]
    assert set(sizes) == {"0", "1"}
    assert sum(sizes.values()) == 400
    assert "test_accuracy" not in outcome.metrics["undefended"]
    chosen = plan(metrics=("evasion",), attack_settings={"evasion": {"labels": "predicted"}}).attack_on("evasion")
    assert isinstance(chosen, EvasionPGD)
    assert chosen.labels == "predicted"


def test_the_defences_budget_is_both_victims_budget() -> None:
    outcome = assess(plan(defenses=(AdversarialTrainingPGD(epsilon=0.02, steps=1),)))
    assert [outcome.manifest["evasion"][v]["epsilon"] for v in ("undefended", "defended")] == [0.02, 0.02]


def test_utility_has_baselines_intervals_and_warnings() -> None:
    outcome = assess(plan(epochs=20))
    metrics, baselines = outcome.metrics["undefended"], outcome.baselines["undefended"]
    majority = CENSUS.test.y.bincount().max().item() / 400
    assert baselines["test_accuracy"] == pytest.approx(majority)
    assert outcome.facts.collapsed == ()
    low, high = outcome.intervals["undefended"]["test_accuracy"]
    assert low < metrics["test_accuracy"] < high
    assert baselines["test_balanced_accuracy"] == 0.5
    assert 0.5 < metrics["test_balanced_accuracy"] < metrics["test_accuracy"], "the rare class is the harder one"
    stuck = assess(plan(optimizer=Factory("torch.optim.SGD", lr=1e-12), epochs=1))
    assert any("answers class" in w or "within 5 points" in w or "below that" in w for w in stuck.warnings)


def test_a_model_of_one_answer_is_told_apart_by_its_losses() -> None:
    slow = assess(plan(optimizer=Factory("torch.optim.SGD", lr=0.05), epochs=4, metrics=("utility",)))
    (warning,) = [w for w in slow.warnings if "answers class 0" in w]
    assert "after 4 epochs" in warning
    assert "Train it longer (epochs)" in warning
    assert slow.facts.collapsed == ("undefended",)
    fast = assess(plan(optimizer=Factory("torch.optim.SGD", lr=100.0), epochs=4, metrics=("utility",)))
    (warning,) = [w for w in fast.warnings if "answers class" in w]
    assert "Training collapsed: lower optimizer.lr" in warning
    assert fast.facts.collapsed == ("undefended",)


class _Takes(Defense):
    risk: ClassVar[str] = "membership_inference"
    stage: ClassVar[Any] = "in"

    def hook(self) -> Hook:
        return _TakesGradients()


class _TakesToo(_Takes):
    pass


class _TakesGradients(Hook):
    def backward(self, training: Training, batch: Records, loss: LossFunction) -> Loss:
        training.optimizer.zero_grad()
        result = loss(batch)
        result.values.sum().backward()
        return result

    def batches(self, training: Training, generator: torch.Generator) -> Iterator[Tensor]:
        yield torch.arange(8)


class _Before(Defense):
    risk: ClassVar[str] = "poisoning"
    stage: ClassVar[Any] = "before"


class _BeforeToo(_Before):
    risk: ClassVar[str] = "unauth_model_ownership"


def test_pairs_of_defences() -> None:
    adversarial = AdversarialTrainingPGD()
    with pytest.raises(IncompatibleError, match="AdversarialTrainingPGD is chosen twice"):
        check(plan(defenses=(adversarial, AdversarialTrainingPGD(epsilon=0.01))))
    with pytest.raises(IncompatibleError, match="_Takes and _TakesToo cannot work together: both compute"):
        check(plan(defenses=(_Takes(), _TakesToo()), metrics=("utility",)))
    assert check(plan(defenses=(adversarial,))) == []
    assert check(plan(defenses=(adversarial, _Before()), metrics=("utility",))) == []
    assert "Szyller and Asokan" in check(plan(defenses=(adversarial, _BeforeToo()), metrics=("utility",)))[0]
    assert "may undo" in check(plan(defenses=(_Before(), _BeforeToo()), metrics=("utility",)))[0]


def test_two_defences_are_both_in_the_model() -> None:
    one = assess(plan(defenses=(AdversarialTrainingPGD(steps=1),), metrics=("utility",)))
    two = assess(plan(defenses=(AdversarialTrainingPGD(steps=1), _Takes()), metrics=("utility",)))
    assert one.metrics["undefended"] == two.metrics["undefended"]
    assert one.metrics["defended"] != two.metrics["defended"]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.5])
def test_both_sides_need_records(fraction: float) -> None:
    with pytest.raises(SettingError, match="adversary_fraction"):
        check(plan(adversary_fraction=fraction))
    for refuses in (check, assess):
        with pytest.raises(SettingError, match="at least one of 400"):
            refuses(plan(adversary_fraction=0.0001))


def test_data_of_one_class_are_refused_before_training() -> None:
    data = plan().data
    assert data is not None
    train = data.train.take((data.train.y == 0).nonzero().squeeze(1))
    for refuses in (check, assess):
        with pytest.raises(SettingError, match="labels of `train` must be of two classes or more, all are 0"):
            refuses(plan(data=dataclasses.replace(data, train=train)))


def test_a_model_that_does_not_fit_is_refused_before_training() -> None:
    with pytest.raises(SettingError, match=r"does not fit inputs of shape \(42,\)"):
        assess(plan(architecture=Factory("torch.nn.Linear", in_features=7, out_features=2)))
    with pytest.raises(SettingError, match="`data` must be an AmuletDataset"):
        assess(plan(data=None))


def test_risks_by_name_code_and_alias() -> None:
    assert risk_of("s3") is risk_of("unauth_model_ownership") is RISKS["unauth_model_ownership"]
    assert risk_of("fairness").code == "F"
    assert {risk.code for risk in RISKS.values()} == {"S1", "S2", "S3", "P1", "P2", "P3", "P4", "F"}


def test_a_data_sets_warnings_reach_the_result() -> None:
    noted: AmuletDataset = replace(CENSUS, warnings=("these are not the official bytes",))
    assert "these are not the official bytes" in assess(plan(data=noted)).warnings
