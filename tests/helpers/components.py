"""Every attack and defence of the configuration groups, with settings tiny enough for tests."""

import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from amulet.assessment import RISKS, Outcome
from amulet.assessment.plan import protocol_of
from amulet.core import Attack, Factory
from amulet.testing import tiny
from amulet.training import Defense
from amulet_cli.config.options import is_suite

CONF = Path(__file__).resolve().parents[2] / "conf"
DATAS_OWN: dict[str, Any] = {"ratio_1": 0.4, "ratio_2": 0.6}
"""By hyper-parameter, whatever component has it: what two thousand people can give."""


@cache
def _target(group: str, name: str) -> str | None:
    """The class of an option of conf/."""
    loaded = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(loaded, DictConfig)
    return loaded["_target_"]


def option(group: str, name: str) -> Any:
    """An option of conf/, built with tiny settings where it has those."""
    target = _target(group, name)
    if target is None:
        return None
    component = Factory(target).build()
    assert isinstance(component, Attack | Defense)
    return with_settings(tiny(component), DATAS_OWN)


def with_settings(component: Any, settings: Mapping[str, Any]) -> Any:
    """The component with those of the settings that it has."""
    return component.changed(**{name: value for name, value in settings.items() if name in component.parameters()})


def quick_defaults(data: Mapping[str, Any] = DATAS_OWN) -> dict[str, dict[str, Any]]:
    """What to change in the default attack on each risk, so that a test can wait for it: `Plan.attack_settings`."""
    found: dict[str, dict[str, Any]] = {}
    for risk in RISKS:
        usual = protocol_of(risk).default_attack(())
        quick = with_settings(tiny(usual), data).settings()
        found[risk] = {name: value for name, value in quick.items() if value != usual.settings()[name]}
    return found


ATTACKS = sorted(path.stem for path in (CONF / "attack").glob("*.yaml") if not is_suite(OmegaConf.load(path)))
DEFENSES = sorted(path.stem for path in (CONF / "defense").glob("*.yaml"))


def pairs(part: int, parts: int = 3) -> list[tuple[str, str]]:
    """A part of all pairs of attack and defence, so that every attack and every defence is in each part."""
    return [
        (attack, defense)
        for i, attack in enumerate(ATTACKS)
        for k, defense in enumerate(DEFENSES)
        if (i + k) % parts == part
    ]


def assert_sound(outcome: Outcome, victims: int) -> None:
    assert len(outcome.metrics) == victims
    for victim, metrics in outcome.metrics.items():
        assert "test_accuracy" in metrics
        for name, value in metrics.items():
            if not math.isfinite(value):  # a number that cannot be had is explained
                stem = name.rpartition(".")[2].split("_at_")[0]
                assert any(stem in w or "TPR" in w for w in outcome.warnings), (victim, name, outcome.warnings)
