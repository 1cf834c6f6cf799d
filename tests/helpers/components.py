"""Every attack and defence of the configuration groups, with settings tiny enough for tests."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from amulet.assessment import Outcome
from amulet.core import Attack, Factory
from amulet.training import Defense

CONF = Path(__file__).resolve().parents[2] / "conf"
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


def assert_sound(outcome: Outcome, victims: int) -> None:
    assert len(outcome.metrics) == victims
    for victim, metrics in outcome.metrics.items():
        assert "test_accuracy" in metrics
        for name, value in metrics.items():
            if not math.isfinite(value):  # a number that cannot be had is explained
                stem = name.rpartition(".")[2].split("_at_")[0]
                assert any(stem in w or "TPR" in w for w in outcome.warnings), (victim, name, outcome.warnings)
