"""Every option in conf/ says what its class says: names, defaults, risk, stage."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from amulet.assessment import RISKS
from amulet.core import Attack, Factory
from amulet.training import Defense

CONF = Path(__file__).resolve().parents[2] / "conf"
OPTIONS = sorted(
    p
    for group in ("dataset", "model", "defense", "attack")
    for p in (CONF / group).glob("*.yaml")
    if p.stem != "custom"
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
    if isinstance(made, type) and issubclass(made, Attack | Defense):
        assert made().settings() == option
        assert repr(made()).startswith(made.__name__)


def test_every_attack_and_defence_of_the_paper_is_there() -> None:
    attacks = {p.stem for p in (CONF / "attack").glob("*.yaml")}
    defenses = {p.stem for p in (CONF / "defense").glob("*.yaml")}
    assert attacks == {
        "none",
        "evasion_pgd",
        "badnets",
        "model_extraction",
        "lira",
        "attribute_inference",
        "model_inversion",
        "distribution_inference",
        "discriminatory_behavior",
    }
    assert defenses == {
        "none",
        "adv_training",
        "outlier_removal",
        "watermark",
        "dataset_inference",
        "dp_sgd",
        "adv_debiasing",
    }


def test_every_metric_option_names_a_risk() -> None:
    for path in (CONF / "metric").glob("*.yaml"):
        ((name, option),) = content(path).items()
        assert name == path.stem
        assert option["risk"] is None or option["risk"] in RISKS
