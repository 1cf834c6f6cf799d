"""From the option of a suite to its attacks in full."""

from pathlib import Path

import pytest
import yaml

from amulet.assessment.plan import protocol_of
from amulet.assessment.suite import members_of
from amulet_cli.base.errors import UsageError
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import Job, compose
from amulet_cli.config.hydra_setup import conf_dir
from amulet_cli.config.options import find_options
from amulet_cli.config.suites import STRENGTHS, STRONGEST, announced
from amulet_cli.execution.plan import plan_of
from amulet_cli.results.result import config_hash

SUITES = sorted(option.name for option in find_options(only="attack") if option.suite and option.name != STRONGEST)
ONE_RUN = ("+experiment=matrix", "defense=adv_training", "seed=0", "hydra.mode=RUN")


def job(*words: str) -> Job:
    (found,) = compose(parse(words)).jobs
    return found


@pytest.mark.parametrize("name", SUITES)
@pytest.mark.parametrize("strength", STRENGTHS)
def test_every_suite_is_built_at_every_strength(name: str, strength: str) -> None:
    made = job(f"attack={name}", f"attack.strength={strength}")
    suite = plan_of(made.config).attack
    assert suite is not None
    assert suite.risk == made.config["attack"]["risk"]
    about = yaml.safe_load((conf_dir() / "attack" / f"{name}.yaml").read_text())["about"]
    assert suite.risk == about["risk"]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_no_suite_leaves_out_what_the_risk_is_measured_by_without_one(strength: str) -> None:
    """Else a suite could find less than the attack alone. Where each record counts as lost to any of them, those that
    were measured to find more stand in its place (docs/risks/evasion.md)."""
    made = plan_of(job("attack=strongest", f"attack.strength={strength}").config)
    for risk, suite in made.attacks.items():
        protocol = protocol_of(risk)
        if not hasattr(protocol, "cascade"):
            assert type(protocol.default_attack(())) in {type(one) for one in members_of(suite).values()}, risk


def test_the_attacks_are_in_the_configuration_in_full() -> None:
    words = ("attack=evasion_strongest", "attack.attacks=[square,{attack: evasion_pgd, name: long, steps: 99}]")
    node = job(*words, "attack.epsilon=0.02").config["attack"]
    assert list(node["attacks"]) == ["square", "long"]
    assert node["attacks"]["long"]["steps"] == 99
    assert {member["epsilon"] for member in node["attacks"].values()} == {0.02}
    assert node["attacks"]["square"]["_target_"] == "amulet.evasion.attacks.SquareAttack"
    assert "strengths" not in node


def test_attacks_of_one_kind_have_names_of_their_own() -> None:
    node = job("attack=evasion_strongest", "attack.attacks=[square,square,square]").config["attack"]
    assert list(node["attacks"]) == ["square", "square_2", "square_3"]


def test_the_strongest_of_all_risks() -> None:
    made = job("attack=strongest", "attack.strength=quick", "defense=adv_training")
    plan = plan_of(made.config)
    assert set(plan.attacks) == set(made.config["attack"]["suites"])
    assert set(plan.attacks) <= set(plan.risks())
    assert plan.attack_on("evasion") is plan.attacks["evasion"] or plan.attack_on("evasion").risk == "evasion"
    assert config_hash(made.config) != config_hash(job("attack=strongest", "defense=adv_training").config)


def test_settings_of_a_matrix_reach_the_suite() -> None:
    made = job("attack=strongest", "metric=every", "+metric.every.evasion.epsilon=0.07")
    suite = plan_of(made.config).attack_on("evasion")
    assert {one["epsilon"] for one in suite.settings()["attacks"].values()} == {0.07}


def test_a_strength_does_the_work_that_it_states_under_the_conditions_of_the_matrix() -> None:
    """The matrix has 150 models for its default attack, and `quick` states 15."""
    words = (*ONE_RUN, "attack=strongest", "attack.strength=quick")
    suite = plan_of(job(*words).config).attack_on("distribution_inference")
    members = suite.settings()["attacks"].values()
    assert {(one["n_models"], one["n_shadow"], one["ratio_1"]) for one in members} == {(15, 10, 0.2)}
    single = plan_of(job(*ONE_RUN).config).attack_on("distribution_inference")
    assert (single.settings()["n_models"], single.settings()["n_shadow"]) == (150, 20)


@pytest.mark.parametrize(
    "word",
    [
        "metric.every.distribution_inference.n_models=40",
        "+metric.every.P4.n_models=40",
        "+metric.every.P4={n_models: 40}",
    ],
)
def test_what_the_command_line_says_stands_before_the_strength(word: str) -> None:
    made = job(*ONE_RUN, "attack=strongest", "attack.strength=quick", word)
    suite = plan_of(made.config).attack_on("distribution_inference")
    assert {(one["n_models"], one["n_shadow"]) for one in suite.settings()["attacks"].values()} == {(40, 10)}


def test_a_users_own_attack_joins(tmp_path: Path) -> None:
    own = tmp_path / "my_conf" / "attack"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("_target_: amulet.evasion.attacks.SquareAttack\nqueries: 3\n")
    (own / "both.yaml").write_text(
        "_target_: amulet.assessment.suite.Suite\nrisk: evasion\nattacks: [evasion_pgd, mine]\n"
    )
    node = job("--config-dir", str(tmp_path / "my_conf"), "attack=both").config["attack"]
    assert node["attacks"]["mine"] == {"_target_": "amulet.evasion.attacks.SquareAttack", "queries": 3}


def test_what_it_is_made_of_and_costs_is_said_before_it_starts() -> None:
    (line,) = announced(job("attack=evasion_strongest", "attack.strength=full").config, ["evasion"])
    assert line.startswith("evasion (full): apgd, ")
    assert line.endswith(" times the cost of the default attack")
    (own,) = announced(job("attack=evasion_strongest", "attack.attacks=[square]").config, ["evasion"])
    assert own == "evasion (standard): square; its cost is not stated"
    config = job("attack=strongest").config
    every = list(config["attack"]["suites"])
    assert [line.partition(" ")[0] for line in announced(config, every)] == every
    assert [line.partition(" ")[0] for line in announced(config, ["evasion", "utility"])] == ["evasion"]


def test_what_is_stated_of_the_cost_does_not_change_the_run() -> None:
    config = job("attack=evasion_strongest").config
    assert config["attack"]["about"]["cost"] > 0
    assert config_hash({**config, "attack": {**config["attack"], "about": {"cost": 1000}}}) == config_hash(config)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["attack.strength=quik"], "must be one of quick, standard, full; got quik"),
        (["attack.attacks=[sqare]"], "must name attacks, got 'sqare'"),
        (["attack.attacks=[evasion_strongest]"], "must name single attacks"),
        (["attack.attacks=[{attack: square, step: 1}]"], "square has no setting `step`"),
        (["attack.attacks=[]"], "must be a list of attacks"),
        (["attack.attacks=7"], "must be a list of attacks"),
        (["attack.attacks=[square]", "+attack.steps=1"], "is a setting of none of square"),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        job("attack=evasion_strongest", *words)


def test_attacks_on_other_risks_are_refused() -> None:
    made = job("attack=evasion_strongest", "attack.attacks=[badnets]")
    with pytest.raises(UsageError, match="must be an attack on evasion, got one on poisoning"):
        plan_of(made.config)
