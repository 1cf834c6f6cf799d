"""Runs and sweeps end to end, as a user starts them."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml

from amulet_cli.base import console
from amulet_cli.cli import main
from tests.helpers.cli_helpers import FOLDER, PATIENCE, TINY, amulet, own_options, start

ROOT = Path(__file__).parents[2]
SMALL = ("defense=adv_training", "attack=evasion_pgd", "attack.steps=2", "defense.steps=2", *TINY)


def results(folder: Path) -> list[dict[str, Any]]:
    """Every metrics.json below a folder, in the order of their paths."""
    return [json.loads(path.read_text()) for path in sorted(folder.rglob("metrics.json"))]


def states(folder: Path) -> list[str]:
    """The states that the runs below a folder left, in the order of their paths."""
    return [json.loads(path.read_text())["state"] for path in sorted(folder.rglob("status.json"))]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A working directory with a user's own attack."""
    own_options(tmp_path)
    return tmp_path


class Here:
    """Runs `amulet` in this process: the imports are paid for once."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, *words: str) -> "CompletedProcess[str]":
        code = main(list(words))
        shown = self.capsys.readouterr()
        return CompletedProcess(words, code, shown.out, shown.err)


@pytest.fixture
def here(own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """`amulet` in this process, in `tmp_path`, with a user's own options."""
    monkeypatch.chdir(own)
    monkeypatch.syspath_prepend(str(own))
    for stream in (console.out, console.err):
        monkeypatch.setattr(stream, "_width", 120)  # COLUMNS was read when they were made
    return Here(capsys)


def test_no_library_prints_what_goes_to_the_log(tmp_path: Path) -> None:
    # opacus gives the root logger a handler when it is imported, by the first of the jobs.
    run = amulet("run", "-m", "defense=dp_sgd", "metric=[utility]", "seed=0,1", *TINY, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert ":INFO:" not in run.stdout + run.stderr
    assert all("train defended" in path.read_text() for path in tmp_path.rglob("run.log"))


def test_smoke_from_command_to_files(tmp_path: Path, here: Here) -> None:
    run = amulet("run", "+experiment=smoke", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    for word in ("undefended", "defended", "change", "robust_accuracy", "fidelity", "test_accuracy"):
        assert word in run.stdout
    (folder,) = (path.parent for path in tmp_path.rglob("metrics.json"))
    assert folder.parent.parent == tmp_path / "outputs/census/linearnet/adv_training/model_extraction"
    assert str(folder.relative_to(tmp_path)) in run.stdout
    files = {path.name for path in folder.iterdir()}
    assert files == {"config.yaml", "metrics.json", "metrics.csv", "status.json", "run.log", "evidence.npz"}
    assert "\x1b" not in run.stdout + run.stderr
    assert "train undefended" in (folder / "run.log").read_text()

    result = json.loads((folder / "metrics.json").read_text())
    assert result["choices"] == {
        "dataset": "census",
        "model": "linearnet",
        "defense": "adv_training",
        "attack": "model_extraction",
    }
    assert result["overrides"] == {"+experiment": "smoke"}
    assert set(result["metrics"]) == {"undefended", "defended"}
    known = ("near its ceiling", "changes of one-hot columns")
    assert all(any(part in text for part in known) for text in result["warnings"]), result["warnings"]
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    assert {row["victim"] for row in rows} == {"undefended", "defended"}
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["dataset"]["limit"] == 2000
    assert "about" not in json.dumps(config)

    again = here("run", "+experiment=smoke")
    assert again.returncode == 0
    assert "done before" in again.stderr
    assert "train" not in again.stderr
    # The same table but for the way the metrics are sorted.
    assert sorted(again.stdout.split()) == sorted(run.stdout.split())

    workflow = yaml.safe_load((ROOT / ".github/workflows/gate.yml").read_text())
    policy = str(ROOT / workflow["jobs"]["smoke"]["steps"][-1]["with"]["policy"])
    gate = here("gate", policy, "--json")
    judged = {one["id"]: one["outcome"] for one in json.loads(gate.stdout)["judgements"]}
    assert judged == {
        "better-than-guessing": "pass",
        "robust": "pass",
        "robust-more": "pass",
        "extraction": "fail",
    }
    assert gate.returncode == 0
    assert here("gate", "bank_credit").returncode == 4
    shown = action_of_the_gate(tmp_path, policy)
    assert shown["code.txt"] == "code=0\n"
    assert shown["summary.md"] == shown["gate.md"]
    assert all(name in shown["gate.md"] for name in judged)
    assert {"gate.xml", "gate.sarif"} <= shown.keys()


def action_of_the_gate(folder: Path, policy: str) -> dict[str, str]:
    """What the step of the action leaves that runs the gate in a workflow: each file's content by its name."""
    action = yaml.safe_load((ROOT / ".github/actions/gate/action.yml").read_text())
    (script,) = (step["run"] for step in action["runs"]["steps"] if step.get("id") == "gate")
    files = folder / "gate"
    env = {**os.environ, "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    env |= {"POLICY": policy, "FOLDERS": "outputs", "FILES": str(files)}
    env |= {"GITHUB_OUTPUT": str(files / "code.txt"), "GITHUB_STEP_SUMMARY": str(files / "summary.md")}
    subprocess.run(["bash", "--norc", "-eo", "pipefail", "-c", script], cwd=folder, env=env, check=True)
    return {path.name: path.read_text() for path in files.iterdir()}


def test_two_folders_the_same_bytes_and_seeds_differ(tmp_path: Path, here: Here) -> None:
    run = amulet("run", *SMALL, "output_dir=one", cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert here("run", *SMALL, "output_dir=two").returncode == 0
    assert here("run", *SMALL, "seed=1", "output_dir=three").returncode == 0
    one, two, three = (results(tmp_path / folder)[0] for folder in ("one", "two", "three"))
    for result in (one, two, three):
        del result["timings"], result["environment"], result["seal"]  # config.yaml names the folder
    assert json.dumps(one) == json.dumps(two)
    assert one["manifest"] != three["manifest"]


def test_force_does_it_again_and_models_are_shared(tmp_path: Path, here: Here) -> None:
    assert here("run", *SMALL).returncode == 0
    (metrics,) = tmp_path.rglob("metrics.json")
    before = metrics.stat().st_mtime_ns
    forced = here("run", *SMALL, "force=true")
    assert forced.returncode == 0
    assert metrics.stat().st_mtime_ns > before
    assert "2 models from the store" in forced.stderr
    log = (metrics.parent / "run.log").read_text()
    assert log.count("loaded, the same model was trained before") == 2, "one by one in the log"
    other = here("run", *SMALL, "attack.steps=3")
    assert "2 models from the store" in other.stderr
    assert "loaded" not in other.stderr, "not one by one on the console"
    assert len(results(tmp_path)) == 2


def test_a_damaged_model_is_trained_again(tmp_path: Path, here: Here) -> None:
    assert here("run", *SMALL).returncode == 0
    before = results(tmp_path)[0]["metrics"]
    for model in (tmp_path / "outputs/models").glob("*.safetensors"):
        content = bytearray(model.read_bytes())
        content[-5] ^= 1
        model.write_bytes(content)
    forced = here("run", *SMALL, "force=true")
    assert forced.returncode == 0
    assert "set aside" in " ".join(forced.stderr.split())
    assert results(tmp_path)[0]["metrics"] == before


def test_a_users_own_attack_from_the_working_directory(own: Path, here: Here) -> None:
    run = amulet("run", "--config-dir", "my_conf", "attack=noise", *TINY, cwd=own)
    assert run.returncode == 0, run.stderr
    assert "robust_accuracy" in run.stdout
    shown = here("run", "--config-dir", "my_conf", "attack=noise", "--cfg", "job", "-p", "attack")
    assert shown.returncode == 0
    assert yaml.safe_load(shown.stdout)["_target_"] == "my_attacks.Noise"


def test_an_experiment_can_be_a_sweep(own: Path, here: Here) -> None:
    words = ("--config-dir", "my_conf", "+experiment=two_seeds")
    first = here("run", *words, "attack.epsilon=0.01")
    assert first.returncode == 0, first.stderr
    assert "2 jobs: 2 done" in first.stdout
    whole = here("run", *words)
    assert "4 runs: 2 done before, 2 to do" in whole.stderr
    assert "4 jobs: 2 skipped, 2 done" in whole.stdout
    assert len(results(own)) == 4


def test_a_sweep_over_attacks_may_set_what_all_of_them_have(tmp_path: Path, here: Here) -> None:
    """Hydra alone refuses `attack.epsilon` there: the default attack, which is none, has no such setting."""
    words = ("attack.epsilon=0.02", "attack.immutable=[one_hot]", *TINY)
    run = here("run", "-m", "attack=evasion_pgd,square", *words)
    assert run.returncode == 0, run.stderr
    assert "2 jobs: 2 done" in run.stdout
    again = here("run", "attack=square", *words)
    assert again.returncode == 0
    assert len(results(tmp_path)) == 2, "it is the same run"


def test_one_failed_job_leaves_the_others_and_the_table(own: Path, here: Here) -> None:
    words = ("run", "-m", "--config-dir", "my_conf", "attack=noise", *TINY, "seed=0,1")
    run = here(*words, "attack.fail=false,true")
    assert run.returncode == 1
    assert "4 jobs: 2 done, 2 failed" in " ".join(run.stdout.split())
    assert "RuntimeError: the sky fell" in run.stdout
    assert "Traceback" not in run.stdout + run.stderr
    assert sorted(states(own)) == ["done", "done", "failed", "failed"]
    logs = [path for path in own.rglob("run.log") if "Traceback" in path.read_text()]
    assert len(logs) == 2
    assert all(str(log.relative_to(own)) in run.stdout.replace("\n", "").replace(" ", "") for log in logs)
    single = here("run", "--config-dir", "my_conf", "attack=noise", *TINY, "attack.fail=true")
    assert single.returncode == 1
    assert "the sky fell" in single.stderr
    assert "run.log" in single.stderr
    assert "Traceback" not in single.stderr


def test_a_refused_combination_is_no_failure_of_a_sweep(tmp_path: Path, here: Here) -> None:
    words = ("defense=adv_training", "second_defense=none,adv_training")
    run = here("run", "-m", *words, *TINY)
    assert run.returncode == 0, run.stderr
    assert "2 jobs: 1 done, 1 refused" in " ".join(run.stdout.split())
    assert sorted(states(tmp_path)) == ["done", "refused"]
    assert len(list(tmp_path.glob("outputs/census/linearnet/adv_training+adv_training/none/*/*"))) == 1


def test_diverged_training_says_what_to_change(here: Here) -> None:
    words = ("optimizer._target_=torch.optim.SGD", "optimizer.lr=1e30")
    run = here("run", *TINY, "epochs=3", *words)
    assert run.returncode == 1
    assert "Training diverged" in run.stderr
    assert "optimizer.lr" in run.stderr


def test_two_processes_train_each_model_once(tmp_path: Path) -> None:
    processes = [start("run", *SMALL, cwd=tmp_path) for _ in range(2)]
    errors = [process.communicate(timeout=PATIENCE)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    kept = [path.name for path in (tmp_path / "outputs/models").glob("*.safetensors")]
    assert len([name for name in kept if not name.startswith("measured-")]) == 2
    assert len(results(tmp_path)) == 1
    logs = [path.read_text() for path in tmp_path.rglob("run.log")]
    assert [log.count(" train undefended: 1 epoch") for log in logs] == [1]


def test_ctrl_c_keeps_what_is_finished(own: Path) -> None:
    words = ("run", "-m", "--config-dir", "my_conf", "attack=noise", *TINY, "attack.seconds=0,60")
    with start(*words, cwd=own) as process:
        _wait_for(own, "done", "running")
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 2
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert len(results(own)) == 1


def test_a_killed_sweep_goes_on_where_it_was(own: Path, here: Here) -> None:
    words = ("run", "-m", "--config-dir", "my_conf", "attack=noise", *TINY, "seed=range(0,4)")
    with start(*words, "attack.seconds=0.3", cwd=own) as process:
        _wait_for(own, "done", "done", "running")
        process.kill()
        process.communicate(timeout=30)
    kept = {path: path.stat().st_mtime_ns for path in own.rglob("metrics.json")}
    assert 2 <= len(kept) < 4
    for path in own.rglob("*.json"):
        json.loads(path.read_text())
    run = here(*words, "attack.seconds=0.3")
    assert run.returncode == 0, run.stderr
    assert f"4 runs: {len(kept)} done before, {4 - len(kept)} to do" in run.stderr
    assert len(results(own)) == 4
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())


def test_workers_end_with_a_killed_sweep(own: Path) -> None:
    launcher = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    words = ("run", "-m", "--config-dir", "my_conf", "attack=noise", *TINY, "seed=0,1", "attack.seconds=60")
    with start(*words, *launcher, cwd=own) as process:
        _wait_for(own, "running", "running")
        workers = _children(process.pid)
        assert workers
        process.kill()
        process.communicate(timeout=30)
    deadline = time.monotonic() + 10
    while any(_alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(_alive(pid) for pid in workers)


def test_a_run_is_found_under_another_name_of_its_folder(own: Path, here: Here) -> None:
    words = ("run", "--config-dir", "my_conf", "attack=noise", *TINY)
    assert here(*words).returncode == 0
    again = here(*words, f"output_dir={own / 'outputs'}", "device=cpu", "num_threads=1")
    assert "done before" in again.stderr
    assert len(list((own / "outputs" / FOLDER).iterdir())) == 1


def _wait_for(folder: Path, *wanted: str) -> None:
    """Until the runs below `folder` are in these states."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if sorted(_settled(folder)) == sorted(wanted):
            return
        time.sleep(0.02)
    raise AssertionError(f"{_settled(folder)} after two minutes, not {wanted}")


def _settled(folder: Path) -> list[str]:
    try:
        return states(folder)
    except FileNotFoundError:  # replaced between listing and reading
        return []


def _children(pid: int) -> list[int]:
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


def _alive(pid: int) -> bool:
    import psutil

    try:
        os.kill(pid, 0)
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
