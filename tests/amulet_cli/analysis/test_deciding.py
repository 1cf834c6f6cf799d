"""Which attack of a suite a number is from, wherever the number is shown."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from amulet.core.facts import AttackFacts
from amulet_cli.analysis.deciding import deciding_attack, deciding_attacks
from amulet_cli.analysis.groups import aggregate
from amulet_cli.analysis.matrix.entries import interactions
from amulet_cli.results.result import Result
from amulet_cli.views.formats import as_markdown
from amulet_cli.views.matrix_table import matrix_table
from amulet_cli.views.report_tables import report_table
from amulet_cli.views.run_table import result_table
from tests.helpers.made_up_results import MadeUp, choices, config, stated, write

SETTINGS = {"risk": "evasion", "strength": "quick", "attacks": {"apgd": {}, "fab": {}}}


def suite_run(folder: Path, seed: int, undefended: dict[str, str], defended: dict[str, str]) -> Result:
    metrics = {
        victim: {"test_accuracy": 0.9, "robust_accuracy": 0.5 + 0.01 * seed} for victim in ("undefended", "defended")
    }
    found = {"undefended": undefended, "defended": defended}
    suites: dict[str, Any] = {victim: {"suite": {"decided": decided}} for victim, decided in found.items()}
    made = stated(MadeUp(metrics, manifest={"evasion": suites}), config())
    facts = AttackFacts(kind="amulet.assessment.suite.Suite", risk="evasion", settings=SETTINGS)
    made.facts = dataclasses.replace(made.facts, attacks={**made.facts.attacks, "evasion": facts})
    return write(
        folder, made, seed=seed, chosen=choices(attack="evasion_strongest"), overrides={"attack._target_": None}
    )


def runs(folder: Path) -> list[Result]:
    by = {"robust_accuracy": "apgd"}
    return [suite_run(folder, seed, by, {"robust_accuracy": "fab"} if seed == 2 else by) for seed in range(3)]


def shown(table: RenderableType) -> str:
    console = Console(width=200, file=io.StringIO(), color_system=None)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_most_frequent_first_with_how_often(tmp_path: Path) -> None:
    found = runs(tmp_path)
    assert deciding_attacks(found, "evasion", "undefended") == "apgd"
    assert deciding_attacks(found, "evasion", "defended") == "apgd 2 of 3, fab 1 of 3"
    assert deciding_attacks(found, "poisoning", "defended") == ""


def test_metrics_that_different_attacks_decided_are_named(tmp_path: Path) -> None:
    result = suite_run(tmp_path, 0, {"a": "apgd", "b": "fab"}, {"a": "fab", "b": "fab"})
    assert deciding_attack(result, "evasion", "undefended") == "apgd (a), fab (b)"
    assert deciding_attack(result, "evasion", "defended") == "fab"


@pytest.mark.parametrize("kind", ["report", "markdown"])
def test_a_report_says_who_decided(kind: str, tmp_path: Path) -> None:
    report = aggregate(runs(tmp_path))
    text = shown(report_table(report, width=200)) if kind == "report" else as_markdown(report, "metric")
    assert "S1 evasion (quick) decided by undefended: apgd · defended: apgd 2 of 3, fab 1 of 3" in text


def test_a_run_and_the_matrix_say_who_decided(tmp_path: Path) -> None:
    found = runs(tmp_path)
    assert "decided by undefended: apgd · defended: fab" in shown(result_table(found[2], ()))
    text = shown(matrix_table(interactions(found), 200))
    assert "S1  undefended: apgd · adversarial training: apgd 2 of 3, fab 1 of 3" in text.replace(
        "adv_training", "adversarial training"
    )


def test_an_attack_that_decided_for_every_victim_is_named_once(tmp_path: Path) -> None:
    by = {"robust_accuracy": "apgd"}
    found = [suite_run(tmp_path, seed, by, by) for seed in range(2)]
    assert "S1  apgd, for every victim" in shown(matrix_table(interactions(found), 200))
