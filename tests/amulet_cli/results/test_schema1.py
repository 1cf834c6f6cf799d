"""What is read off names in results of schema 1, as it was when those were written."""

import json
from pathlib import Path

import pytest

from amulet.assessment import RISKS
from amulet.core.facts import RunFacts
from amulet_cli.results.reading import find_results, read_result
from amulet_cli.results.schema1 import facts_of
from tests.helpers.made_up_results import config, typical, write

DECIDING = {
    "evasion": "robust_accuracy",
    "poisoning": "attack_success_rate",
    "unauth_model_ownership": "fidelity_kappa",
    "membership_inference": "lira_online.auc",
    "attribute_inference": "race.balanced_accuracy",
    "data_reconstruction": "mse",
    "distribution_inference": "distinguishing_accuracy",
    "discriminatory_behavior": "sex.equalized_odds_difference",
}


def test_every_risk_has_one_deciding_metric_with_a_direction() -> None:
    assert set(DECIDING) == set(RISKS)
    facts = facts_of(DECIDING.values(), config())
    for risk, metric in DECIDING.items():
        found = facts.of(metric)
        assert (found.risk, found.decides) == (risk, True), metric
        assert found.harm in ("higher", "lower")


@pytest.mark.parametrize(
    ("metric", "risk", "decides"),
    [
        ("lira_offline.auc", "membership_inference", False),
        ("lira_online.retained.auc", "membership_inference", False),
        ("lira_online.tpr_at_0.1pct_fpr", "membership_inference", False),
        ("rmia.balanced_accuracy", "membership_inference", False),
        ("race.auc", "attribute_inference", False),
        ("class_0.mse", "data_reconstruction", False),
        ("after_poisoning.ownership_fnr", "unauth_model_ownership", False),
        ("test_accuracy", "utility", False),
        ("mine", "", False),
        ("my.own", "", False),
    ],
)
def test_prefixes_do_not_confuse(metric: str, risk: str, *, decides: bool) -> None:
    found = facts_of([metric], {}).of(metric)
    assert (found.risk, found.decides) == (risk, decides)


def test_tables_follow_the_papers_order_and_speak_in_its_codes() -> None:
    metrics = ["sex.p_rule", "after_poisoning.fidelity", "fidelity", "mine", "lira_online.auc", "robust_accuracy"]
    facts = facts_of([*metrics, "test_accuracy", "mse", "class_0.ssim"], {})
    assert sorted([*metrics, "test_accuracy"], key=facts.order) == [
        "test_accuracy",
        "robust_accuracy",
        "fidelity",
        "after_poisoning.fidelity",
        "lira_online.auc",
        "sex.p_rule",
        "mine",
    ]
    assert facts.heading("membership_inference") == "P1 membership inference"
    assert (facts.heading("utility"), facts.heading("")) == ("Utility", "Other")
    assert not facts.of("mse").fraction
    assert not facts.of("class_0.ssim").fraction
    assert facts.of("fidelity").fraction


def test_defences_and_attacks_come_from_the_configuration() -> None:
    facts = facts_of((), config())
    assert [(one.risk, one.stage, one.family) for one in facts.defenses] == [("evasion", "in", "adversarial training")]
    assert facts.attacked == "unauth_model_ownership"
    theirs = facts_of((), {"defense": {"_target_": "nowhere.Mine"}, "attack": {"_target_": "nowhere.Theirs"}})
    assert (theirs.defenses[0].risk, theirs.attacked) == ("", "")


def test_old_folders_are_read_and_renamed(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    path = result.folder / "metrics.json"
    content = json.loads(path.read_text())
    facts = RunFacts.from_dict(content.pop("facts"))
    del content["seal"]
    content |= {"schema": 1}
    for row in content["metrics"].values():
        row["sex.equalized_odds"] = 0.125
    path.write_text(json.dumps(content))
    old = read_result(result.folder)
    assert old.metrics["defended"]["sex.equalized_odds_difference"] == 0.125
    assert old.facts.metrics["sex.equalized_odds_difference"].decides
    assert {name: facts.metrics[name] for name in facts.metrics} == {
        name: old.facts.metrics[name] for name in facts.metrics
    }
    assert [found.state for found in find_results([tmp_path])] == ["done"]
