"""What an attack promises is verified; what it is after is counted; label flipping, and chosen test records."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from amulet.assessment import Plan, assess, check
from amulet.core import Factory, IncompatibleError, SettingError, Stream
from amulet.core.access import Access, missing
from amulet.datasets import AmuletDataset, Records
from amulet.poisoning.attacks import (
    ANY_OTHER,
    SIG,
    AdaptiveBlend,
    Adversary,
    Aim,
    BadNets,
    Blended,
    CleanLabel,
    LabelFlipping,
    Poisoned,
    PoisoningAttack,
    Promise,
    WaNet,
    WitchesBrew,
)
from amulet.poisoning.metrics import PoisoningEvidence, measure
from amulet.testing.laboratory import people


def plan(attack: PoisoningAttack, data: AmuletDataset, **changes: Any) -> Plan:
    settings: dict[str, Any] = {"epochs": 10, "batch_size": 32, "metrics": ("poisoning",), **changes}
    return Plan(
        data=data,
        architecture=Factory("amulet.models.LinearNet", hidden=[32]),
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        attack=attack,
        **settings,
    )


RECORDS = Records.of(torch.rand(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 2)
KEPT = Promise(candidates=RECORDS.y == 0, count=2, relabelled=1, label=1, reach=0.5)


def poisoned(where: list[int], **changes: Any) -> Poisoned:
    """Records of class 0 changed by 0.4, the first of them relabelled."""
    x, y = RECORDS.x.clone(), RECORDS.y.clone()
    x[where] = x[where] + 0.4
    y[where[0]] = 1
    parts: dict[str, Any] = {"x": x, "y": y, **changes}
    return Poisoned(RECORDS.replace(**parts), torch.tensor(where), torch.zeros(len(where)))


def with_value(tensor: Tensor, place: Any, value: float) -> Tensor:
    changed = tensor.clone()
    changed[place] = value
    return changed


def test_a_promise_that_is_kept() -> None:
    assert KEPT.broken(RECORDS, poisoned([0, 2])) == ""


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (poisoned([0, 2, 4]), "3 records changed, 2 were promised"),
        (poisoned([0, 0]), "1 records changed, 2 were promised"),
        (poisoned([0, 1]), "1 records changed that it was to leave alone"),
        (poisoned([0, 2], x=with_value(poisoned([0, 2]).records.x, (5, 0), 0.123)), "that it does not name"),
        (poisoned([0, 2], y=with_value(poisoned([0, 2]).records.y, 4, 1)), "that it does not name"),
        (poisoned([0, 2], y=RECORDS.y), "0 records have another label, 1 were promised"),
        (poisoned([0, 2], y=with_value(poisoned([0, 2]).records.y, 0, 2)), "1 records have another label"),
        (poisoned([0, 2], x=with_value(poisoned([0, 2]).records.x, (0, 0), 3.0)), "an input changed by"),
        (poisoned([0, 2], ids=RECORDS.ids.flip(0)), "added, removed, reordered"),
    ],
)
def test_a_promise_that_is_broken(found: Poisoned, says: str) -> None:
    assert says in KEPT.broken(RECORDS, found)


def test_a_broken_promise_stops_the_assessment() -> None:
    class Greedy(LabelFlipping):
        def poison(self, records: Records, aim: Aim, adversary: Adversary) -> Poisoned:
            return LabelFlipping(rate=2 * self.rate).poison(records, aim, adversary)

    with pytest.raises(RuntimeError, match=r"Greedy\(rate=0.1.* did not poison what it was asked to: 60 records"):
        assess(plan(Greedy(rate=0.1), people(), epochs=1))


def flipped(attack: LabelFlipping, records: Records, classes: int, seed: int = 0) -> Records:
    adversary = Adversary(records=records, stream=Stream(seed), num_classes=classes)
    found = attack.poison(records, attack.aim(adversary, records), adversary)
    assert attack.promise(records.y).broken(records, found) == ""
    return found.records


def test_untargeted_flips_go_from_all_classes_to_all_others() -> None:
    records = Records.of(torch.rand(4000, 1), torch.arange(4000) % 4)
    after = flipped(LabelFlipping(rate=0.3), records, 4)
    moved = after.y != records.y
    assert int(moved.sum()) == 1200
    counts = torch.bincount(records.y[moved] * 4 + after.y[moved], minlength=16).reshape(4, 4)
    assert torch.equal(counts.diagonal(), torch.zeros(4, dtype=torch.int64))
    assert (counts + 100 * torch.eye(4)).min() > 60, "each pair of classes about equally often, 100 times"
    few = flipped(LabelFlipping(rate=0.1), records, 4)
    assert not ((few.y != records.y) & ~moved).any()


def test_targeted_flips_go_from_one_class_to_another() -> None:
    records = Records.of(torch.rand(400, 1), torch.arange(400) % 4)
    attack = LabelFlipping(rate=0.1, source=2, target=0)
    after = flipped(attack, records, 4)
    moved = after.y != records.y
    assert int(moved.sum()) == 40
    assert (records.y[moved] == 2).all()
    assert (after.y[moved] == 0).all()
    assert torch.equal(after.x, records.x)
    with pytest.raises(IncompatibleError, match="asks for 120 to poison, but 100 are of class 2"):
        attack.changed(rate=0.3).promise(records.y)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rate": 0}, "`rate`"),
        ({"source": 1}, "`source` and `target` must be two classes, or both null, got 1 and None"),
        ({"source": 1, "target": 1}, "got 1 and 1"),
        ({"source": -1, "target": 1}, "`source`"),
        ({"rate_curve": [2]}, "`rate_curve`"),
    ],
)
def test_flips_that_cannot_be(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        LabelFlipping(**settings)


def evidence(wanted: int, counts: list[bool]) -> PoisoningEvidence:
    answers, plain = torch.tensor([0, 1, 1, 0]), torch.tensor([0, 0, 1, 1])
    return PoisoningEvidence(
        ids=torch.arange(4),
        labels=torch.tensor([0, 0, 1, 1]),
        wanted=torch.full((4,), wanted),
        counts=torch.tensor(counts),
        has_triggers=False,
        clean_answers=answers,
        attacked_answers=answers.unsqueeze(0),
        unpoisoned_clean_answers=plain,
        unpoisoned_attacked_answers=plain.unsqueeze(0),
        poisoned_ids=torch.tensor([7]),
        poisoned_which=torch.tensor([0]),
    )


def test_without_a_target_success_is_the_error() -> None:
    measured = measure(evidence(ANY_OTHER, [True] * 4))
    assert measured.metrics == {"attack_success_rate": 0.5, "poisoned_test_accuracy": 0.5}
    assert measured.baselines == {"attack_success_rate": 0.0, "poisoned_test_accuracy": 1.0}


def test_with_a_source_success_is_counted_over_its_records() -> None:
    measured = measure(evidence(1, [True, True, False, False]))
    assert measured.metrics["attack_success_rate"] == 0.5
    assert "triggered_accuracy" not in measured.metrics, "no test record has a trigger"


def test_flips_succeed_as_the_accuracy_falls() -> None:
    outcome = assess(plan(LabelFlipping(rate=0.45), people(), epochs=20))
    metrics, baselines = outcome.metrics["undefended"], outcome.baselines["undefended"]
    assert metrics["attack_success_rate"] == pytest.approx(1 - metrics["poisoned_test_accuracy"])
    assert baselines["attack_success_rate"] == pytest.approx(1 - baselines["poisoned_test_accuracy"])
    assert metrics["attack_success_rate"] > baselines["attack_success_rate"] + 0.05
    manifest = outcome.manifest["poisoning"]["undefended"]
    assert manifest["relabelled_records"] == manifest["poisoned_records"] == 135
    assert manifest["triggers"] == manifest["attack_success_rate_by_trigger"] == []


def test_targeted_flips_succeed_on_their_source_alone() -> None:
    outcome = assess(plan(LabelFlipping(rate=0.4, source=0, target=1), people(), epochs=20))
    assert outcome.metrics["undefended"]["attack_success_rate"] > 0.6
    assert outcome.baselines["undefended"]["attack_success_rate"] < 0.3
    assert outcome.manifest["poisoning"]["undefended"]["aimed_at"] == int((people().test.y == 0).sum())


def test_a_brew_moves_its_targets_and_hardly_anything_else() -> None:
    attack = WitchesBrew(rate=0.4, target=1, targets=4, epsilon=0.1, steps=40)
    outcome = assess(plan(attack, people("image"), epochs=20))
    metrics, baselines = outcome.metrics["undefended"], outcome.baselines["undefended"]
    assert metrics["attack_success_rate"] >= baselines["attack_success_rate"] + 0.5
    assert metrics["poisoned_test_accuracy"] > baselines["poisoned_test_accuracy"] - 0.1
    manifest = outcome.manifest["poisoning"]["undefended"]
    assert manifest["aimed_at"] == 4
    assert manifest["relabelled_records"] == 0


def test_both_victims_get_the_same_poison_and_targets_differ_by_seed() -> None:
    data, chosen = people(), list[list[int]]()
    for seed in (0, 0, 1):
        adversary = Adversary(records=data.train, stream=Stream(seed), num_classes=2)
        chosen.append(WitchesBrew().aim(adversary, data.test).counts.nonzero().flatten().tolist())
    assert chosen[0] == chosen[1] != chosen[2]


@pytest.mark.parametrize("attack", [SIG(), WaNet(), AdaptiveBlend()], ids=lambda one: type(one).__name__)
def test_pictures_only_attacks_refuse_tables_before_training(attack: PoisoningAttack) -> None:
    with pytest.raises(IncompatibleError, match="needs pictures"):
        check(plan(attack, people()))
    check(plan(attack, people("image")))


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        (Blended(target=2), "`attack.target` must be a class, 0 to 1, got 2"),
        (CleanLabel(target=2), "`attack.target`"),
        (LabelFlipping(source=0, target=2), "`attack.target`"),
        (LabelFlipping(source=2, target=0), "`attack.source`"),
        (WitchesBrew(target=2), "`attack.target`"),
        (WitchesBrew(targets=500), "`attack.targets` must be at most"),
    ],
)
def test_what_the_data_has_not_is_refused_before_training(attack: PoisoningAttack, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        check(plan(attack, people()))


@pytest.mark.parametrize(
    ("attack", "modality"),
    [
        (Blended(rate=0.1), "tabular"),
        (BadNets(rate=0.1), "tabular"),
        (CleanLabel(rate=0.3, target=1), "tabular"),
        (Blended(rate=0.1), "image"),
        (SIG(rate=0.3, delta=0.3), "image"),
        (AdaptiveBlend(rate=0.3, alpha=0.4, train_alpha=0.3), "image"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_a_backdoor_is_learned_and_accuracy_stays(attack: PoisoningAttack, modality: Any) -> None:
    outcome = assess(plan(attack, people(modality), epochs=30))
    metrics, baselines = outcome.metrics["undefended"], outcome.baselines["undefended"]
    assert metrics["attack_success_rate"] > baselines["attack_success_rate"] + 0.2
    assert metrics["poisoned_test_accuracy"] > baselines["poisoned_test_accuracy"] - 0.1
    # Of two classes, what is not taken for the target is right.
    assert metrics["triggered_accuracy"] == pytest.approx(1 - metrics["attack_success_rate"])


def test_only_a_backdoor_asks_the_victim_about_records_of_its_own() -> None:
    assert Access.QUERIES in BadNets.needs
    assert Access.QUERIES not in LabelFlipping.needs | WitchesBrew.needs
    assert not missing(BadNets.needs, Access.LABELS | Access.QUERIES | Access.TRAINING), "labels are enough"


def test_an_attack_that_is_after_no_record_has_no_success_rate() -> None:
    measured = measure(evidence(1, [False] * 4))
    assert math.isnan(measured.metrics["attack_success_rate"])


def test_impossible_records_are_warned_of() -> None:
    from amulet.datasets import load_census

    data = load_census(limit=400)
    for codes in (True, False):
        found = assess(plan(Blended(rate=0.1, codes=codes), data, epochs=1)).warnings
        assert any("one-hot columns" in text and "attack.codes=false" in text for text in found) == codes
