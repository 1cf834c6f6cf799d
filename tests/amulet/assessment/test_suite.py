"""Suites: the worst of several attacks counts, and what was finished is kept."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from amulet.assessment import Plan, Suite, assess, check
from amulet.core import Attack, Factory, IncompatibleError, SettingError
from amulet.core.access import Access
from amulet.datasets import load_census
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD, SquareAttack
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.poisoning.attacks import BadNets
from amulet.training import MemoryStore, Pretrained, Runtime
from amulet.unauth_model_ownership.defenses import WatermarkNN

CENSUS = load_census(limit=600)
RARE, OFTEN = BadNets(rate=0.01), BadNets(rate=0.3)


class Picky(EvasionPGD):
    """Needs what no defence and no data set here has."""

    def check(self, data: Any) -> None:
        raise IncompatibleError("it needs pictures")


def plan(attack: Attack, *defenses: Any, store: MemoryStore | None = None, **changes: Any) -> Plan:
    base = Plan(
        data=CENSUS,
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=3,
        batch_size=32,
        attack=attack,
        metrics=(attack.risk,),
        defenses=defenses,
        runtime=Runtime(store=store or MemoryStore()),
    )
    return replace(base, **changes)


def evasion(**attacks: Attack) -> Suite:
    chosen = attacks or {"weak": EvasionPGD(steps=1, restarts=1), "pgd": EvasionPGD(steps=10)}
    return Suite(risk="evasion", attacks=chosen).changed(epsilon=0.1)


def test_records_count_as_robust_that_withstand_every_attack() -> None:
    outcome = assess(plan(evasion(), AdversarialTrainingPGD(steps=1)))
    for victim in ("undefended", "defended"):
        arrays, metrics = outcome.arrays, outcome.metrics[victim]
        clean, robust = (arrays[f"{victim}.evasion.{name}_correct"] for name in ("clean", "robust"))
        weak, both = (arrays[f"{victim}.evasion.after.{name}"] for name in ("weak", "pgd"))
        assert np.array_equal(both, robust)
        assert (robust <= weak).all()
        assert (weak <= clean).all()
        assert metrics["pgd.robust_accuracy"] == metrics["robust_accuracy"] <= metrics["weak.robust_accuracy"]
        suite = outcome.manifest["evasion"][victim]["suite"]
        assert sum(suite["turned"].values()) == clean.sum() - robust.sum()
        assert suite["decided"] == {"robust_accuracy": max(suite["turned"], key=suite["turned"].get)}
    assert outcome.facts.metrics["robust_accuracy"].decides
    assert not outcome.facts.metrics["pgd.robust_accuracy"].decides


def test_a_suite_of_one_is_that_attack() -> None:
    alone = assess(plan(EvasionPGD(epsilon=0.1, steps=5)))
    suite = assess(plan(evasion(pgd=EvasionPGD(steps=5))))
    # Records that the model had wrong are not attacked again, so the random starts are others.
    assert suite.metrics["undefended"]["robust_accuracy"] == pytest.approx(
        alone.metrics["undefended"]["robust_accuracy"], abs=0.01
    )


def test_what_was_finished_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    attempt = protocol.attempt

    def interrupted(victim: Any, attack: Any, splits: Any) -> Any:
        if isinstance(attack, SquareAttack) and done == ["EvasionPGD"]:
            done.append("interrupted")
            raise KeyboardInterrupt
        done.append(type(attack).__name__)
        return attempt(victim, attack, splits)

    monkeypatch.setattr(protocol, "attempt", interrupted)
    store, suite = MemoryStore(), evasion(pgd=EvasionPGD(steps=2), square=SquareAttack(queries=5))
    with pytest.raises(KeyboardInterrupt):
        assess(plan(suite, store=store))
    resumed = assess(plan(suite, store=store))
    assert done == ["EvasionPGD", "interrupted", "SquareAttack"]
    monkeypatch.undo()
    assert resumed.metrics == assess(plan(suite)).metrics


def test_where_models_are_judged_the_adversary_chooses_on_a_victim_of_its_own() -> None:
    suite = Suite(risk="poisoning", attacks={"rare": RARE, "often": OFTEN})
    outcome = assess(plan(suite))
    metrics, kept = outcome.metrics["undefended"], outcome.manifest["poisoning"]["undefended"]["suite"]
    assert kept["decided"] == {"attack_success_rate": "often"}
    assert kept["tried"]["often"]["attack_success_rate"] > kept["tried"]["rare"]["attack_success_rate"]
    for name, attack in suite.attacks.items():
        alone = assess(plan(attack)).metrics["undefended"]["attack_success_rate"]
        assert metrics[f"{name}.attack_success_rate"] == alone
    assert metrics["attack_success_rate"] == metrics["often.attack_success_rate"]
    assert [name for name, facts in outcome.facts.metrics.items() if facts.decides] == ["attack_success_rate"]


def test_what_cannot_be_tried_decides_nothing() -> None:
    few = BadNets(rate=0.002)  # of 120 records none
    outcome = assess(plan(Suite(risk="poisoning", attacks={"few": few, "often": OFTEN})))
    assert outcome.manifest["poisoning"]["undefended"]["suite"]["decided"] == {"attack_success_rate": "often"}
    assert any("few could not be tried" in warning for warning in outcome.warnings)


def test_the_reported_answers_choose_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The victim's own numbers are turned round: the choice stays."""
    from amulet.assessment import measuring

    measured = measuring._stored  # pyright: ignore[reportPrivateUsage]

    def turned(risk: str, victim: Any, attack: Any, splits: Any, plan: Any, functions: Any = ()) -> Any:
        found = measured(risk, victim, attack, splits, plan, functions)
        if victim.name == "undefended":
            found.measurement.metrics["attack_success_rate"] *= -1
        return found

    monkeypatch.setattr(measuring, "_stored", turned)
    outcome = assess(plan(Suite(risk="poisoning", attacks={"rare": RARE, "often": OFTEN})))
    assert outcome.manifest["poisoning"]["undefended"]["suite"]["decided"] == {"attack_success_rate": "often"}


def test_a_mark_is_looked_for_after_the_attack_that_decided() -> None:
    outcome = assess(plan(Suite(risk="poisoning", attacks={"rare": RARE, "often": OFTEN}), WatermarkNN(triggers=20)))
    alone = assess(plan(OFTEN, WatermarkNN(triggers=20)))
    name = "after_poisoning.watermark_accuracy"
    assert outcome.metrics["defended"][name] == alone.metrics["defended"][name]


def test_what_cannot_be_used_is_left_out_with_the_reason() -> None:
    suite = evasion(picky=Picky(), pgd=EvasionPGD(steps=2))
    assert check(plan(suite)) == ["evasion: the suite leaves out picky: it needs pictures"]
    outcome = assess(plan(suite))
    assert "picky.robust_accuracy" not in outcome.metrics["undefended"]
    assert any("leaves out picky" in warning for warning in outcome.warnings)
    with pytest.raises(IncompatibleError, match=r"can be used\. the suite leaves out picky, choosy: it needs pictures"):
        check(plan(evasion(picky=Picky(), choosy=Picky())))


def test_what_a_victim_does_not_grant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EvasionPGD, "needs", Access.TRAINING)
    unknown = Pretrained({}, "0" * 64, recipe_known=False)
    with pytest.raises(IncompatibleError, match="needs other models, trained as it was"):
        check(plan(EvasionPGD(), pretrained=unknown))
    both = evasion(pgd=EvasionPGD(), square=SquareAttack())
    (said,) = (w for w in check(plan(both, pretrained=unknown)) if "suite" in w)
    assert "leaves out pgd: EvasionPGD needs other models" in said


def test_a_setting_reaches_the_attacks_that_have_it() -> None:
    suite = evasion(pgd=EvasionPGD(), square=SquareAttack()).changed(queries=7)
    assert [attack.settings().get("queries") for attack in suite.attacks.values()] == [None, 7]
    assert all(attack.settings()["epsilon"] == 0.1 for attack in suite.attacks.values())
    with pytest.raises(SettingError, match="`speed` must be a setting"):
        suite.changed(speed=1)


@pytest.mark.parametrize(("change", "said"), [({"epsilon": 0.2}, "epsilon"), ({"norm": "l2"}, "norm")])
def test_the_worst_of_several_budgets_is_a_number_at_none(change: dict[str, Any], said: str) -> None:
    suite = evasion()
    suite.attacks["weak"] = suite.attacks["weak"].changed(**change)
    with pytest.raises(SettingError, match=f"`attack.{said}` must be the same for all attacks of a suite"):
        check(plan(suite))


@pytest.mark.parametrize("change", [{"epsilon_curve": [0.2]}, {"median_distance": True}])
def test_what_a_suite_cannot_report_is_refused(change: dict[str, Any]) -> None:
    suite = evasion()
    suite.attacks["weak"] = suite.attacks["weak"].changed(**change)
    with pytest.raises(SettingError, match=f"`attack.{next(iter(change))}` is for a single attack"):
        check(plan(suite))


def test_a_suite_has_attacks_on_one_risk() -> None:
    with pytest.raises(SettingError, match="at least one"):
        Suite(risk="evasion", attacks={})
    with pytest.raises(SettingError, match="an attack on evasion, got one on poisoning"):
        Suite(risk="evasion", attacks={"bad": RARE})
    with pytest.raises(SettingError, match="got a suite"):
        Suite(risk="evasion", attacks={"inner": evasion()})
