"""`--limit`: what it shrinks, and that its results are marked and never mixed with those that count."""

import json
from pathlib import Path
from typing import Any

import pytest

from amulet.assessment.suite import members_of
from amulet.core import Attack
from amulet.core.component import LEAST_WORK
from amulet_cli.analysis.groups import aggregate
from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import Job, compose
from amulet_cli.execution.plan import plan_of
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import config_hash
from tests.helpers.made_up_results import MadeUp, write


def jobs(*words: str) -> tuple[Job, ...]:
    return compose(parse(words)).jobs


def work(attack: Attack) -> dict[str, Any]:
    """What takes longer than a trial has time for."""
    return {
        f"{name}.{key}": value
        for name, one in members_of(attack).items()
        for key, value in one.settings().items()
        if key in LEAST_WORK and isinstance(value, (int, float)) and value > LEAST_WORK[key]
    }


@pytest.mark.parametrize("words", [["5"], ["many"], ["-3"], ["1.5"], [""]])
def test_it_takes_a_number_of_records(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--limit", *words]) == 2
    assert "`--limit` must be" in capsys.readouterr().err


def test_data_and_training_shrink_and_never_grow() -> None:
    ((one,), (two,)) = jobs("--limit", "500"), jobs("--limit=500", "dataset.limit=100", "epochs=1", "batch_size=8")
    assert (one.config["dataset"]["limit"], one.config["epochs"], one.config["batch_size"]) == (500, 8, 64)
    assert (two.config["dataset"]["limit"], two.config["epochs"], two.config["batch_size"]) == (100, 1, 8)


def test_every_attack_and_every_risk_does_the_least() -> None:
    arguments = parse(["-m", "--limit", "500", "metric=[every]", "defense=adv_training", "attack=lira,badnets"])
    for job in compose(arguments).jobs:
        plan = plan_of(job.config)
        assert plan.trial
        assert all(work(plan.attack_on(risk)) == {} for risk in plan.risks() if risk != "utility")
        assert all(defense.settings() == defense.for_trial().settings() for defense in plan.defenses)


def test_every_attack_of_a_suite_does_the_least() -> None:
    (job,) = jobs("--limit", "500", "attack=strongest")
    plan = plan_of(job.config)
    assert len(members_of(plan.attacks["evasion"])) > 1
    assert all(work(attack) == {} for attack in plan.attacks.values())
    (whole,) = jobs("attack=strongest")
    assert any(work(attack) for attack in plan_of(whole.config).attacks.values())


def test_a_loader_without_a_limit_keeps_its_records(workdir: Path) -> None:
    (workdir / "my_conf" / "dataset").mkdir(parents=True)
    (workdir / "my_conf" / "dataset" / "mine.yaml").write_text("_target_: my_data.load\n")
    (job,) = jobs("--config-dir", "my_conf", "dataset=mine", "--limit", "50")
    assert "limit" not in job.config["dataset"]
    assert job.config["epochs"] == 8


def test_its_folder_is_another_and_other_folders_stay() -> None:
    ((trial,), (run,)) = jobs("--limit", "500"), jobs("dataset.limit=500", "epochs=8", "batch_size=64")
    assert trial.folder != run.folder
    before_trials = {key: value for key, value in run.config.items() if key != "trial"}
    assert config_hash(run.config) == config_hash(before_trials)


def metrics(value: float) -> MadeUp:
    return MadeUp({"undefended": {"fidelity": 0.5}, "defended": {"fidelity": value}})


def test_reports_leave_it_out_beside_runs_that_count(tmp_path: Path) -> None:
    write(tmp_path, metrics(0.1), overrides={"trial": 60})
    (row,) = aggregate(find_results([tmp_path])).rows
    assert row.cell.labels["dataset"] == "census (trial of 60)"
    write(tmp_path, metrics(0.7))
    report = aggregate(find_results([tmp_path]))
    assert [row.values["defended"] for row in report.rows] == [{0: 0.7}]
    assert report.notes == ["1 trial with --limit is left out: not runs that count"]


def test_a_gate_never_passes_on_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "runs", metrics(0.1), overrides={"trial": 60})
    (tmp_path / "policy.yaml").write_text("rules: [{id: a, metric: fidelity, at_most: 0.9}]")
    assert main(["gate", str(tmp_path / "policy.yaml"), str(tmp_path / "runs"), "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["judgements"][0]["outcome"] == "not measured"


def test_it_runs_and_says_what_it_is(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "attack=evasion_pgd", "--limit", "60"]) == 0
    shown = capsys.readouterr()
    assert "trial   60 records, 8 epochs" in " ".join(shown.err.splitlines())
    assert "census (trial of 60) · linearnet" in shown.out
    assert "warning  a trial (--limit 60)" in shown.out
    assert "amulet run attack=evasion_pgd\n" in shown.out
    (result,) = find_results([workdir / "outputs"])
    assert result.trial == 60
    assert main(["run", "attack=evasion_pgd", "--limit", "60"]) == 0
    assert "done before" in capsys.readouterr().err
