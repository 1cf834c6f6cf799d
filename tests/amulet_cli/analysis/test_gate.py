"""A policy's limits: pass, fail, inconclusive, not measured, as intervals and seeds say."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from scipy import stats

from amulet.core.facts import AttackFacts, MetricFacts, RiskFacts, RunFacts
from amulet_cli.analysis.gate.judging import Gate, judge_policy, within
from amulet_cli.analysis.gate.policy import Rule, read_policy, shipped_policies
from amulet_cli.base.errors import UsageError
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import result_folder
from amulet_cli.results.writing import write_status
from tests.helpers.made_up_results import MadeUp, choices, config, typical, with_records, write

ROBUST: dict[str, Any] = {"id": "robust", "metric": "robust_accuracy"}
RISKS = {
    "evasion": RiskFacts(name="evasion", code="S1", title="evasion", retrains=False),
    "membership_inference": RiskFacts(name="membership_inference", code="P1", title="membership", retrains=True),
}


def policy(folder: Path, *rules: dict[str, Any], **more: Any) -> Path:
    file = folder / "policy.yaml"
    file.write_text(yaml.safe_dump({"rules": list(rules), **more}))
    return file


def gate(folder: Path, *rules: dict[str, Any], **more: Any) -> Gate:
    return judge_policy(read_policy(str(policy(folder, *rules, **more))), find_results([folder / "runs"]))


def outcomes(found: Gate) -> list[str]:
    return [one.outcome for one in found.judgements]


def robust(
    value: float, half: float = 0.01, *, settings: dict[str, Any] | None = None, collapsed: tuple[str, ...] = ()
) -> MadeUp:
    attack = AttackFacts(kind="x.PGD", risk="evasion", settings={"epsilon": 0.05, **(settings or {})})
    facts = RunFacts(
        metrics={"robust_accuracy": MetricFacts(name="robust_accuracy", label="robust", risk="evasion", decides=True)},
        risks=RISKS,
        attack=attack,
        attacks={"evasion": attack},
        collapsed=collapsed,
    )
    spans = {} if math.isnan(half) else {"robust_accuracy": (value - half, value + half)}
    return MadeUp(
        {"undefended": {"robust_accuracy": 0.5}, "defended": {"robust_accuracy": value}},
        baselines={"defended": {"robust_accuracy": 0.9}},
        intervals={"defended": spans, "undefended": {"robust_accuracy": (0.49, 0.51)}},
        facts=facts,
    )


def members(auc: float) -> MadeUp:
    metrics = {
        f"{score}.auc": MetricFacts(
            name="auc", label="AUC", risk="membership_inference", decides=score == "strongest", subject={"score": score}
        )
        for score in ("loss", "strongest")
    }
    attack = AttackFacts(kind="x.LiRA", risk="membership_inference")
    row = {"loss.auc": 0.99, "strongest.auc": auc}
    return MadeUp(
        {"undefended": {"loss.auc": 0.5, "strongest.auc": 0.5}, "defended": row},
        intervals={"defended": {name: (value - 0.001, value + 0.001) for name, value in row.items()}},
        facts=RunFacts(metrics=metrics, risks=RISKS, attack=attack, attacks={"membership_inference": attack}),
    )


@pytest.mark.parametrize(
    ("limit", "low", "high", "outcome"),
    [
        ({"at_least": 0.8}, 0.8, 0.9, "pass"),
        ({"at_least": 0.8}, 0.79, 0.9, "inconclusive"),
        ({"at_least": 0.8}, 0.7, 0.8, "inconclusive"),
        ({"at_least": 0.8}, 0.7, 0.79, "fail"),
        ({"at_most": 0.3}, 0.2, 0.1 + 0.2, "pass"),
        ({"at_most": 0.3}, 0.3, 0.4, "inconclusive"),
        ({"at_most": 0.3}, 0.31, 0.4, "fail"),
        ({"at_most": 0.3}, math.nan, math.nan, "inconclusive"),
    ],
)
def test_where_an_interval_lies(limit: dict[str, float], low: float, high: float, outcome: str) -> None:
    rule = Rule(id="a", metric="m", at_least=limit.get("at_least"), at_most=limit.get("at_most"))
    assert within(rule, low, high) == outcome


@pytest.mark.parametrize(
    ("outcome", "word", "code"),
    [(robust(0.85), "pass", 0), (robust(0.7), "fail", 3), (robust(0.805), "inconclusive", 4)],
)
def test_a_model_is_judged_by_the_interval_over_its_records(
    tmp_path: Path, outcome: MadeUp, word: str, code: int
) -> None:
    write(tmp_path / "runs", outcome)
    found = gate(tmp_path, ROBUST | {"at_least": 0.8})
    assert outcomes(found) == [word]
    assert found.exit_code == code


def test_of_several_models_the_worst_counts(tmp_path: Path) -> None:
    for seed, value in enumerate((0.9, 0.7, 0.85)):
        write(tmp_path / "runs", robust(value), seed=seed)
    [one] = gate(tmp_path, ROBUST | {"at_least": 0.8}).judgements
    assert (one.outcome, one.found.seed, one.found.value) == ("fail", 1, 0.7)
    assert "seed 1, the worst of 3" in one.reason


@pytest.mark.parametrize(
    ("outcome", "says"),
    [
        (robust(math.nan), "no number"),
        (robust(0.9, collapsed=("defended",)), "answers one class"),
        (robust(0.9, settings={"epsilon": 0.1}), "attack.epsilon 0.1 instead of 0.05"),
        (robust(0.9, settings={"epsilon": None}), "attack.epsilon none instead of 0.05"),
    ],
    ids=["null", "collapsed", "elsewhere", "unknown"],
)
def test_what_does_not_count_is_not_measured_and_never_passes(tmp_path: Path, outcome: MadeUp, says: str) -> None:
    write(tmp_path / "runs", outcome)
    rule = ROBUST | {"at_least": 0.1, "where": {"attack.epsilon": 0.05}}
    found = gate(tmp_path, rule, on_inconclusive="pass")
    [one] = found.judgements
    assert one.outcome == "not measured"
    assert says in one.reason
    assert found.exit_code == 4


def test_a_measurement_that_says_itself_that_it_failed_is_not_measured(tmp_path: Path) -> None:
    made = robust(0.9)
    made.invalid = {"defended": {"robust_accuracy": "the search did not converge"}}
    write(tmp_path / "runs", made)
    [one] = gate(tmp_path, ROBUST | {"at_least": 0.1}).judgements
    assert one.outcome == "not measured"
    assert "did not converge" in one.reason


def test_a_setting_that_was_left_open_is_what_the_measurement_took(tmp_path: Path) -> None:
    made = robust(0.9, settings={"epsilon": None})
    made.manifest = {"evasion": {"defended": {"epsilon": 0.05}}}
    write(tmp_path / "runs", made)
    assert outcomes(gate(tmp_path, ROBUST | {"at_least": 0.8, "where": {"attack.epsilon": 0.05}})) == ["pass"]


def test_a_number_without_an_interval_is_inconclusive(tmp_path: Path) -> None:
    write(tmp_path / "runs", robust(0.9, math.nan))
    rule = ROBUST | {"at_least": 0.1}
    assert outcomes(gate(tmp_path, rule)) == ["inconclusive"]
    assert gate(tmp_path, rule).exit_code == 4
    assert gate(tmp_path, rule, on_inconclusive="pass").exit_code == 0
    assert gate(tmp_path, rule | {"severity": "warning"}).exit_code == 0


def test_survivors_do_not_pass_for_a_seed_that_was_refused(tmp_path: Path) -> None:
    for seed in range(2):
        write(tmp_path / "runs", robust(0.9), seed=seed)
    lost = result_folder(config(2), choices(), tmp_path / "runs")
    write_status(lost, "refused", reason="it has no gradients")
    [one] = gate(tmp_path, ROBUST | {"at_least": 0.8}).judgements
    assert one.outcome == "not measured"
    assert "seed 2 is refused: it has no gradients" in one.reason


def test_what_no_run_has_measured_is_not_measured(tmp_path: Path) -> None:
    write(tmp_path / "runs", robust(0.9))
    absent = result_folder(config(**{"attack.x": 1}), choices(attack="lira"), tmp_path / "runs")
    write_status(absent, "refused", reason="too few records", choices=choices(attack="lira"))
    [one] = gate(tmp_path, {"id": "p", "metric": "P1.auc", "at_most": 0.6}).judgements
    assert one.outcome == "not measured"
    assert "lira, seed 0, is refused: too few records" in one.reason


def test_only_failed_runs_are_not_measured(tmp_path: Path) -> None:
    write_status(result_folder(config(), choices(), tmp_path / "runs"), "failed", error="out of memory")
    found = gate(tmp_path, ROBUST | {"at_least": 0.8})
    assert outcomes(found) == ["not measured"]
    assert "out of memory" in found.judgements[0].reason


def test_the_recipe_needs_five_seeds_and_their_interval(tmp_path: Path) -> None:
    values = (0.55, 0.57, 0.53, 0.56, 0.54)
    rule = {"id": "p", "metric": "P1.auc", "at_most": 0.6}
    for seed, value in enumerate(values[:4]):
        write(tmp_path / "runs", members(value), seed=seed)
    [one] = gate(tmp_path, rule).judgements
    assert one.outcome == "inconclusive"  # although every interval over records is within the limit
    assert "needs 5 seeds: there are 4" in one.reason
    write(tmp_path / "runs", members(values[4]), seed=4)
    [one] = gate(tmp_path, rule).judgements  # of several scores the one that decides
    assert (one.metric, one.outcome) == ("strongest.auc", "pass")
    low, high = stats.t.interval(0.95, 4, loc=0.55, scale=stats.sem(values))
    assert (one.found.low, one.found.high) == pytest.approx((low, high))
    assert outcomes(gate(tmp_path, rule | {"at_most": 0.56})) == ["inconclusive"]
    assert outcomes(gate(tmp_path, rule | {"at_most": 0.52})) == ["fail"]
    assert outcomes(gate(tmp_path, rule | {"metric": "loss.auc"})) == ["inconclusive"]


def test_which_risks_are_about_the_recipe_is_known_of_older_results(tmp_path: Path) -> None:
    made = members(0.55)
    old = RiskFacts(name="membership_inference", code="P1", title="membership")
    made.facts.risks = {"membership_inference": old}
    write(tmp_path / "runs", made)
    [one] = gate(tmp_path, {"id": "p", "metric": "P1.auc", "at_most": 0.6}).judgements
    assert "it is about the recipe" in one.reason


def test_five_equal_numbers_show_nothing_about_a_sixth(tmp_path: Path) -> None:
    for seed in range(5):
        write(tmp_path / "runs", members(0.5), seed=seed)
    assert outcomes(gate(tmp_path, {"id": "p", "metric": "P1.auc", "at_most": 0.6})) == ["inconclusive"]


def test_limits_on_the_change_and_on_the_distance_from_the_baseline(tmp_path: Path) -> None:
    write(tmp_path / "runs", with_records(robust(0.8)))
    change = ROBUST | {"relative_to": "undefended"}
    assert outcomes(gate(tmp_path, change | {"at_least": 0.25})) == ["pass"]
    assert outcomes(gate(tmp_path, change | {"at_least": 0.3})) == ["inconclusive"]
    assert outcomes(gate(tmp_path, change | {"at_most": 0.2})) == ["fail"]
    far = ROBUST | {"relative_to": "baseline"}
    assert outcomes(gate(tmp_path, far | {"at_least": -0.11})) == ["pass"]
    assert outcomes(gate(tmp_path, far | {"at_least": -0.08})) == ["fail"]
    [one] = gate(tmp_path, far | {"victim": "undefended", "at_least": -0.5}).judgements
    assert (one.outcome, one.reason) == ("not measured", "seed 0 has no baseline")


def test_every_victim_is_judged_and_utility_once(tmp_path: Path) -> None:
    for attack in ("model_extraction", "evasion_pgd"):
        for defense in ("adv_training", "dp_sgd"):
            overrides = {"defense._target_": defense, "attack._target_": attack}
            chosen = choices(defense=defense, attack=attack)
            write(tmp_path / "runs", typical(len(defense)), chosen=chosen, overrides=overrides)
    rule = {"id": "accuracy", "metric": "test_accuracy", "at_least": 0.5}
    assert len(gate(tmp_path, rule).judgements) == 2
    assert len(gate(tmp_path, rule | {"where": {"defense": "dp_sgd"}}).judgements) == 1
    [nobody] = gate(tmp_path, rule | {"where": {"dataset": "lfw"}}).judgements
    assert (nobody.outcome, nobody.reason) == ("not measured", "no run has a victim with dataset lfw")


def test_a_limit_in_per_cent_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "runs", robust(0.9))
    with pytest.raises(UsageError, match="must lie between 0 and 1, got 80"):
        gate(tmp_path, ROBUST | {"at_most": 80})


@pytest.mark.parametrize(
    ("rules", "says"),
    [
        ([], "at least one rule"),
        ([{"metric": "auc", "at_most": 1}], "needs `id`"),
        ([{"id": "a", "at_most": 1}], "needs `metric`"),
        ([{"id": "a", "metric": "auc"}], "`at_least` or `at_most`"),
        ([{"id": "a", "metric": "auc", "at_most": 1, "at_least": 0}], "not both"),
        ([{"id": "a", "metric": "auc", "at_most": "few"}], "must be a number, got few"),
        ([{"id": "a", "metric": "auc", "at_most": True}], "must be a number, got true"),
        ([{"id": "a", "metric": "auc", "at_mots": 1}], "`at_mots` is no key"),
        ([{"id": "a", "metric": "auc", "at_most": 1, "severity": "grave"}], "error, warning; got grave"),
        ([{"id": "a", "metric": "auc", "at_most": 1, "where": "lfw"}], "settings with values"),
        ([{"id": "a", "metric": "auc", "at_most": 1}] * 2, "Two rules have the `id` a"),
        (["auc < 1"], "A rule is a mapping"),
    ],
)
def test_a_policy_that_is_wrong_is_refused(tmp_path: Path, rules: list[Any], says: str) -> None:
    with pytest.raises(UsageError) as error:
        read_policy(str(policy(tmp_path, *rules)))
    assert says in error.value.what


@pytest.mark.parametrize("name", shipped_policies())
def test_shipped_policies_are_found_by_name(name: str) -> None:
    found = read_policy(name)
    assert found.title
    assert found.about
    assert len(found.rules) > 3


def test_the_policy_on_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "gate.md").read_text("utf-8")
    (shown, *_) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "policy.yaml").write_text(shown)
    found = read_policy(str(tmp_path / "policy.yaml"))
    assert [rule.severity for rule in found.rules] == ["error", "warning", "error"]
    assert all(f"`{name}`" in page for name in shipped_policies())


def test_a_policy_that_is_not_there() -> None:
    with pytest.raises(UsageError) as error:
        read_policy("bank_credits")
    assert error.value.meant == ["bank_credit"]
