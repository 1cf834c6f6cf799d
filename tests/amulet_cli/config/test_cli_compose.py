"""From words to jobs: what is composed, and that every option that ships can be."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config import instantiation, schema
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import RunRequest, compose
from amulet_cli.config.hydra_setup import conf_dir, opened
from amulet_cli.config.options import is_suite
from amulet_cli.config.series import parts
from amulet_cli.execution.plan import plan_of
from amulet_cli.results.result import config_hash
from tests.helpers.cli_helpers import own_options
from tests.helpers.sweeps import jobs_with_every_word

OPTIONS = sorted(
    (file.parent.name, file.stem)
    for group in ("dataset", "model", "defense", "attack")
    for file in (conf_dir() / group).glob("*.yaml")
    if file.stem != "custom"  # a user's own model: nothing to build before its class is named
)


def composed(*words: str) -> RunRequest:
    """The jobs of a command."""
    return compose(parse(words))


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_every_option_is_composed_and_built(group: str, name: str) -> None:
    (job,) = composed(f"{group}={name}").jobs
    schema.check(job.config)
    assert job.choices[group] == name
    if group == "model" and {"path", "url"} & set(job.config[group]):  # a given model: nothing before it is named
        with pytest.raises(UsageError, match=r"`model\.\w+` must"):
            plan_of(job.config)
        return
    plan_of(job.config)
    if group == "defense":
        (second,) = composed(f"second_defense={name}").jobs
        assert second.choices.get("second_defense", "none") == name
        assert second.config["second_defense"] == job.config["defense"]
        plan_of(second.config)


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_an_option_lists_every_setting_with_its_default(group: str, name: str) -> None:
    """A component's signature is its schema: its YAML is a copy for people to read and to override."""
    node = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text())
    assert {"line", "source"} <= set(node["about"])
    if is_suite(node):  # its attacks are options
        return
    if node["_target_"] is None:
        assert set(node) == {"_target_", "about"}
        return
    parameters = inspect.signature(instantiation.load(node["_target_"], group)).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}
    if "depth" in defaults and (number := re.search(r"\d+$", name)):  # vgg11, vgg13, ...: one class
        defaults["depth"] = int(number[0])
    values = {key: value for key, value in node.items() if key not in ("_target_", "about")}
    assert {key: _plain(value) for key, value in defaults.items()} == values


@pytest.mark.parametrize("name", sorted(file.stem for file in (conf_dir() / "metric").glob("*.yaml")))
def test_every_metric_is_a_risk_of_ours(name: str) -> None:
    (job,) = composed(f"metric={name}").jobs
    schema.check(job.config)
    assert plan_of(job.config).risks() is not None


EXPERIMENTS = {
    file.stem: "series" in yaml.safe_load(file.read_text(encoding="utf-8"))
    for file in sorted((conf_dir() / "experiment").glob("*.yaml"))
}
"""Which of them are a series of others."""


@pytest.mark.parametrize("name", [name for name, series in EXPERIMENTS.items() if not series])
def test_every_experiment_is_composed_and_built(name: str) -> None:
    for job in jobs_with_every_word(f"+experiment={name}")[0]:
        schema.check(job.config)
        plan_of(job.config)


@pytest.mark.parametrize("name", [name for name, series in EXPERIMENTS.items() if series])
def test_every_series_is_of_experiments(name: str) -> None:
    words = [word for part in parts(parse([f"+experiment={name}"])) for word in part.overrides]
    members = {word.removeprefix("+experiment=") for word in words}
    assert len(members) > 1
    assert not any(EXPERIMENTS[member] for member in members), "a series in it has become its own members"


def test_one_run() -> None:
    request = composed("defense=adv_training", "defense.epsilon=0.1", "device=cpu", "seed=3")
    (job,) = request.jobs
    assert not request.sweep
    assert job.config["defense"]["epsilon"] == 0.1
    assert job.overrides == {"defense.epsilon": 0.1}
    expected = f"outputs/census/linearnet/adv_training/none/{config_hash(job.config)[:8]}/seed=3"
    assert job.folder == Path(expected)
    assert not job.done


def test_seed_and_machine_leave_the_folder_alone() -> None:
    (one,) = composed("seed=1").jobs
    (two,) = composed("seed=2", "device=cpu", "num_threads=1", "workers=3", "force=true", "store=x").jobs
    assert one.folder.parent == two.folder.parent
    (other,) = composed("epochs=3").jobs
    assert other.folder.parent != one.folder.parent


def test_a_sweep_is_every_combination() -> None:
    request = composed("-m", "defense=none,adv_training", "seed=range(0,3)", "second_defense=none")
    assert request.sweep
    assert request.launcher == "basic"
    assert request.swept == ("defense", "seed")
    labels = [job.label(request.swept) for job in request.jobs]
    expected = [f"defense={defense} seed={seed}" for defense in ("none", "adv_training") for seed in range(3)]
    assert labels == expected


def test_jobs_are_composed_as_hydra_would() -> None:
    words = ("defense=adv_training", "attack=evasion_pgd", "metric=[utility,evasion]", "optimizer.momentum=0.9")
    swept = {
        "defense.epsilon": ["0.1", "0.2"],
        "model.hidden": ["[3]", "[4,5]"],
        "attack.epsilon": ["${defense.epsilon}"],
        "early_stopping": ["null", "{patience:3}"],
    }
    request = composed("-m", *words, *(f"{key}={','.join(values)}" for key, values in swept.items()))
    assert len(request.jobs) == 8
    for job in request.jobs:
        (alone,) = compose(parse(job.words)).jobs
        assert alone.config == job.config
        assert alone.choices == job.choices
        assert alone.overrides == job.overrides
    assert request.jobs[-1].config["attack"]["epsilon"] == 0.2
    assert request.jobs[-1].config["model"]["hidden"] == [4, 5]


def test_a_users_folder_and_a_sweeping_experiment(workdir: Path) -> None:
    own = own_options(workdir)
    request = composed("--config-dir", str(own), "+experiment=two_seeds", "attack.epsilon=0.3")
    assert request.sweep
    assert [job.config["seed"] for job in request.jobs] == [0, 1]
    assert {job.config["attack"]["epsilon"] for job in request.jobs} == {0.3}
    assert request.jobs[0].overrides == {"+experiment": "two_seeds", "attack.epsilon": 0.3}


def test_flags_and_overrides_in_any_order() -> None:
    arguments = parse(["seed=1", "--resolve", "--cfg", "job", "epochs=2", "--config-name=config"])
    assert arguments.for_hydra() == ["--resolve", "--cfg", "job", "--config-name", "config", "seed=1", "epochs=2"]
    assert arguments.asking
    assert "--multirun" in parse(["seed=0,1", "-m"]).flags
    with pytest.raises(UsageError, match="must be followed by a value"):
        parse(["--package", "--cfg"])


def test_validate_shows_jobs_and_folders(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("defense=adv_training", "second_defense=none,adv_training", "dataset.limit=100")
    assert main(["validate", "-m", *words]) == 0
    out = capsys.readouterr().out
    assert "to do" in out
    assert "outputs/census/linearnet/adv_training/none/" in out
    assert "refused" in out
    assert "2 jobs, 1 to do, 1 refused" in out
    assert list(workdir.iterdir()) == []


def test_hydra_shows_the_configuration(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--cfg", "job", "-p", "defense", "defense=adv_training"]) == 0
    shown = yaml.safe_load(capfd.readouterr().out)
    assert shown["_target_"] == "amulet.evasion.defenses.AdversarialTrainingPGD"
    assert main(["run", "--cfg", "job", "defense=adv_trainin"]) == 2
    assert "`defense=adv_training`?" in capfd.readouterr().err


def test_hydra_leaves_nothing_open() -> None:
    from hydra.core.global_hydra import GlobalHydra

    with opened(None):
        assert GlobalHydra.instance().is_initialized()
    assert not GlobalHydra.instance().is_initialized()


def _plain(value: Any) -> Any:
    """A default as YAML can say it: lists for tuples."""
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def mistake(*words: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        composed(*words)
    return caught.value


def test_an_abbreviated_setting_is_recognised() -> None:
    assert mistake("defense=adv_training", "defense.eps=0.1").meant == ["defense.epsilon=0.1"]


def test_the_option_that_lacks_a_setting_is_named() -> None:
    error = mistake("-m", "attack=lira,evasion_pgd", "attack.n_shadow=4")
    assert error.what == "`attack=evasion_pgd` has no setting `n_shadow`"


def test_what_an_experiment_sweeps_over_belongs_to_its_options() -> None:
    error = mistake("+experiment=table7_census", "defense=watermark")
    assert error.what == "`+experiment=table7_census` sweeps over `defense.epsilon`, which `defense=watermark` lacks"
    assert "an experiment file of your own" in (error.expected or "")
    assert not error.meant
