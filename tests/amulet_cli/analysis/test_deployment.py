"""A report to hand on: the numbers, their intervals and standing, what was not tested, and nothing about a person."""

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from amulet.assessment import RISKS
from amulet.core.access import Access
from amulet.core.facts import AttackFacts, MetricFacts, defined_metrics
from amulet.evasion.attacks import EvasionPGD, SquareAttack
from amulet_cli.analysis.deployment.findings import Finding, needs_of, standing
from amulet_cli.analysis.deployment.handout import Handout, handout
from amulet_cli.analysis.deployment.words import words
from amulet_cli.analysis.gate.measured import Measured
from amulet_cli.base.errors import UsageError
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import VICTIMS, result_folder
from amulet_cli.results.writing import write_status
from tests.helpers.deployment_toys import groups, members, stolen
from tests.helpers.made_up_results import MadeUp, choices, config, typical, write


def made_of(folder: Path) -> Handout:
    return handout(find_results([folder]))


def the(made: Handout, metric: str) -> Finding:
    [found] = [one for one in made.findings if one.metric == metric]
    return found


def test_numbers_and_intervals_are_those_of_the_results(tmp_path: Path) -> None:
    run = stolen(tmp_path)
    content = json.loads((run.folder / "metrics.json").read_text())
    found = the(made_of(tmp_path), "robust_accuracy")
    assert found.found.value == content["metrics"]["defended"]["robust_accuracy"]
    assert [found.found.low, found.found.high] == content["intervals"]["defended"]["robust_accuracy"]
    assert found.before == content["metrics"]["undefended"]["robust_accuracy"]
    assert found.baseline == content["baselines"]["defended"]["robust_accuracy"]
    assert found.budget == "each input value may change by at most 5% of its range"
    assert found.remarks == ("this may be doubtful",)


@pytest.mark.parametrize(
    ("low", "high", "base", "harm", "word"),
    [
        (0.51, 0.6, 0.5, "higher", "worse"),
        (0.4, 0.5, 0.5, "higher", "not worse"),
        (0.4, 0.5, 0.5, "lower", "unclear"),
        (0.3, 0.4, 0.5, "lower", "worse"),
        (0.5, 0.6, 0.5, "lower", "not worse"),
        (0.3, 0.4, math.nan, "lower", "unclear"),
        (math.nan, math.nan, 0.5, "higher", "no interval"),
    ],
)
def test_where_an_interval_lies(low: float, high: float, base: float, harm: str, word: str) -> None:
    assert standing(Measured(value=0.5, low=low, high=high), base, harm) == word
    assert standing(Measured(missing="none"), base, harm) == "not measured"


def test_of_several_models_the_worst_is_shown_with_its_own_interval(tmp_path: Path) -> None:
    runs = [stolen(tmp_path, seed) for seed in range(4)]
    values = {run.seed: run.value("defended", "robust_accuracy") for run in runs}
    worst = min(values, key=values.__getitem__)
    found = the(made_of(tmp_path), "robust_accuracy")
    assert (found.found.seed, found.models) == (worst, 4)
    assert found.found.low == pytest.approx(values[worst] - 0.005)


def test_a_number_about_the_recipe_takes_five_seeds(tmp_path: Path) -> None:
    aucs = [0.6, 0.62, 0.58, 0.61, 0.65]
    for seed, auc in enumerate(aucs[:4]):
        members(tmp_path, seed, auc)
    found = the(made_of(tmp_path), "auc")
    assert found.recipe
    assert (found.standing, found.interval()) == ("no interval", "")
    members(tmp_path, 4, aucs[4])
    found = the(made_of(tmp_path), "auc")
    low, high = stats.t.interval(0.95, 4, np.mean(aucs), stats.sem(aucs))
    assert (found.found.low, found.found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.standing == "worse"


def test_the_same_measurement_beside_several_attacks_is_one(tmp_path: Path) -> None:
    for attack in ("model_extraction", "badnets"):
        write(tmp_path, typical(), chosen=choices(attack=attack), overrides={"attack.name": attack})
    made = made_of(tmp_path)
    assert len([one for one in made.findings if one.metric == "robust_accuracy"]) == 1


def test_a_measurement_of_fewer_seeds_beside_another_attack_is_part_of_it(tmp_path: Path) -> None:
    for attack, seeds in (("badnets", 2), ("model_extraction", 3)):
        for seed in range(seeds):
            write(tmp_path, typical(seed), seed=seed, chosen=choices(attack=attack), overrides={"attack.name": attack})
    write_status(result_folder(config(2), choices(attack="badnets"), tmp_path), "failed", error="no memory")
    [found] = [one for one in made_of(tmp_path).findings if one.metric == "robust_accuracy"]
    assert found.models == 3
    assert found.standing == "worse"


def test_several_attacks_on_one_risk_are_all_kept_and_the_worst_is_shown(tmp_path: Path) -> None:
    for attack, change in (("evasion_pgd", 0.0), ("square", -0.2)):
        run = typical()
        run.metrics["defended"]["robust_accuracy"] += change
        low, high = run.intervals["defended"]["robust_accuracy"]
        run.intervals["defended"]["robust_accuracy"] = low + change, high + change
        write(tmp_path, run, chosen=choices(attack=attack), overrides={"attack.name": attack})
    made = made_of(tmp_path)
    both = [one.found.value for one in made.findings if one.metric == "robust_accuracy"]
    assert len(both) == 2
    assert [one.found.value for one in made.worst if one.metric == "robust_accuracy"] == [min(both)]


def test_what_failed_is_not_measured_and_says_why(tmp_path: Path) -> None:
    run = typical()
    run.invalid = {"defended": {"fidelity_kappa": "the stolen model answers one class"}}
    write(tmp_path, run)
    write_status(result_folder(config(7), choices(attack="lira"), tmp_path), "failed", error="no memory")
    made = made_of(tmp_path)
    assert the(made, "fidelity_kappa").standing == "not measured"
    by_code = {one.code.split()[0]: one for one in made.untested}
    assert "answers one class" in " ".join(by_code["S3"].reasons)
    assert by_code["P4"].reasons == ()
    assert "S1" not in by_code
    assert [why for _, why in made.incomplete if "no memory" in why]


def test_it_is_about_one_model(tmp_path: Path) -> None:
    stolen(tmp_path)
    write(tmp_path, typical(), chosen=choices(defense="dp_sgd"), overrides={"defense.epsilon": 1})
    with pytest.raises(UsageError, match="one model, these runs are about 2") as error:
        made_of(tmp_path)
    assert str(tmp_path / "census" / "linearnet" / "dp_sgd") in str(error.value.meant)
    assert made_of(tmp_path / "census" / "linearnet" / "adv_training").defended


def test_the_most_exposed_are_counted_and_nobody_is_named(tmp_path: Path) -> None:
    run = members(tmp_path)
    [found] = made_of(tmp_path).exposed
    assert (found.count, found.members, found.others, found.above_all) == (100, 200, 200, 7)
    assert found.worst == pytest.approx(0.04)
    assert found.by_chance == pytest.approx(200 / 201)
    by_name = {one.name: one for one in found.groups}
    assert (by_name["race: few"].count, by_name["sex: f"].count) == (40, 50)
    assert by_name["race: few"].share == pytest.approx(0.2)
    kept = stats.binomtest(40, 100).proportion_ci(method="exact")
    assert (by_name["race: few"].low, by_name["race: few"].high) == (pytest.approx(kept.low), pytest.approx(kept.high))
    with np.load(run.folder / "evidence.npz") as file:
        ids = file["defended.membership_inference.exposed.ids"].tolist()
    text = repr(dataclasses.asdict(found))
    assert not [one for one in ids if str(one) in text]


def test_a_group_of_few_is_not_counted_out_nor_those_that_would_give_it_away(tmp_path: Path) -> None:
    members(tmp_path, few=9)
    [found] = made_of(tmp_path).exposed
    assert {one.name: one.count for one in found.groups} == {
        "race: few": None,
        "race: many": None,
        "sex: f": 50,
        "sex: m": 50,
    }


def test_exposed_records_that_several_runs_measured_alike_are_counted_once(tmp_path: Path) -> None:
    run = members(tmp_path)
    with np.load(run.folder / "evidence.npz") as file:
        arrays = {name: file[name] for name in file}
    kept = {"membership_inference": {key: {"members": 200} for key in VICTIMS}}
    again = MadeUp(typical().metrics, arrays=arrays, manifest=kept)
    write(tmp_path, again, chosen=choices(attack="badnets"), overrides={"attack.name": "badnets"})
    assert len(made_of(tmp_path).exposed) == 1
    members(tmp_path, seed=1)
    assert sorted(one.seed for one in made_of(tmp_path).exposed) == [0, 1]


def test_other_results_have_another_digest(tmp_path: Path) -> None:
    stolen(tmp_path / "a")
    stolen(tmp_path / "b", odd=1)
    stolen(tmp_path / "c")
    digests = [made_of(tmp_path / name).sheet.digest for name in "abc"]
    assert digests[0] != digests[1]
    assert digests[0] == digests[2], "where they lie does not matter"


def test_without_a_risk_there_is_no_report(tmp_path: Path) -> None:
    run = typical()
    run.metrics = {victim: {"test_accuracy": row["test_accuracy"]} for victim, row in run.metrics.items()}
    write(tmp_path, run)
    with pytest.raises(UsageError, match="No run here measured a risk"):
        made_of(tmp_path)


def test_the_clauses_are_those_of_the_risks_that_were_found(tmp_path: Path) -> None:
    groups(tmp_path)
    told = {(clause.framework, clause.clause): risks for clause, risks in made_of(tmp_path).clauses}
    assert told["nist_ai_rmf", "MEASURE 2.11"] == (words().of("discriminatory_behavior").plain,)
    assert not [clause for clause in told if clause[0] == "mitre_atlas"]


def test_a_measurement_that_failed_is_evidence_of_nothing(tmp_path: Path) -> None:
    run = typical()
    run.invalid = {"defended": {"fidelity_kappa": "the stolen model answers one class"}}
    write(tmp_path, run)
    told = {clause.clause: risks for clause, risks in made_of(tmp_path).clauses}
    assert "AML.T0015" in told
    assert "AML.T0024.002" not in told


def test_every_risk_and_every_access_has_plain_words() -> None:
    known = words()
    for risk in RISKS.values():
        __import__(risk.protocol)
        told = known.of(risk.name)
        assert told.plain, risk.name
        assert told.clauses, risk.name
        deciding = {name for name, one in defined_metrics(risk.name).items() if one.decides}
        assert deciding <= told.metrics.keys(), risk.name
        assert told.metrics.keys() <= defined_metrics(risk.name).keys(), risk.name
        assert all(one.keys() == {"plain", "without"} for one in told.metrics.values())
        assert {clause.framework for clause in told.clauses} <= known.frameworks.keys()
    assert {str(one.name) for one in Access} == known.access.keys()


def test_a_budget_needs_every_setting_that_it_names() -> None:
    evasion = words().of("evasion")
    assert evasion.budget({}) == ""
    assert evasion.budget({"norm": "l2", "epsilon": 0.5}).startswith("all changes of an input together are at most 0.5")
    assert "5% of its range" in evasion.budget({"norm": "linf", "epsilon": 0.05})
    assert evasion.budget({"norm": "linf", "epsilon": None}) == ""


def test_what_an_attacker_has_is_what_its_attacks_need() -> None:
    risk, pgd, square = "evasion", EvasionPGD, SquareAttack
    suite = {name: {"class": f"{kind.__module__}.{kind.__name__}"} for name, kind in (("a", pgd), ("b", square))}
    assert needs_of(AttackFacts(kind="x.Suite", risk=risk, settings={"attacks": suite})) == pgd.needs | square.needs
    assert needs_of(AttackFacts(kind=suite["b"]["class"], risk=risk)) == square.needs
    assert needs_of(AttackFacts(kind="nowhere.Attack", risk=risk)) == Access(0)
    told = words().adversary(Access.LABELS | Access.PROBABILITIES | Access.LOGITS)
    assert told == words().access["LOGITS"], "raw scores tell the rest"


def test_a_risk_that_is_not_known_has_its_label() -> None:
    facts = MetricFacts(name="flips", label="answers that flip", risk="mine")
    assert words().of("mine").metric(facts, "race") == "answers that flip (race)"
    assert words().of("mine").clauses == ()
