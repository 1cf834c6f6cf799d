"""`amulet matrix`: what it composes, what it ends in, that it goes on, and its mistakes."""

import csv
import io
import json
import signal
import time
from functools import cache
from itertools import product
from pathlib import Path

import pytest

from amulet.assessment import RISKS
from amulet.core import cores as processor
from amulet.evasion.attacks import EvasionPGD
from amulet.membership_inference.attacks import LiRA
from amulet_cli.cli import main
from amulet_cli.commands import matrix as verb
from amulet_cli.commands.matrix import _command, _launched, _translated  # pyright: ignore[reportPrivateUsage]
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import RunRequest, compose
from amulet_cli.config.options import names_of
from amulet_cli.execution.plan import plan_of
from amulet_cli.results.reading import find_results
from tests.helpers.cli_helpers import start

TINY = (
    *("dataset.limit=200", "epochs=1", "model.hidden=[8]", "risks=S1,F,P4", "metric.every.S1.steps=1"),
    *("metric.every.P4.n_models=2", "metric.every.P4.n_shadow=2"),
)
TWO = ("defenses=watermark,dataset_inference", "seeds=2")


@cache
def request(*words: str) -> RunRequest:
    return compose(_command(parse(_translated(words))))


def kept(folder: Path) -> dict[Path, int]:
    """Finished results and when they were written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("metrics.json")}


def test_one_run_for_each_defence_and_seed_the_seed_varying_fastest() -> None:
    jobs, defenses = request().jobs, names_of("defense")
    assert [(job.choices["defense"], job.config["seed"]) for job in jobs] == list(product(defenses, range(10)))
    assert {job.choices["attack"] for job in jobs} == {"none"}
    assert {tuple(job.config["metric"]) for job in jobs} == {("every",)}
    assert jobs[0].config["epochs"] == 10
    populations = plan_of(jobs[0].config).attack_on("distribution_inference").settings()
    assert populations["n_models"] >= 139, "a standard error of 3 points in each seed"


@pytest.mark.parametrize(
    ("word", "seeds"),
    [("seeds=3", [0, 1, 2]), ("seeds=range(3,8)", [3, 4, 5, 6, 7]), ("seeds=0,4,7", [0, 4, 7]), ("seed=5", [5])],
)
def test_seeds_by_number_range_or_list(word: str, seeds: list[int]) -> None:
    jobs = request(word, "defenses=dp_sgd", "dataset=fmnist", "epochs=2").jobs
    assert [job.config["seed"] for job in jobs] == seeds
    assert {job.choices["dataset"] for job in jobs} == {"fmnist"}
    assert {job.config["epochs"] for job in jobs} == {2}


def test_risks_by_code_or_name() -> None:
    (job,) = request("defenses=[dp_sgd]", "seeds=1", "risks=P1,evasion").jobs
    assert job.config["metric"]["every"]["among"] == ["evasion", "membership_inference"]


def test_an_attack_measures_its_own_risk_in_every_run() -> None:
    jobs = request("seeds=1", "attack=lira", "attack.n_shadow=8").jobs
    assert [job.choices["defense"] for job in jobs] == names_of("defense")
    for job in jobs:
        plan = plan_of(job.config)
        assert isinstance(attack := plan.attack_on("membership_inference"), LiRA)
        assert attack.n_shadow == 8
        assert plan.risks() == ["utility", *RISKS]
        assert isinstance(plan.attack_on("evasion"), EvasionPGD), "the others have their default attack"


def test_several_attacks_have_runs_of_their_own() -> None:
    jobs = request("seeds=2", "defenses=dp_sgd", "attack=lira,badnets").jobs
    assert {(job.choices["attack"], job.config["seed"]) for job in jobs} == set(product(("lira", "badnets"), (0, 1)))
    assert len(jobs) == 4


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("seeds=0", "`seeds` must be at least 1, got 0"),
        ("seeds=ten", "`seeds` must say how many or which, got ten"),
        ("seeds=", "`seeds` must not be empty"),
        ("seeds", "`seeds` must be followed by = and a value"),
        ("risks=evason", "did you mean `evasion`?"),
        ("risks=X1", "must name risks, got X1"),
        ("defenses=adv_trainin", "adv_training"),
        ("defenses=none", "each defence is compared with the undefended victim anyway"),
        ("defense=none,dp_sgd", "each defence is compared with the undefended victim anyway"),
        ("defences=dp_sgd", "did you mean `defenses=...`?"),
        ("defenses=dp_sdg", "did you mean `defenses=dp_sgd`?"),
        ("strength=quik", "`strength` must be one of quick, standard, full; got quik"),
        ("strength=quik", "did you mean `strength=quick`?"),
        ("risk=S1", "did you mean `risks=...`?"),
        ("attack=lira risks=S1 seeds=1", "`attack=lira` is on membership_inference, which is not among the risks"),
        ("attack=lyra", "did you mean `attack=lira`?"),
        ("attack.steps=3", "measures every risk by its default attack"),
        ("metric=[evasion]", "risks=S1,P1"),
        ("second_defense=dp_sgd", "single defences"),
        ("smallest=robust_acuracy=0.02 risks=S1,P1", "did you mean `robust_accuracy`?"),
        ("smallest=robust_accuracy=0.02 risks=P1,F", "No metric of the risks P1, F is named robust_accuracy"),
        ("--cfg job", "shows one run"),
        ("epoch=3", "epochs"),
        ("dataset=censos", "census"),
        ("--sed=1", "no flag"),
    ],
)
def test_one_clear_message_for_a_mistake(words: str, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", *words.split()]) == 2
    assert text in " ".join(capsys.readouterr().err.replace("│", " ").split())


def launched(monkeypatch: pytest.MonkeyPatch, *words: str, cores: int = 2) -> tuple[str, tuple[str, ...]]:
    monkeypatch.setattr(processor, "available_cores", lambda: cores)
    arguments = _command(parse(_translated(words)))
    found, after = _launched(compose(arguments), arguments)
    return found.launcher, after.overrides[len(arguments.overrides) :]


def test_as_many_runs_at_once_as_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    few = ("defenses=dp_sgd", "seeds=3")
    launcher, words = launched(monkeypatch, *few, "device=cpu")
    assert (launcher, words[:2]) == ("joblib", ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"))
    assert launched(monkeypatch, *few, "device=cpu", cores=8)[1][1] == "hydra.launcher.n_jobs=3"
    assert launched(monkeypatch, *few, "hydra/launcher=basic") == ("basic", ())
    assert launched(monkeypatch, *few, "device=cuda") == ("basic", ())
    assert launched(monkeypatch, "defenses=dp_sgd", "seeds=1") == ("basic", ())
    assert launched(monkeypatch, *few, cores=1) == ("basic", ())


def test_without_joblib_one_after_the_other_and_said_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def installed(module: str) -> bool:
        return module != "hydra_plugins.hydra_joblib_launcher"

    monkeypatch.setattr(verb, "is_installed", installed)
    assert launched(monkeypatch, "defenses=dp_sgd", "seeds=3", "device=cpu") == ("basic", ())
    assert "amulet-cli[parallel]" in capsys.readouterr().err


def test_from_command_to_files_again_and_with_a_failed_run(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("matrix", *TWO, *TINY, "hydra/launcher=basic")
    assert main(list(words)) == 0
    shown = capsys.readouterr()
    assert "4 runs: 4 to do" in shown.err
    assert "left" in shown.err
    assert "Interactions: census · linearnet" in shown.out
    assert "unchanged by construction" in shown.out
    assert "refused  watermark, dataset_inference x P4" in shown.out, "one reason is told once"
    assert "next     amulet matrix" in shown.out
    assert "seeds=10" in shown.out
    outputs = workdir / "outputs"
    assert (outputs / "matrix.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (outputs / "matrix.svg").read_text()
    rows = list(csv.DictReader(io.StringIO((outputs / "matrix.csv").read_text())))
    assert {("watermark", "S1"), ("dataset_inference", "S1")} <= {(row["defense"], row["risk"]) for row in rows}
    assert json.loads((outputs / "matrix.json").read_text())["seeds"] == [0, 1]
    before = kept(workdir)
    assert len(before) == 4
    assert main(list(words)) == 0
    again = capsys.readouterr()
    assert "4 done before" in again.err
    assert kept(workdir) == before, "nothing is done twice"
    assert "Interactions: census" in again.out
    assert main([*words, "smallest=race.robust_accuracy=0.02"]) == 2, "what is in front of a name is known afterwards"
    wrong = capsys.readouterr()
    assert "No run has a metric named race.robust_accuracy" in wrong.err
    assert "Interactions: census" in wrong.out, "and the matrix is shown all the same"

    lost = find_results([workdir / "outputs/census"])[0].folder
    for name in ("metrics.json", "status.json", "config.yaml"):
        (lost / name).unlink()
    (lost / "config.yaml").mkdir()  # cannot be written
    assert main(list(words)) == 1
    failed = " ".join(capsys.readouterr().out.split())
    assert "1 failed" in failed
    assert "Interactions: census" in failed, "the others make the matrix"


def test_killed_and_started_again_it_loses_at_most_the_runs_in_flight(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    words = ("matrix", "defenses=watermark", "seeds=4", *TINY, "metric.every.S1.steps=40", "device=cpu")
    with start(*words, cwd=workdir) as process:
        deadline = time.monotonic() + 120
        while not kept(workdir) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=30)
    assert kept(workdir), "no run was finished"
    time.sleep(1)  # its workers end by themselves
    finished = kept(workdir)
    trained = {path: path.stat().st_mtime_ns for path in workdir.rglob("*.safetensors")}
    assert main([*words, "hydra/launcher=basic"]) == 0
    after = kept(workdir)
    assert len(after) == 4
    assert {path: after[path] for path in finished} == finished, "what was finished is not done again"
    assert all(path.stat().st_mtime_ns == when for path, when in trained.items()), "models that were trained are kept"
    assert f"{len(finished)} done before" in capsys.readouterr().err
    assert (workdir / "outputs/matrix.svg").is_file()


def test_help_shows_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--help"]) == 0
    assert "amulet matrix dataset=census seeds=10" in capsys.readouterr().out


def test_the_experiment_is_what_the_verb_runs() -> None:
    asked = compose(parse(["+experiment=matrix"]))
    assert [job.config for job in asked.jobs] == [job.config for job in request().jobs]
