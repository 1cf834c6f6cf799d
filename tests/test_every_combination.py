"""Every attack against every defence, and pairs of defences, on a tiny census: finite metrics, or a reason."""

import math
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from amulet.core import Attack, Factory, Refused
from amulet.datasets import load_census
from amulet.interactions import Outcome, Plan, assess, check
from amulet.training import Defense, MemoryStore, Runtime

CONF = Path(__file__).parent.parent / "conf"
CENSUS = load_census(limit=1200)
RUNTIME = Runtime(store=MemoryStore())
TINY: dict[str, dict[str, Any]] = {
    "evasion_pgd": {"steps": 5},
    "model_extraction": {"suspects": 1, "independents": 2, "fine_tune_epochs": 1},
    "lira": {"n_shadow": 4},
    "model_inversion": {"steps": 50},
    "distribution_inference": {"n_models": 3, "ratio_1": 0.4},
    "attribute_inference": {"epochs": 2},
    "adv_training": {"steps": 2},
    "adv_debiasing": {"ramp": 1},
    "watermark": {"triggers": 20},
}


def option(group: str, name: str) -> Any:
    """An option of conf/, built with tiny settings where it has those."""
    loaded = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    assert isinstance(loaded, Mapping)
    target = loaded["_target_"]
    if target is None:
        return None
    component = Factory(target).build()
    assert isinstance(component, Attack | Defense)
    tiny = {key: value for key, value in TINY.get(name, {}).items() if key in component.parameters()}
    return component.changed(**tiny)


ATTACKS = sorted(path.stem for path in (CONF / "attack").glob("*.yaml"))
DEFENSES = sorted(path.stem for path in (CONF / "defense").glob("*.yaml"))


def run(attack: str, *defenses: str) -> Outcome:
    chosen = tuple(made for name in defenses if (made := option("defense", name)) is not None)
    return assess(
        Plan(
            data=CENSUS,
            architecture=Factory("amulet.models.LinearNet", hidden=[16]),
            optimizer=Factory("torch.optim.Adam", lr=1e-2),
            epochs=2,
            batch_size=64,
            attack=option("attack", attack),
            defenses=chosen,
            runtime=RUNTIME,
        )
    )


def assert_sound(outcome: Outcome, victims: int) -> None:
    assert len(outcome.metrics) == victims
    for victim, metrics in outcome.metrics.items():
        assert "test_accuracy" in metrics
        for name, value in metrics.items():
            if not math.isfinite(value):  # a number that cannot be had is explained
                stem = name.rpartition(".")[2].split("_at_")[0]
                assert any(stem in w or "TPR" in w for w in outcome.warnings), (victim, name, outcome.warnings)


@pytest.mark.parametrize(("attack", "defense"), list(product(ATTACKS, DEFENSES)))
def test_any_attack_against_any_defence(attack: str, defense: str) -> None:
    outcome = run(attack, defense)
    assert_sound(outcome, 1 if defense == "none" else 2)
    wanted = option("attack", attack)
    if wanted is not None:
        assert wanted.risk in outcome.manifest
    made = option("defense", defense)
    if made is not None:
        assert made.risk in outcome.manifest, "the defence's own risk is measured too"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("adv_training", "dp_sgd"),
        ("adv_training", "watermark"),
        ("adv_training", "dataset_inference"),
        ("outlier_removal", "dp_sgd"),
        ("dp_sgd", "adv_debiasing"),
        ("watermark", "dataset_inference"),
        ("watermark", "outlier_removal"),
    ],
)
def test_two_defences_at_once(first: str, second: str) -> None:
    outcome = run("none", first, second)
    assert_sound(outcome, 2)
    for name in (first, second):
        assert option("defense", name).risk in outcome.manifest, "both own risks are reported"
    report = outcome.manifest["training"]["defended"]
    if "dp_sgd" in (first, second):
        private = {first, second} == {"adv_training", "dp_sgd"}
        assert (report["epsilon"] is not None) == private
        assert private or any("epsilon" in w for w in outcome.warnings), outcome.warnings


def test_a_pair_of_one_defence_is_refused() -> None:
    twice = (option("defense", "dp_sgd"), option("defense", "dp_sgd"))
    with pytest.raises(Refused, match="chosen twice"):
        check(
            Plan(
                data=CENSUS,
                architecture=Factory("amulet.models.LinearNet"),
                optimizer=Factory("torch.optim.Adam"),
                defenses=twice,
            )
        )
