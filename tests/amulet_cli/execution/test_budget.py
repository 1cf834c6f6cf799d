"""What a command costs: `--dry-run` before it, `--max-time` during it; `--json` for what came of it."""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.execution import forecast
from amulet_cli.execution.forecast import foretell
from amulet_cli.execution.job import Task
from amulet_cli.results.result import result_folder
from amulet_cli.results.writing import write_outcome
from tests.helpers.cli_helpers import TINY, own_options
from tests.helpers.made_up_results import MadeUp

SWEEP = ("-m", "defense=adv_training,dp_sgd", "attack=evasion_pgd,model_extraction", "seed=0,1", "metric=[utility]")


@pytest.fixture(autouse=True)
def _unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is checked before a run has tests of its own, and takes seconds."""

    def nothing_refused(*_: Any) -> dict[Any, str]:
        return {}

    monkeypatch.setattr(forecast, "check_jobs", nothing_refused)


def ran(words: tuple[str, ...], seconds: float, hardware: str = "mine") -> None:
    """A result of the first job of a command."""
    job = compose(parse(words)).jobs[0]
    outcome: Any = MadeUp(
        {"undefended": {"test_accuracy": 0.8}}, timings={"train": seconds / 2, "utility": seconds / 2}
    )
    folder = result_folder(job.config, job.choices, job.config["output_dir"])
    names = {"choices": job.choices, "overrides": job.overrides}
    write_outcome(folder, outcome, config=job.config, environment={"hardware": hardware}, **names)


@pytest.mark.usefixtures("workdir")
def test_victims_are_counted_once() -> None:
    found = foretell(compose(parse(SWEEP)), "mine")
    assert found.states == {"to do": 8}
    assert found.victims == 16  # eight jobs, two victims each
    assert found.trainings == 6  # for each of two seeds: one undefended, two defended


@pytest.mark.usefixtures("workdir")
def test_time_is_that_of_earlier_runs_of_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-m", "attack=evasion_pgd", "seed=0,1,2,3")
    assert foretell(compose(parse(words)), "mine").timed == 0
    ran(("attack=evasion_pgd", "seed=7"), 100.0, "another")
    assert foretell(compose(parse(words)), "mine").timed == 0
    ran(("attack=evasion_pgd", "seed=8", "attack.steps=3"), 20.0)
    alike = foretell(compose(parse(words)), "mine")
    assert (alike.timed, alike.seconds) == (4, 80.0)
    ran(("attack=evasion_pgd", "seed=0"), 50.0)
    same = foretell(compose(parse(words)), "mine")
    assert (same.states, same.seconds) == ({"done": 1, "to do": 3}, 150.0)
    more = foretell(compose(parse(("-m", "attack=evasion_pgd,lira", "seed=1,2"))), "mine")
    assert (more.timed, more.seconds) == (2, 100.0)
    parallel = (*words, "hydra/launcher=joblib", "hydra.launcher.n_jobs=3")
    assert foretell(compose(parse(parallel)), "mine").seconds == 50.0
    assert main(["run", "attack=lira", "--dry-run"]) == 0
    assert "time     unknown" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["run", "audit", "matrix"])
def test_a_dry_run_writes_nothing(verb: str, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "defense=adv_training", "--dry-run", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["states"]["to do"] >= 1
    assert found["seconds"] is None
    assert list(workdir.iterdir()) == []


@pytest.mark.parametrize("text", ["10", "-1h", "soon", "0m", "1m1h"])
def test_a_time_has_a_unit(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "-m", "seed=0,1", f"--max-time={text}"]) == 2
    assert "`--max-time` must be" in capsys.readouterr().err


@pytest.mark.usefixtures("workdir")
def test_one_run_has_no_end_between_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--max-time", "1h"]) == 2
    assert "this is one run" in capsys.readouterr().err


def test_no_job_begins_after_the_end_and_the_same_command_goes_on(
    workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", "-m", "seed=0,1,2", "metric=[utility]", *TINY]
    real = Task.__call__
    late = [0.0]
    clock = time.monotonic
    monkeypatch.setattr("amulet_cli.execution.job.time.time", lambda: clock() + late[0])

    def slow(self: Task, cfg: Any) -> int:
        code = real(self, cfg)
        late[0] += 3600.0
        return code

    monkeypatch.setattr(Task, "__call__", slow)
    assert main([*command, "--max-time", "90m"]) == 124
    shown = capsys.readouterr()
    assert "2 done, 1 not run" in shown.out
    assert "1 run left; the same command resumes" in shown.err
    assert len(list(workdir.glob("outputs/*/*/*/*/*/seed=*/metrics.json"))) == 2
    monkeypatch.setattr(Task, "__call__", real)
    assert main([*command, "--max-time", "90m"]) == 0
    assert "1 done" in capsys.readouterr().out


def test_the_same_command_does_failed_jobs_alone(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own_options(workdir)
    words = ["run", "--config-dir", "my_conf", "-m", "attack=noise", "attack.fail=false,true", *TINY, "--json"]
    assert main(words) == 1
    first = {run["overrides"]["attack.fail"]: run for run in json.loads(capsys.readouterr().out)["runs"]}
    assert (first[False]["state"], first[True]["state"]) == ("done", "failed")
    assert "the sky fell" in first[True]["reason"]
    assert first[False]["metrics"]["undefended"]["test_accuracy"] > 0
    kept = Path(first[False]["folder"]) / "metrics.json"
    before = kept.stat().st_mtime_ns

    def perturb(_: Any, model: Any, x: Any, *rest: Any, **more: Any) -> Any:
        return x

    monkeypatch.setattr(sys.modules["my_attacks"].Noise, "perturb", perturb)
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "1 done before, 1 to do" in shown.err
    assert [run["state"] for run in json.loads(shown.out)["runs"]] == ["done", "done"]
    assert kept.stat().st_mtime_ns == before


def test_validate_lists_its_jobs_for_a_program(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-m", "seed=0,1", *TINY, "--json"]) == 0
    jobs = json.loads(capsys.readouterr().out)["jobs"]
    assert [(job["state"], job["seed"]) for job in jobs] == [("to do", 0), ("to do", 1)]
    assert list(workdir.iterdir()) == []


def test_readers_of_results_and_data_speak_json(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran(("attack=evasion_pgd", "seed=0"), 1.0)
    ran(("attack=evasion_pgd", "seed=1", "epochs=3"), 1.0)
    assert main(["report", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [(row["metric"], row["undefended_mean"]) for row in rows] == [("test_accuracy", 0.8)] * 2
    assert main(["report", "--json", "--paper", "table7"]) == 2
    a, b = sorted(str(path.parent) for path in (workdir / "outputs").glob("**/metrics.json"))
    capsys.readouterr()
    assert main(["compare", a, b, "--json"]) == 0
    differ = json.loads(capsys.readouterr().out)
    assert set(map(tuple, differ["settings"].values())) <= {(0, 1), (1, 0), (3, 20), (20, 3)}
    assert sorted(differ["settings"]) == ["epochs", "seed"]
    assert main(["data", "verify", "census", "--json"]) == 0
    (census,) = json.loads(capsys.readouterr().out)
    assert (census["here"], census["origin"], set(census["files"].values())) == (True, "package", {"official"})
    assert main(["data", "fetch", "census", "--json"]) == 2
