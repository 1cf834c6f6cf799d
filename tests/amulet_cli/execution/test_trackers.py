"""Results go to trackers as well: MLflow on SQLite, TensorBoard, Weights & Biases offline, and a user's own."""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from amulet_cli.cli import main
from amulet_cli.execution.progress import RichReporter
from amulet_cli.execution.trackers import Run, Sweep, tracking
from amulet_cli.execution.trackers.mlflow import Mlflow
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result, config_hash
from tests.helpers.cli_helpers import TINY

SWEEP = ("-m", *TINY, "defense=adv_training", "defense.steps=1", "seed=0,1")
Here = Callable[..., "tuple[int, str, str]"]

OWN = '''
"""A user's own tracker, and one that fails."""

import json
from pathlib import Path

from amulet_cli.execution.trackers import Tracker


class Lines(Tracker):
    def __init__(self, output_dir, *, name: str = "lines.txt"):
        super().__init__(output_dir)
        self.file = Path(output_dir) / name

    @property
    def place(self):
        return str(self.file)

    def write(self, line):
        with self.file.open("a") as file:
            file.write(line + "\\n")

    def begin(self, sweep):
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.write(f"begin {sweep.title}")

    def log(self, run):
        self.write(f"run {run.name} {sorted(run.curves)} {bool(run.sweep)}")
        return run.name

    def end(self, sweep, states):
        self.write(f"end {json.dumps(states, sort_keys=True)}")


class Broken(Lines):
    def log(self, run):
        raise ConnectionError("the server is away\\nand says a lot")
'''


@pytest.fixture
def here(workdir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Here:
    """`amulet run` in this process, in an empty folder with a user's own trackers."""
    (workdir / "my_trackers.py").write_text(OWN)
    (workdir / "my_conf/logger").mkdir(parents=True)
    for name in ("Lines", "Broken", "Absent"):
        option = f"{name.lower()}: {{_target_: my_trackers.{name}, name: lines.txt}}"
        (workdir / f"my_conf/logger/{name.lower()}.yaml").write_text(option)
    monkeypatch.syspath_prepend(str(workdir))
    monkeypatch.setenv("COLUMNS", "160")

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["run", "--config-dir", "my_conf", *words])
        shown = capsys.readouterr()
        return code, shown.out, " ".join(shown.err.split())

    return run


def results(folder: Path) -> list[Result]:
    """As `amulet report` finds them: what trackers have copied does not count."""
    return find_results([folder])


def test_a_users_own_tracker_hears_of_everything_once(workdir: Path, here: Here) -> None:
    assert here(*SWEEP, "logger=lines")[0] == 0
    lines = (workdir / "outputs/lines.txt").read_text().splitlines()
    first = "run adv_training none seed=0 ['train defended', 'train undefended'] True"
    assert lines == ["begin 2 runs over seed", first, first.replace("seed=0", "seed=1"), 'end {"done": 2}']
    assert here(*SWEEP, "logger=lines")[0] == 0
    again = (workdir / "outputs/lines.txt").read_text().splitlines()[4:]
    assert again == ["begin 2 runs over seed", 'end {"skipped": 2}']


def test_what_was_done_before_is_sent_without_computing_it_again(workdir: Path, here: Here) -> None:
    assert here(*SWEEP)[0] == 0
    assert not list(workdir.rglob("trackers.json"))
    assert "nothing to do" in here(*SWEEP, "logger=lines")[2]
    assert (workdir / "outputs/lines.txt").read_text().count("run adv_training none seed=") == 2
    single = ("logger=lines", "logger.lines.name=other.txt", *SWEEP[1:-1], "seed=1")
    for _ in range(2):
        assert "done before" in here(*single)[2]
    assert (workdir / "outputs/other.txt").read_text() == "run adv_training none seed=1 [] False\n"


def test_a_failing_tracker_loses_no_result(workdir: Path, here: Here) -> None:
    code, out, err = here(*SWEEP, "logger=[broken,lines]")
    assert code == 0
    assert "2 jobs: 2 done" in out
    warning = "`logger.broken` failed, results are complete without it: ConnectionError: the server is away"
    assert err.count(f"warning: {warning}") == 1
    assert "and says a lot" not in err
    assert len(results(workdir)) == 2
    logs = [path.read_text() for path in sorted(workdir.rglob("run.log"))]
    assert [log.count(warning) for log in logs] == [1, 0], "the second job is not kept waiting"
    assert (workdir / "outputs/lines.txt").read_text().count("\n") == 5, "begun twice: one is the other's class"


def test_a_tracker_shapes_no_result(workdir: Path, here: Here) -> None:
    assert here(*TINY)[0] == 0
    assert "done before" in here(*TINY, "logger=lines", "logger.lines.name=x")[2]
    (result,) = results(workdir)
    assert result.overrides == {"dataset.limit": 200, "epochs": 1}
    assert config_hash(result.config) == config_hash({**result.config, "logger": {"mlflow": {"uri": "x"}}})
    assert not [key for key in Run(result).parameters if key.startswith("logger")]
    assert here("-m", *TINY, "logger=lines", "seed=0,1")[0] == 0
    assert {len(list(workdir.glob(f"outputs/census/**/seed={seed}"))) for seed in (0, 1)} == {1}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("logger=mlflwo",), "there is no logger `mlflwo`"),
        (("logger=mlflow", "logger.mlflow.experiment=3"), "`logger.mlflow.experiment` must be a text, got 3"),
        (("logger=mlflow", "logger.mlflow.urri=x"), "there is no `logger.mlflow.urri`"),
        (("logger=absent",), "`my_trackers` has no `Absent`"),
        (("+logger.x=1",), "`logger.x` must be an option with a `_target_`"),
        (("+logger.x._target_=pathlib.Path",), "must be a subclass of amulet's Tracker"),
    ],
)
def test_a_mistake_is_found_before_anything_is_computed(
    words: tuple[str, ...], says: str, workdir: Path, here: Here
) -> None:
    code, _, err = here(*TINY, *words)
    assert code == 2
    assert says in err
    assert not (workdir / "outputs").exists()


@pytest.mark.parametrize("name", ["mlflow", "tensorboard", "wandb"])
def test_a_tracker_that_is_not_installed(name: str, here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "is_installed", lambda _: False)  # pyright: ignore[reportUnknownLambdaType]
    code, _, err = here(*TINY, f"logger={name}")
    assert code == 2
    assert f"`logger={name}` needs the package `{name}`, which is not installed" in err
    assert f"pip install 'amulet-cli[{name}]'" in err


def test_options_and_classes_agree() -> None:
    import inspect

    from omegaconf import OmegaConf

    from amulet_cli.config.hydra_setup import conf_dir
    from amulet_cli.config.instantiation import load

    for file in (conf_dir() / "logger").glob("*.yaml"):
        content: Any = OmegaConf.to_container(OmegaConf.load(file))
        if file.stem == "none":
            continue
        ((name, option),) = content.items()
        assert name == file.stem
        assert option.pop("about")["line"]
        parameters = inspect.signature(load(option.pop("_target_"), name)).parameters.values()
        assert option == {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def test_a_reporter_keeps_the_curves_of_epochs() -> None:
    reporter = RichReporter(Console(quiet=True))
    for losses in ((0.7, 0.5), (0.6,)):
        with reporter.stage("train undefended", 2, "epoch") as stage:
            for loss in losses:
                stage.advance(1, loss=loss)
    with reporter.stage("attack", 3, "model") as stage:
        stage.advance(1, loss=1.0)
    with reporter.stage("train defended", 2, "epoch"):
        pass
    assert reporter.curves == {"train undefended": {"loss": [0.7, 0.5]}, "train undefended #2": {"loss": [0.6]}}


def test_a_sweep_is_the_same_whatever_the_order(workdir: Path, here: Here) -> None:
    from amulet_cli.config.arguments import parse
    from amulet_cli.config.composition import compose

    jobs = compose(parse(SWEEP)).jobs
    assert Sweep.of(jobs, ["seed"]) == Sweep.of(jobs[::-1], ["seed"])
    assert Sweep.of(jobs, []).key != Sweep.of(jobs[:1], []).key


def mlflow_runs(folder: Path, **settings: Any) -> list[Any]:
    client = importlib.import_module("mlflow").MlflowClient(Mlflow(folder, **settings).uri)
    (experiment,) = (e for e in client.search_experiments() if e.name == "amulet")
    return sorted(client.search_runs([experiment.experiment_id]), key=lambda run: run.info.run_name)


def test_mlflow_has_the_sweep_and_its_jobs_from_several_processes(workdir: Path, here: Here) -> None:
    for module in ("mlflow", "sqlalchemy", "hydra_plugins.hydra_joblib_launcher"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    for spread in (("hydra/launcher=joblib", "hydra.launcher.n_jobs=2"), ()):  # the second time there is nothing new
        code, _, err = here(*SWEEP, "logger=mlflow", *spread)
        assert code == 0, err
        assert "warning" not in err
    *jobs, parent = mlflow_runs(workdir / "outputs")
    assert [job.info.run_name for job in jobs] == [f"adv_training none seed={seed}" for seed in (0, 1)]
    assert {job.info.status for job in jobs} == {parent.info.status} == {"FINISHED"}
    assert parent.info.run_name == "sweep of 2 runs over seed"
    assert parent.data.metrics == {"jobs/done": 2, "jobs/skipped": 2}
    for job, result in zip(jobs, results(workdir), strict=True):
        assert job.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert job.data.tags["hash"] == result.hash
        assert job.data.tags["defense"] == "adv_training"
        assert job.data.params["defense.steps"] == "1"
        assert job.data.params["metric.default.risk"] == "null"
        for victim, numbers in result.metrics.items():
            for name, value in numbers.items():
                assert job.data.metrics[f"{victim}/{name}"] == pytest.approx(value)
                assert job.data.metrics[f"{victim}/{name}.baseline"] == result.baselines[victim][name]
        assert "train undefended/loss" in job.data.metrics
        artifacts = Path(job.info.artifact_uri.removeprefix("file://"))
        assert artifacts.is_relative_to(workdir / "outputs/mlflow")
        kept = json.loads((artifacts / "metrics.json").read_text())
        assert kept["metrics"] == json.loads((result.folder / "metrics.json").read_text())["metrics"]
        assert {path.name for path in artifacts.iterdir()} == {"metrics.json", "metrics.csv", "config.yaml"}


def test_tensorboard_reads_what_was_written(workdir: Path, here: Here) -> None:
    if importlib.util.find_spec("tensorboard") is None:
        pytest.skip("tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    code, _, err = here(*SWEEP, "logger=tensorboard")
    assert code == 0, err
    assert "warning" not in err
    root = workdir / "outputs/tensorboard"
    assert len(list(root.rglob("events.*"))) == 2
    for result in results(workdir):
        found = root.joinpath(*result.setting, result.hash, f"seed={result.seed}")
        events = EventAccumulator(str(found))
        events.Reload()
        for victim, numbers in result.metrics.items():
            for name, value in numbers.items():
                (scalar,) = events.Scalars(f"{victim}/{name}")
                assert scalar.step == result.seed
                assert scalar.value == pytest.approx(value, rel=1e-6)
        assert len(events.Scalars("train undefended/loss")) == 1
        tags: Any = events.Tags()
        assert "hash/text_summary" in tags["tensors"]
    assert here(*SWEEP, "logger=tensorboard", "force=true")[0] == 0
    assert len(list(root.rglob("events.*"))) == 2, "done again, it is not there twice"


def test_wandb_writes_offline(workdir: Path, here: Here) -> None:
    if importlib.util.find_spec("wandb") is None:
        pytest.skip("wandb is not installed")
    code, _, err = here(*TINY, "logger=wandb", "logger.wandb.mode=offline")
    assert code == 0, err
    assert "warning" not in err
    (file,) = (workdir / "outputs/wandb").rglob("run-*.wandb")
    content = file.read_bytes()
    for word in (b"undefended/test_accuracy", b"dataset.limit", b"train undefended/loss"):
        assert word in content
    assert len(results(workdir)) == 1
