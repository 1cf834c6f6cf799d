"""Every option in conf/ says what its class says: names, defaults, risk, stage; and every class has an option."""

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from amulet.assessment import RISKS
from amulet.core import Attack, Factory
from amulet.testing.schema import unwritten
from amulet.training import Defense
from amulet_cli.config.options import is_suite

CONF = Path(__file__).resolve().parents[2] / "conf"
OPTIONS = sorted(
    p
    for group in ("dataset", "model", "defense", "attack")
    for p in (CONF / group).glob("*.yaml")
    if p.stem != "custom" and not is_suite(OmegaConf.load(p))
)


def content(path: Path) -> dict[str, Any]:
    loaded = OmegaConf.to_container(OmegaConf.load(path))
    assert isinstance(loaded, dict)
    return {str(key): value for key, value in loaded.items()}


@pytest.mark.parametrize("path", OPTIONS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_an_option_says_what_its_class_says(path: Path) -> None:
    option = content(path)
    about, target = option.pop("about"), option.pop("_target_")
    assert about["line"]
    if target is None:
        assert path.stem == "none"
        return
    assert about["source"]
    made = Factory(target).load()
    parameters = inspect.signature(made).parameters.values()
    defaults = {
        p.name: list(p.default) if isinstance(p.default, tuple) else p.default
        for p in parameters
        if p.kind is p.KEYWORD_ONLY
    }
    if "depth" in defaults and (number := re.search(r"\d+$", path.stem)):  # vgg11, vgg13, ...: one class
        defaults["depth"] = int(number[0])
    assert option == defaults
    if path.parent.name in ("defense", "attack"):
        assert isinstance(made, type)
        assert issubclass(made, Defense if path.parent.name == "defense" else Attack)
        assert about["risk"] == made.risk
        assert made.risk in RISKS
    if isinstance(made, type) and issubclass(made, Defense):
        assert about["stage"] == made.stage


@pytest.mark.parametrize("group", ["attack", "defense"])
def test_every_class_that_a_risk_exports_has_an_option(group: str) -> None:
    kind = Attack if group == "attack" else Defense
    exported: set[type] = set()
    for risk in RISKS.values():
        module = importlib.import_module(f"{risk.protocol.removesuffix('.protocol')}.{group}s")
        found = (getattr(module, name) for name in module.__all__)
        exported |= {one for one in found if isinstance(one, type) and issubclass(one, kind)}
    targets = [content(path)["_target_"] for path in (CONF / group).glob("*.yaml")]
    chosen = {Factory(target).load() for target in targets if target}
    bases = {base for one in exported for base in one.__mro__[1:]}
    assert {one for one in exported - bases if not unwritten(one)} <= chosen


def test_every_metric_option_names_a_risk() -> None:
    for path in (CONF / "metric").glob("*.yaml"):
        ((name, option),) = content(path).items()
        assert name == path.stem
        assert option["risk"] is None or option["risk"] in RISKS
