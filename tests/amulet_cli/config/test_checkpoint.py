"""Weights that are given: read without running anything, attacked as they are, never trained without a word."""

import dataclasses
import hashlib
import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from amulet.assessment import Outcome, Plan, assess, check
from amulet.core import Factory, IncompatibleError, SettingError
from amulet.datasets import load_census
from amulet.discriminatory_behavior.attacks import DiscriminatoryBehavior
from amulet.distribution_inference.attacks import DistributionInference
from amulet.evasion.attacks import EvasionPGD
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.membership_inference.attacks import LiRA, PopulationAttack
from amulet.models import LinearNet
from amulet.poisoning.attacks import BadNets
from amulet.training import Defense, MemoryStore, Pretrained, Recipe, Runtime, Stored
from amulet.training.state_dicts import fitting
from amulet.unauth_model_ownership.attacks import ModelExtraction
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.config import checkpoint
from amulet_cli.results.result import config_hash
from amulet_cli.results.store import DiskStore

CENSUS = load_census(limit=400)
torch.manual_seed(0)
MODEL = LinearNet(CENSUS.shape, 2, hidden=[8])
WEIGHTS = MODEL.state_dict()
GIVEN = Pretrained(WEIGHTS, "0" * 64)
KNOWN = dataclasses.replace(GIVEN, recipe_known=True)


def plan(**changes: Any) -> Plan:
    base = Plan(
        data=CENSUS,
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        optimizer=Factory("torch.optim.Adam", lr=1e-2),
        epochs=1,
        pretrained=GIVEN,
    )
    return dataclasses.replace(base, **changes)


def read(path: Path) -> dict[str, Any]:
    found = checkpoint.stamped(str(path))
    assert found is not None
    return dict(checkpoint.weights(**found))


class Creates:
    """Pickles to a call that makes a file where it is loaded."""

    def __init__(self, target: Path) -> None:
        self.target = str(target)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, str]]:
        return open, (self.target, "w")


def _torch(made: object, file: Path) -> None:
    torch.save({"weight": made}, file)


def _old_torch(made: object, file: Path) -> None:
    torch.save(made, file, _use_new_zipfile_serialization=False)


def _text(made: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(made, protocol=0))


def _plain(made: object, file: Path) -> None:
    file.write_bytes(pickle.dumps(made))


@pytest.mark.parametrize(
    ("verb", "write"),
    [*(("run", write) for write in (_torch, _old_torch, _text, _plain)), ("validate", _torch), ("audit", _torch)],
)
def test_a_malicious_pickle_is_refused_and_not_run(
    verb: str, write: Callable[[object, Path], None], workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    proof = workdir / "proof"
    write(Creates(proof), workdir / "model.pt")
    assert main([verb, "checkpoint=model.pt", "dataset.limit=200", "epochs=1"]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert "`checkpoint` is refused".replace("`", "") in shown.replace("`", "")
    assert "state_dict()" in shown
    assert "weights_only=False" not in shown, "no advice to load it all the same"
    assert not proof.exists()
    assert not (workdir / "outputs").exists()


def test_the_pickles_of_these_tests_do_run_where_they_are_loaded_carelessly(tmp_path: Path) -> None:
    proof = tmp_path / "proof"
    _torch(Creates(proof), tmp_path / "model.pt")
    torch.load(tmp_path / "model.pt", weights_only=False)["weight"].close()
    assert proof.exists()


def test_every_form_of_a_state_dict_is_read(tmp_path: Path) -> None:
    averaged = {name: value + 1 for name, value in WEIGHTS.items()}
    optimizer = torch.optim.Adam(MODEL.parameters())
    forms: dict[str, object] = {
        "plain": WEIGHTS,
        "nested": {"epoch": 3, "state_dict": WEIGHTS},
        "parallel": {"model_state_dict": {f"module.{name}": value for name, value in WEIGHTS.items()}},
        "private": {f"_module.{name}": value for name, value in WEIGHTS.items()},
        "compiled": {f"_orig_mod.{name}": value for name, value in WEIGHTS.items()},
        "named": {"model": WEIGHTS, "optimizer": optimizer.state_dict(), "args": {"lr": 0.1}},
        "lightning": {
            "state_dict": {**{f"model.{name}": value for name, value in WEIGHTS.items()}, "loss.weight": torch.ones(2)},
            "hyper_parameters": {"width": 8},
        },
        "both": {"net": {f"module._orig_mod.{name}": value for name, value in WEIGHTS.items()}},
        "another's": {"whatever": {"inner": WEIGHTS}, "teacher": {"head.weight": torch.ones(3, 8)}},
        "kept twice": {"model": WEIGHTS, "best": {name: value.clone() for name, value in WEIGHTS.items()}},
    }
    for name, form in forms.items():
        torch.save(form, tmp_path / name)
    save_file(WEIGHTS, tmp_path / "safe")
    kept = {f"model.{name}": value for name, value in WEIGHTS.items()} | {"report.x.ids": torch.arange(3)}
    DiskStore(tmp_path).save("ours", Stored(kept, {}))
    for file in (*forms, "safe", "ours.safetensors"):
        found = fitting(read(tmp_path / file), WEIGHTS).weights
        assert found.keys() == WEIGHTS.keys(), file
        assert all(torch.equal(found[name], WEIGHTS[name]) for name in WEIGHTS)
    torch.save({"model": WEIGHTS, "ema": averaged}, tmp_path / "two")
    with pytest.raises(SettingError, match="the entry `model` and the entry `ema` both fit: save the one"):
        fitting(read(tmp_path / "two"), WEIGHTS)


def test_what_was_taken_of_a_checkpoint_is_said() -> None:
    inner = {f"model.{name}": value for name, value in WEIGHTS.items()} | {"loss.weight": torch.ones(2)}
    outcome = assess(plan(pretrained=Pretrained({"state_dict": inner}, "1" * 64), metrics=("utility",)))
    taken = "the entry `state_dict`, the names without `model.`, nothing of loss.weight"
    assert f"undefended: of the checkpoint was taken {taken}" in outcome.warnings
    plain = assess(plan(metrics=("utility",)))
    assert repr(plain).startswith("Outcome(undefended: ")
    assert "test_accuracy 0." in repr(plain)
    assert len(repr(plain)) < 200
    assert outcome.metrics == plain.metrics
    assert not any("was taken" in text for text in plain.warnings)


def test_a_torchscript_file_is_called_so(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is deprecated
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.pt")
    with pytest.raises(UsageError, match="is a TorchScript file") as error:
        read(tmp_path / "model.pt")
    assert "torch.jit.load(FILE).state_dict()" in str(error.value.expected)


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_a_scripted_model_is_refused_before_training() -> None:
    architecture = Factory("torch.jit.script", obj=nn.Sequential(nn.Linear(42, 2)))
    recipe = Recipe(architecture=architecture, num_classes=2, optimizer=Factory("torch.optim.Adam"))
    with pytest.raises(SettingError, match=r"makes a scripted module .* give the module itself"):
        recipe.try_out(CENSUS.train)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (nn.Linear(2, 2), "holds more than weights (`torch.nn.modules.linear.Linear`)"),
        ([1, 2], "must hold a state dict, got list"),
        ({}, "must hold a state dict"),
        ({"weight": torch.ones(2), "epoch": 3}, "must hold tensors alone, got int in epoch"),
        (b"\x08\0\0\0\0\0\0\0{truncated", "damaged safetensors"),
        (b"PK\x03\x04 cut off", "damaged, or no checkpoint"),
        (b"", "damaged, or no checkpoint"),
    ],
)
def test_what_holds_no_weights_is_refused(content: object, expected: str, tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    file.write_bytes(content) if isinstance(content, bytes) else torch.save(content, file)
    with pytest.raises(UsageError) as error:
        read(file)
    assert expected in error.value.what
    assert error.value.where == str(file)


def test_a_file_that_changes_meanwhile_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.pt"
    torch.save(WEIGHTS, file)
    found = checkpoint.stamped(str(file))
    assert found is not None
    assert found["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    file.write_bytes(b"another")
    with pytest.raises(UsageError, match="has changed"):
        checkpoint.weights(**found)


def test_the_content_shapes_a_result_and_the_place_does_not() -> None:
    one = {"epochs": 1, "checkpoint": {"file": "a.pt", "sha256": "1"}, "recipe": "unknown"}
    assert config_hash(one) == config_hash({**one, "checkpoint": {"file": "b.pt", "sha256": "1"}})
    assert config_hash(one) != config_hash({**one, "checkpoint": {"file": "a.pt", "sha256": "2"}})
    assert config_hash(one) != config_hash({**one, "recipe": "given"})
    assert config_hash(one) == config_hash({**one, "members": "unknown"}) != config_hash({**one, "members": "given"})
    without = {"epochs": 1, "checkpoint": None, "recipe": "given"}
    assert config_hash(without) == config_hash({"epochs": 1})


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"head.weight": WEIGHTS["head.weight"]}, r"it lacks body.1.weight, body.1.bias, head.bias$"),
        ({**WEIGHTS, "tail": torch.ones(1)}, "it has in excess tail"),
        ({**WEIGHTS, "head.bias": torch.tensor([1.0, float("nan")])}, "its values are not finite in head.bias"),
        (
            {"net": {"a.head.weight": WEIGHTS["head.weight"]}},
            r"it lacks .* \(in the entry `net`, the names without `a\.`",
        ),
        ({**WEIGHTS, "head.bias": torch.ones(3)}, r"it has head.bias \(3,\) instead of \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_named(state: dict[str, Tensor], expected: str) -> None:
    with pytest.raises(SettingError, match=expected):
        assess(plan(pretrained=Pretrained(state, "0" * 64)))


def test_the_given_model_is_attacked_as_it_is_and_nothing_is_trained_in_its_name() -> None:
    store = MemoryStore()
    runtime = Runtime(store=store)
    for attack in (EvasionPGD(steps=2), DiscriminatoryBehavior(), ModelExtraction()):
        outcome = assess(plan(attack=attack, runtime=runtime))
        answers = MODEL(CENSUS.test.inputs()).argmax(dim=1)
        right = (answers == CENSUS.test.y).double().mean().item()
        assert outcome.metrics["undefended"]["test_accuracy"] == pytest.approx(right)
        assert "train_accuracy" not in outcome.metrics["undefended"]
        assert outcome.manifest["training"]["undefended"] == {"checkpoint": "0" * 16, "recipe": "unknown"}
        assert any("trained on is unknown" in text for text in outcome.warnings)
    trained = [key for key in store._kept if not key.startswith("measured-")]  # pyright: ignore[reportPrivateUsage]
    assert 2 <= len(trained) <= 3, "a stolen and an independent model, and where evasion leaves any the surrogate"


@pytest.mark.parametrize("attack", [BadNets(), LiRA(), DistributionInference()])
def test_what_trains_anew_needs_the_recipe(attack: Any) -> None:
    for data in (CENSUS, None):
        with pytest.raises(IncompatibleError, match=r"trains the victim again .* is unknown.* recipe=given"):
            check(plan(attack=attack, data=data))
    assert any("trained again" in text for text in check(plan(attack=attack, data=None, pretrained=KNOWN)))


def test_members_are_told_by_their_owner() -> None:
    told = dataclasses.replace(GIVEN, members_known=True)
    outcome = assess(plan(attack=PopulationAttack(), pretrained=told))
    assert outcome.manifest["membership_inference"]["undefended"]["members"] == len(CENSUS.train)
    with pytest.raises(IncompatibleError, match="members=given"):
        check(plan(attack=PopulationAttack(), data=None))
    with pytest.raises(IncompatibleError, match="trains the victim again"):
        check(plan(attack=LiRA(), pretrained=told))


class _After(Defense):
    risk = "evasion"
    stage = "after"


def test_a_defence_needs_the_recipe_or_the_records() -> None:
    with pytest.raises(IncompatibleError, match=r"AdversarialTrainingPGD has to train .* recipe=given"):
        check(plan(defenses=(AdversarialTrainingPGD(),)))
    for given in (GIVEN, KNOWN):
        with pytest.raises(IncompatibleError, match="_After verifies by the records"):
            check(plan(defenses=(_After(),), pretrained=given))


def test_with_the_recipe_given_the_defended_victim_is_trained_and_the_other_is_not() -> None:
    words: dict[str, Any] = {"defenses": (AdversarialTrainingPGD(steps=1),), "metrics": ("utility",)}
    outcome = assess(plan(pretrained=KNOWN, **words))
    trained = assess(plan(pretrained=None, **words))
    assert outcome.metrics["defended"] == trained.metrics["defended"]
    assert outcome.metrics["undefended"] != trained.metrics["undefended"]
    assert any("the undefended one is the checkpoint" in text for text in outcome.warnings)
    poisoned = assess(plan(pretrained=KNOWN, attack=BadNets()))
    assert poisoned.manifest["poisoning"]["undefended"]["training"]["epochs"] == 1


class _Wider(AdversarialTrainingPGD):
    def adapt(self, architecture: Factory) -> Factory:
        return architecture.with_settings(hidden=[12])


def test_a_defence_with_another_architecture_leaves_the_given_one() -> None:
    outcome = assess(plan(pretrained=KNOWN, defenses=(_Wider(steps=1),), metrics=("utility",)))
    assert set(outcome.metrics) == {"undefended", "defended"}
    assert any("another architecture" in text for text in outcome.warnings)


def test_a_run_on_a_checkpoint(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.save(WEIGHTS, workdir / "model.pt")
    words = ["run", "model.hidden=[8]", "dataset.limit=200", "epochs=1", "attack=evasion_pgd", "attack.steps=2"]
    assert main([*words, "checkpoint=model.pt"]) == 0, capsys.readouterr().err
    assert "checkpoint=model.pt" in capsys.readouterr().out, "the next command names it too"
    (metrics,) = workdir.rglob("metrics.json")
    assert json.loads(metrics.read_text())["overrides"]["checkpoint"] == "model.pt"
    assert "sha256" in (metrics.parent / "config.yaml").read_text()
    (workdir / "model.pt").rename(workdir / "moved.pt")
    assert main([*words, "checkpoint=moved.pt"]) == 0
    assert "done before" in capsys.readouterr().err
    assert main([*words, "checkpoint=moved.p"]) == 2
    assert "checkpoint=moved.pt" in capsys.readouterr().err
    assert main([*words, "checkpoint=moved.pt", "model.hidden=[9]"]) == 2
    assert "does not fit" in capsys.readouterr().err
    assert main([*words, "checkpoint=3"]) == 2
    assert main([*words, "checkpoint=moved.pt", "attack=badnets", "~attack.steps"]) == 2


def test_a_model_of_another_encoding_is_refused_or_warned_of() -> None:
    """The columns in another order: the model answers, and is worse than its owner knows it to be."""
    data, store = load_census(limit=4000), MemoryStore()
    base = plan(data=data, attack=DiscriminatoryBehavior())
    trained = assess(dataclasses.replace(base, pretrained=None, epochs=15, runtime=Runtime(store=store)))
    accuracy = trained.metrics["undefended"]["test_accuracy"]
    kept = store._kept  # pyright: ignore[reportPrivateUsage]
    (tensors,) = (stored.tensors for key, stored in kept.items() if not key.startswith("measured-"))
    weights = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    other = {name: tensor.flip(1) if tensor.ndim == 2 else tensor for name, tensor in weights.items()}

    def given(state: dict[str, Tensor], stated: float | None) -> Outcome:
        return assess(dataclasses.replace(base, pretrained=Pretrained(state, f"{stated}" * 8, accuracy=stated)))

    known = given(weights, round(accuracy, 3))
    assert known.metrics["undefended"]["test_accuracy"] == accuracy
    assert not any("nothing shows" in text for text in known.warnings)
    assert known.manifest["dataset"]["columns"] == list(data.feature_names or ())
    with pytest.raises(SettingError, match="its inputs have another order or scale"):
        given(other, accuracy)
    (warning,) = (text for text in given(other, None).warnings if "nothing shows" in text)
    assert "always answering the majority class" in warning
    assert "hardly better" in warning
