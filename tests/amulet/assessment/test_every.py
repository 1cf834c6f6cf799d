"""The metric option `every`: all risks that make sense, the others left out with the reason."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amulet.assessment import RISKS, Plan, assess, check
from amulet.assessment.combinations import DataFacts, stand_in
from amulet.core import Factory, IncompatibleError, SettingError
from amulet.evasion import protocol
from amulet.evasion.attacks import EvasionPGD
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.config.risk_selection import among, attack_settings
from amulet_cli.execution.plan import plan_of
from tests.helpers.cli_helpers import TINY

PICTURES = stand_in(DataFacts("things", "image", (1, 28, 28), 10))  # no sensitive attributes


def plan(*metrics: str, optional: tuple[str, ...] = ()) -> Plan:
    return Plan(
        data=PICTURES,
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        optimizer=Factory("torch.optim.Adam"),
        epochs=1,
        attack=EvasionPGD(steps=1),
        metrics=metrics,
        optional=optional,
    )


def test_an_optional_risk_that_makes_no_sense_is_left_out_with_the_reason() -> None:
    risks = ("attribute_inference", "evasion", "distribution_inference")
    outcome = assess(plan("utility", *risks, optional=risks))
    assert outcome.manifest["refused"].keys() == {"attribute_inference", "distribution_inference"}
    assert all("sensitive attribute" in reason for reason in outcome.manifest["refused"].values())
    assert {"test_accuracy", "robust_accuracy"} <= outcome.metrics["undefended"].keys()
    assert "attribute_inference" not in outcome.manifest


def test_a_risk_that_was_asked_for_is_refused_as_ever() -> None:
    with pytest.raises(IncompatibleError, match="sensitive attribute"):
        check(plan("evasion", "attribute_inference", optional=("evasion",)))


def test_what_a_measurement_warns_of_is_kept_with_its_risk() -> None:
    outcome = assess(plan("evasion"))
    warnings = outcome.manifest["evasion"]["undefended"].get("warnings", [])
    assert set(warnings) <= set(outcome.warnings)
    assert all(warning.startswith("undefended") for warning in warnings)


def planned(*words: str) -> Plan:
    return plan_of(compose(parse(["metric=[every]", *words])).jobs[0].config)


def test_every_is_utility_and_all_risks_none_of_them_insisted_on() -> None:
    made = planned()
    assert made.risks() == ["utility", *RISKS]
    assert made.optional == tuple(RISKS)


def test_among_chooses_by_name_or_code_in_the_papers_order() -> None:
    made = planned("metric.every.among=[P1,evasion,fairness]")
    assert made.risks() == ["utility", "evasion", "membership_inference", "discriminatory_behavior"]
    assert among({"utility": {"risk": None}}) == []


@pytest.mark.parametrize("read", [among, attack_settings])
def test_what_is_no_mapping_is_refused(read: Callable[[dict[str, Any]], object]) -> None:
    with pytest.raises(UsageError, match=r"`metric\.every` must be a mapping"):
        read({"every": "é"})


def test_settings_of_the_attacks_by_risk() -> None:
    made = planned("metric.every.P1.n_shadow=4", "metric.every.evasion.steps=3")
    assert made.attack_on("membership_inference").settings()["n_shadow"] == 4
    assert made.attack_on("evasion").settings()["steps"] == 3
    assert attack_settings({}) == {}
    twice = {"distribution_inference": {"ratio_1": 0.2, "n_models": 150}, "P4": {"n_models": 2}}
    assert attack_settings({"every": twice}) == {"distribution_inference": {"ratio_1": 0.2, "n_models": 2}}
    both = {"every": {"evasion": {"epsilon": 0.05, "steps": 3}, "S1": {"steps": 9}}}
    assert attack_settings(both) == {"evasion": {"epsilon": 0.05, "steps": 9}}, "a code is another word for the name"


def test_the_rows_of_the_matrix_have_one_budget_for_evasion() -> None:
    asked = ["+experiment=matrix", "seed=0", "defense=none,adv_training"]
    own = ["+experiment=matrix", "seed=0", "defense=adv_training", "defense.epsilon=0.2", "metric.every.S1.steps=3"]
    for words in (asked, own):
        for job in compose(parse(words)).jobs:
            made = plan_of(job.config)
            attack = made.attack_on("evasion")
            assert isinstance(attack, EvasionPGD)
            assert protocol.budget(attack, made.defenses) == 0.05


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("metric.every.among=[evason]", "evasion"),
        ("metric.every.among=evasion", "must be a list of risks"),
        ("metric.every.among=[]", "must be a list of risks"),
        ("metric.every.among=[utility]", "must name risks"),
        ("metric.every.P9.steps=3", "`metric.every.P9` must name risks, got P9"),
        ("metric.every.evasion=3", "must be settings of the attack"),
    ],
)
def test_mistakes_are_told_before_anything_runs(word: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "metric=[every]", word]) == 2
    assert text in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_an_unknown_setting_of_an_attack_is_told() -> None:
    with pytest.raises(SettingError, match="n_shadows"):
        planned("metric.every.P1.n_shadows=4").attack_on("membership_inference")


def test_a_run_of_every_risk_ends_in_one_result(workdir: Path) -> None:
    small = ("metric.every.among=[S1,P4]", "metric.every.S1.steps=1")
    assert main(["run", "metric=[every]", *small, *TINY]) == 0
    result = json.loads(next(workdir.rglob("metrics.json")).read_text())
    assert "robust_accuracy" in result["metrics"]["undefended"]
    assert "race = " in result["manifest"]["refused"]["distribution_inference"]
