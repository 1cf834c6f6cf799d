"""Sweeps through every launcher: the same numbers as one after the other, nothing twice, nothing left behind."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from amulet.core import cores as processor
from amulet_cli.cli import main
from amulet_cli.config.composition import RunRequest
from amulet_cli.execution import environment, launchers
from amulet_cli.execution.launchers import ParentProcess, own_overrides, prepared, worker_of
from tests.helpers.cli_helpers import TINY, amulet, own_options, start

SWEEP = (
    "defense=adv_training",
    "defense.epsilon=0.01,0.02",
    "defense.steps=2",
    "attack=evasion_pgd",
    "attack.epsilon=0.05,0.1",
    "attack.steps=2",
    "dataset.limit=1000",
    "epochs=2",
    "batch_size=32",
    "optimizer.lr=0.01",
    "seed=1",
)
"""Four jobs; one undefended victim, two defended ones."""
KINDS = {
    "joblib": ("joblib", ("hydra.launcher.n_jobs=2",), "hydra_plugins.hydra_joblib_launcher"),
    "slurm_local": ("slurm_local", ("hydra.sweeper.max_batch_size=2",), "hydra_plugins.hydra_submitit_launcher"),
    "ray": ("ray", ("hydra.launcher.num_cpus=2",), "ray"),
}
SAME = ("metrics", "intervals", "baselines", "choices", "overrides", "warnings", "manifest")


def needs(module: str) -> None:
    if not launchers.is_installed(module):
        pytest.skip(f"{module.rpartition('.')[2]} is not installed")


def numbers(folder: Path) -> dict[str, dict[str, Any]]:
    """What every run below a folder found, by its place in it."""
    found: dict[str, dict[str, Any]] = {}
    for path in folder.rglob("metrics.json"):
        content = json.loads(path.read_text())
        found[str(path.parent.relative_to(folder))] = {name: content[name] for name in SAME}
    return found


def daemons(folder: Path) -> set[int]:
    """Ray's processes of commands that were given in a folder: other tests may have theirs."""
    found = psutil.process_iter(["name", "cwd"])
    ray = [process for process in found if process.info["name"] in ("raylet", "gcs_server")]
    return {process.pid for process in ray if process.info["cwd"] == str(folder)}


def gone(pids: set[int], seconds: float = 15) -> bool:
    """Whether none of these processes is left, after a while."""
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not any(alive(pid) for pid in pids)


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_for_running(folder: Path, count: int) -> None:
    """Until so many runs below a folder have begun."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if len([path for path in folder.rglob("status.json") if "running" in path.read_text()]) >= count:
            return
        time.sleep(0.05)
    raise AssertionError(f"{count} runs have not begun after two minutes")


@pytest.fixture(scope="module")
def basic(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The sweep, one job after the other."""
    folder = tmp_path_factory.mktemp("basic")
    with contextlib.chdir(folder):
        assert main(["run", "-m", *SWEEP]) == 0
    found = numbers(folder / "outputs")
    assert len(found) == 4
    assert len({json.dumps(content["metrics"]) for content in found.values()}) == 4
    return found


@pytest.mark.parametrize("kind", list(KINDS))
def test_a_sweep_gives_the_same_numbers(kind: str, tmp_path: Path, basic: dict[str, dict[str, Any]]) -> None:
    launcher, words, module = KINDS[kind]
    needs(module)
    run = amulet("run", "-m", *SWEEP, f"hydra/launcher={launcher}", *words, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "4 jobs: 4 done" in run.stdout
    assert [line for line in run.stderr.splitlines() if not line.startswith(("sweep", "done", "        "))] == []
    assert numbers(tmp_path / "outputs") == basic
    # Jobs that began at once have shared their models: a victim without a defence, two with one, and the surrogate
    # that checks evasion.
    kept = [path.name for path in (tmp_path / "outputs/models").glob("*.safetensors")]
    assert len([name for name in kept if not name.startswith("measured-")]) == 4
    logs = [log.read_text() for log in tmp_path.rglob("run.log")]
    assert sum(log.count(" train undefended: 2 epochs") for log in logs) == 1
    assert sum(log.count(" train defended: 2 epochs") for log in logs) == 2
    environments = [json.loads(path.read_text())["environment"] for path in tmp_path.rglob("metrics.json")]
    assert {environment["threads"] for environment in environments} == {1}
    assert not daemons(tmp_path)


def test_ctrl_c_ends_a_ray_and_all_of_its_processes(tmp_path: Path) -> None:
    needs("ray")
    own_options(tmp_path)
    words = ("run", "-m", "--config-dir", "my_conf", "attack=noise", *TINY, "seed=0,1", "attack.seconds=60")
    with start(*words, "hydra/launcher=ray", "hydra.launcher.num_cpus=1", cwd=tmp_path) as process:
        wait_for_running(tmp_path, 1)
        children = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        assert daemons(tmp_path)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        err = process.communicate(timeout=30)[1]
    assert time.monotonic() - began < 4
    assert process.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert gone(children)


def test_jobs_of_submitit_end_with_a_killed_sweep(tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    own_options(tmp_path)
    words = ("run", "-m", "--config-dir", "my_conf", "attack=noise", *TINY, "seed=0", "attack.seconds=60")
    with start(*words, "hydra/launcher=slurm_local", cwd=tmp_path) as process:
        wait_for_running(tmp_path, 1)
        children = {child.pid for child in psutil.Process(process.pid).children(recursive=True)}
        assert children
        process.kill()
        process.communicate(timeout=30)
    assert gone(children)


SBATCH = """
import os, pathlib, re, subprocess, sys
script = pathlib.Path(sys.argv[1])
text = script.read_text()
here = pathlib.Path(os.environ["FAKE_SLURM"])
(here / "sbatch.txt").write_text(text)
size = int(re.search(r"--array=0-(\\d+)", text)[1]) + 1
for index in range(size):
    names = {"JOB_ID": 101 + index, "ARRAY_JOB_ID": 100, "ARRAY_TASK_ID": index, "NTASKS": 1, "JOB_NUM_NODES": 1}
    names |= {"NODEID": 0, "PROCID": 0, "LOCALID": 0, "JOB_NODELIST": "node1"}
    env = {**os.environ, **{f"SLURM_{name}": str(value) for name, value in names.items()}}
    log = (here / f"{index}.log").open("w")
    subprocess.Popen(["bash", str(script)], env=env, stdout=log, stderr=log, start_new_session=True)
print("Submitted batch job 100")
"""
SRUN = """
import os, sys
words = sys.argv[1:]
while words[0].startswith("--"):
    words = words[2:] if words[0] in ("--output", "--error") else words[1:]
os.execvp(words[0], words)
"""
SACCT = """
print("JobID|State|NodeList")
for index in range(9):
    print(f"100_{index}|RUNNING|node1")
"""
SCANCEL = """
import os, pathlib, sys
(pathlib.Path(os.environ["FAKE_SLURM"]) / "scancel.txt").write_text(" ".join(sys.argv[1:]))
"""


@pytest.fixture
def slurm(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The commands of a Slurm that runs every job at once on this machine."""
    folder = tmp_path_factory.mktemp("slurm")
    for name, source in {"sbatch": SBATCH, "srun": SRUN, "sacct": SACCT, "scancel": SCANCEL}.items():
        file = folder / name
        file.write_text(f"#!{sys.executable}\n{source}")
        file.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
    return folder


def test_a_sweep_on_slurm(slurm: Path, tmp_path: Path) -> None:
    needs("hydra_plugins.hydra_submitit_launcher")
    words = ("hydra/launcher=slurm", "hydra.launcher.partition=short", "hydra.launcher.cpus_per_task=2")
    run = amulet("run", "-m", *TINY, "seed=0,1", "workers=8", *words, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    assert "2 jobs: 2 done" in run.stdout
    asked = (slurm / "sbatch.txt").read_text()
    for line in ("--partition=short", "--cpus-per-task=2", "--mem=4GB", "--array=0-1%2", "--time=240"):
        assert f"#SBATCH {line}\n" in asked
    assert "#SBATCH --job-name=amulet-" in asked


def request(launcher: str, **settings: Any) -> RunRequest:
    return RunRequest((), sweep=True, launcher=launcher, launcher_settings=settings)


def test_ctrl_c_takes_a_sweep_off_slurm(slurm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from amulet_cli.execution import interrupt

    monkeypatch.setattr(os, "environ", {**os.environ})
    (*_, name) = words = own_overrides(request("slurm"), [])
    with prepared(request("slurm"), words):
        for action in interrupt._before_leaving:  # pyright: ignore[reportPrivateUsage]
            action()
    assert not interrupt._before_leaving  # pyright: ignore[reportPrivateUsage]
    deadline = time.monotonic() + 20
    while not (slurm / "scancel.txt").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.1)
    assert (slurm / "scancel.txt").read_text() == f"--name {name.partition('=')[2]}"


@pytest.mark.parametrize(("launcher", "extra"), [("ray", "ray"), ("slurm", "slurm"), ("slurm_local", "slurm")])
def test_a_launcher_that_is_not_installed(
    launcher: str, extra: str, workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(launchers, "is_installed", lambda _: False)  # pyright: ignore[reportUnknownLambdaType]
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["run", "-m", "seed=0,1", f"hydra/launcher={launcher}"]) == 2
    shown = capsys.readouterr().err
    assert f"the launcher `{launcher}` is not installed" in shown
    assert f"pip install 'amulet-cli[{extra}]'" in shown
    assert not list(workdir.iterdir())


def test_what_is_installed_is_found_without_importing_it() -> None:
    assert launchers.is_installed("json.decoder")
    assert not launchers.is_installed("json.no_such_thing")
    assert not launchers.is_installed("no_such_package.inside")


def test_a_launchers_jobs_have_a_share_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    assert worker_of(request("basic")) is None
    for launcher, settings, cores in (
        ("joblib", {"n_jobs": 4}, 1),
        ("slurm", {"cpus_per_task": 4}, 4),
        ("submitit_slurm", {"cpus_per_task": None}, 1),
        ("ray", {"cpus_per_job": 2}, 2),
        ("ray", {"cpus_per_job": 0.5}, 1),
        ("somebodys_own", {}, 1),
    ):
        worker = worker_of(request(launcher, **settings))
        assert worker is not None
        assert worker.cores == cores
        assert worker.folder == Path.cwd()
    for module in (environment, processor):
        monkeypatch.setattr(module, "available_cores", lambda: 8)
    assert environment.workers("auto") == 8
    assert environment.workers("auto", 1) == 1
    assert environment.workers(16, 4) == 4
    assert environment.workers(2, 4) == 2
    assert own_overrides(request("slurm_local", cpus_per_task=2), []) == ["hydra.sweeper.max_batch_size=4"]
    assert own_overrides(request("basic"), ["hydra.sweeper.max_batch_size=3"]) == []
    assert own_overrides(request("joblib"), []) == []
    assert own_overrides(request("slurm"), ["hydra.launcher.name=mine"]) == ["hydra.sweeper.max_batch_size=1000"]


def test_jobs_on_other_machines_have_no_boss_here() -> None:
    here, there = (worker_of(request("ray", address=address)) for address in (None, "auto"))
    assert here is not None
    assert here.parent == ParentProcess.this()
    assert there is not None
    assert there.parent is None


def test_a_boss_is_known_from_another_process_of_its_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        parent = ParentProcess(process.pid, psutil.Process(process.pid).create_time())
        assert parent.alive()
        assert not ParentProcess(parent.pid, parent.began - 1).alive()
        process.kill()
        deadline = time.monotonic() + 10
        while parent.alive() and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not parent.alive(), "a zombie that nobody has waited for yet"
    assert not parent.alive()
