"""`amulet audit`: every attack at once, on ours and on a user's own model."""

import dataclasses
import io
import json
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from amulet.assessment.literature import FAMILIES, expected
from amulet.assessment.risks import RISKS
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.training import Defense
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.config.hydra_setup import conf_dir
from amulet_cli.config.options import is_suite
from amulet_cli.results.result import Result
from amulet_cli.views.audit_tables import audit_tables
from tests.helpers.cli_helpers import own_options
from tests.helpers.made_up_results import MadeUp, choices, write

_MODULE = """
from torch import nn


class Wide(nn.Sequential):
    def __init__(self, input_shape, num_classes, *, width: int = 16):
        super().__init__(nn.Flatten(), nn.Linear(input_shape[0], width), nn.ReLU(), nn.Linear(width, num_classes))


def fixed():
    return nn.Linear(42, 2)
"""
SMALL = ("dataset.limit=400", "epochs=1", "batch_size=64", "workers=1")


@pytest.fixture
def own(workdir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a user's own models and options."""
    own_options(workdir)
    (workdir / "my_nets.py").write_text(_MODULE)
    (workdir / "my_conf/attack/needy.yaml").unlink()
    (workdir / "my_conf/attack/absent.yaml").unlink()
    monkeypatch.syspath_prepend(str(workdir))
    monkeypatch.setenv("COLUMNS", "120")
    return workdir


def shown(results: list[Result]) -> str:
    text = io.StringIO()
    Console(file=text, width=200).print(audit_tables(results))
    return text.getvalue()


def test_all_attacks_and_those_of_the_user(own: Path) -> None:
    from amulet_cli.commands.audit import every_attack

    arguments = every_attack(parse(["defense=adv_training", "--config-dir", "my_conf", "seed=range(0,2)"]))
    files = {file.stem: yaml.safe_load(file.read_text()) for file in (conf_dir() / "attack").glob("*.yaml")}
    names = {name for name, node in files.items() if not is_suite(node)} - {"none"} | {"noise"}
    request = compose(arguments)
    assert request.sweep
    assert {job.choices["attack"] for job in request.jobs} == names
    assert len(request.jobs) == 2 * len(names)
    assert len(compose(every_attack(parse(["attack=lira"]))).jobs) == 1


@pytest.mark.parametrize(
    ("words", "text"), [("attack.steps=3", "a setting of one attack"), ("--cfg job", "shows one run")]
)
def test_what_an_audit_cannot_do(words: str, text: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", *words.split()]) == 2
    assert text in capsys.readouterr().err


def test_an_audit_shares_runs_and_models_and_goes_on(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("defense=adv_training", "defense.steps=1", *SMALL, "--config-dir", "my_conf")
    assert main(["run", *words, "attack=badnets"]) == 0
    attacks = "evasion_pgd,noise,badnets,discriminatory_behavior"
    capsys.readouterr()
    assert main(["audit", *words, f"attack={attacks}"]) == 0
    found = capsys.readouterr()
    assert "4 runs: 3 to do, 1 done before" in found.err
    assert "train undefended: 1 epoch" not in found.err, "the victims of the run before"
    assert "4 jobs: 3 done, 1 skipped" in " ".join(found.out.split())
    place = [found.out.index(text) for text in ("Audit, risk by risk", "Utility", "S1 evasion", "S2 data poisoning")]
    assert place == sorted(place)
    evasion = found.out[place[2] : place[3]]
    assert "evasion_pgd\n" in evasion
    assert "noise\n" in evasion, "two attacks on one risk, one under the other"
    assert "attack_success_rate" not in evasion
    assert "expected by the literature  falls under adversarial training" in evasion
    assert "measured here" in evasion
    assert "baseline" in evasion
    assert found.out.count("test_accuracy ↓") == 2, "once under utility, once of the poisoned model"


def test_a_failed_run_shows_in_its_table_and_in_the_exit_code(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    option = own / "my_conf/attack/noise.yaml"
    option.write_text(option.read_text().replace("fail: false", "fail: true"))
    words = ("--config-dir", "my_conf", "attack=noise,discriminatory_behavior")
    assert main(["audit", *words, *SMALL]) == 1
    out = capsys.readouterr().out
    evasion = out[out.index("S1 evasion") : out.index("F discriminatory")]
    assert "failed  noise: RuntimeError: the sky fell" in evasion
    assert "equalized_odds_difference" in out


def test_a_users_own_model_and_its_checkpoint(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ("model=my_nets:Wide", "model.width=8")
    attacks = "attack=discriminatory_behavior,model_extraction,lira"
    assert main(["run", *model, *SMALL]) == 0
    (trained,) = (own / "outputs/models").glob("*.safetensors")
    first = json.loads(next(own.rglob("metrics.json")).read_text())
    assert first["choices"]["model"] == "custom"
    assert first["overrides"]["model._target_"] == "my_nets.Wide"
    capsys.readouterr()
    given = f"checkpoint={trained.relative_to(own)}"
    assert main(["audit", *model, *SMALL, attacks, given]) == 0
    out = capsys.readouterr().out
    assert "3 jobs: 2 done, 1 refused" in " ".join(out.split())
    membership = out[out.index("P1 membership") :]
    assert "refused  lira: membership inference trains the victim again" in membership
    (extraction,) = own.glob("outputs/census/custom/none/model_extraction/*/*/metrics.json")
    second = json.loads(extraction.read_text())
    before, after = (one["metrics"]["undefended"]["test_accuracy"] for one in (first, second))
    assert before == after, "the checkpoint is the model that the run had trained"


@pytest.mark.parametrize("verb", ["run", "validate"])
def test_a_function_that_takes_nothing_is_a_model_too(verb: str, own: Path) -> None:
    assert main([verb, "model=my_nets:fixed", *SMALL]) == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("model=my_nets.py:Wide", "model=my_nets:Wide"),
        ("model=./my_nets.py:Wide", "model=my_nets:Wide"),
        ("model=my_nets:", "is not module:Class"),
        ("model=my_nets:Wid", "my_nets.Wide"),
        ("model=my_net:Wide", "there is no module"),
        ("model=my_nets:Wide model.widht=3", "model.width"),
        ("model=my_nets:Wide model.width=wide", "must be a whole number"),
        ("model=linearnet,my_nets:Wide -m", "is not module:Class"),
        ("model=my_attacks:ForImages", "does not fit inputs of shape (42,)"),
        ("model=my_attacks:Noise", "must make a torch.nn.Module"),
        ("model=custom", "model._target_"),
    ],
)
def test_mistakes_with_a_model(words: str, text: str, own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", *words.split(), *SMALL]) == 2
    assert text in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_several_own_models_are_swept(own: Path) -> None:
    request = compose(parse(["-m", "model=my_nets:Wide,my_nets:fixed"]))
    assert [job.config["model"]["_target_"] for job in request.jobs] == ["my_nets.Wide", "my_nets.fixed"]
    with pytest.raises(UsageError, match="`my-nets:Wide` is not module:Class"):
        parse(["model=my-nets:Wide"])


def _many(tmp_path: Path, seeds: int, shift: float) -> list[Result]:
    chosen = choices(attack="evasion_pgd")
    results = []
    for seed in range(seeds):
        row = {"test_accuracy": 0.84, "robust_accuracy": 0.5 + 0.01 * (seed % 3), "fidelity_kappa": 0.9}
        other = {**row, "robust_accuracy": row["robust_accuracy"] + shift + 0.001 * (seed % 2)}
        made = MadeUp({"undefended": row, "defended": other}, {"undefended": {"robust_accuracy": 0.84}})
        settings = {"attack._target_": "amulet.evasion.attacks.EvasionPGD"}
        result = write(tmp_path, made, seed=seed, chosen=chosen, overrides=settings)
        results.append(dataclasses.replace(result, warnings=("beware", f"`x` of {seed}")))
    return results


def test_over_ten_seeds_there_is_a_verdict_beside_the_expectation(tmp_path: Path) -> None:
    text = shown(_many(tmp_path, 10, 0.2))
    assert "expected by the literature  falls under adversarial training" in text
    assert "measured here               robust_accuracy: the risk falls" in text
    assert "fidelity_kappa" not in text, "measured beside the attack, which has its own run in an audit"
    assert "50.90 ± " in text
    assert "84.00" in text, "the baseline"
    assert text.count("beware") == 1
    assert "No verdicts" not in text


def test_below_ten_seeds_there_is_none(tmp_path: Path) -> None:
    text = shown(_many(tmp_path, 3, 0.2))
    assert "robust_accuracy: +20.03 [+19.9, +20.2] over 3 seeds, better for the victim" in text
    assert "No verdicts: they need 10 seeds" in text
    assert "over 3 seeds, 0 is in the interval" in shown(_many(tmp_path / "none", 3, -0.0005))
    assert "robust_accuracy: -20.00 on 1 seed" in shown(_many(tmp_path / "one", 1, -0.2))


def test_the_literature_is_complete_and_read_right() -> None:
    def cell(family: str, code: str) -> str:
        found = expected(family, code)
        assert found is not None
        return found.direction

    assert [cell("differential privacy", code) for code in ("S1", "S3", "P1", "P2", "P4", "F")] == [
        "rises",
        "unexplored",
        "falls",
        "falls",
        "falls",
        "rises",
    ]
    assert (cell("adversarial training", "P2"), cell("adversarial training", "P3")) == ("unexplored", "rises")
    assert (cell("outlier removal", "P2"), cell("outlier removal", "P3")) == ("rises", "unexplored")
    every = [cell(name, risk.code) for name in FAMILIES for risk in RISKS.values()]
    counts = {word: every.count(word) for word in ("rises", "falls", "unexplored")}
    assert counts == {"rises": 24, "falls": 11, "unexplored": 13}
    fairness = expected("group fairness", "P2")
    assert fairness is not None
    assert "adaptive adversary" in fairness.note


def test_the_literature_knows_subclasses_and_says_nothing_of_others() -> None:
    class Mine(AdversarialTrainingPGD):
        pass

    found = expected(Mine.family, "S2")
    assert found is not None
    assert (found.family, found.direction) == ("adversarial training", "rises")
    assert expected(Defense.family, "S2") is None
    assert expected(Mine.family, "X1") is None
