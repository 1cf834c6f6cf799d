"""Amulet's own components pass through the test kit, all that the configuration groups have."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from amulet.assessment import RISKS
from amulet.assessment.plan import protocol_of
from amulet.core import Attack, Factory
from amulet.testing import check_attack, check_dataset, check_defense, check_metric
from amulet.testing.attacks import every_defense, quick_attack
from amulet.training import Defense
from amulet_cli.config.options import SUITE
from amulet_cli.views.combinations import datasets

CONF = Path(__file__).resolve().parents[2] / "conf"


def options(group: str) -> dict[str, tuple[Path, str]]:
    """File and target of every option that has one."""
    found = {path.stem: (path, target_of(path)) for path in sorted((CONF / group).glob("*.yaml"))}
    return {name: (path, target) for name, (path, target) in found.items() if target not in ("", SUITE)}


def target_of(path: Path) -> str:
    return str(yaml.safe_load(path.read_text(encoding="utf-8"))["_target_"] or "")


def made(kind: str, target: str) -> Any:
    found = Factory(target).load()
    assert isinstance(found, type)
    assert issubclass(found, Attack if kind == "attack" else Defense)
    return found


ATTACKS, DEFENSES, DATASETS = options("attack"), options("defense"), options("dataset")


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    path, target = ATTACKS[name]
    # Against every defence they are run by test_every_combination.py.
    check_attack(made("attack", target), path, defenses=())


@pytest.mark.parametrize("name", DEFENSES)
def test_defence(name: str) -> None:
    path, target = DEFENSES[name]
    kind = made("defense", target)
    check_defense(kind, path, attacks=[quick_attack(kind.risk)], defenses=())


@pytest.mark.parametrize("risk", RISKS)
def test_metrics(risk: str) -> None:
    check_metric(protocol_of(risk).measure, risk=risk)


@pytest.mark.parametrize("name", sorted(set(DATASETS) & set(datasets())))
def test_data_set(name: str, request: pytest.FixtureRequest) -> None:
    path, target = DATASETS[name]
    settings: dict[str, Any] = {"limit": 300}
    if name != "census":  # ships with the package; the others must be there
        folder = Path(request.getfixturevalue("data_folder")) / name
        if not folder.is_dir():
            pytest.skip(f"{folder} is not there")
        settings["root"] = str(folder)
    check_dataset(Factory(target).load(), path, **settings)


def test_the_kit_knows_every_defence_of_the_group() -> None:
    assert {type(defense) for defense in every_defense()} == {
        made("defense", target) for _, target in DEFENSES.values()
    }


def test_an_attack_meets_every_defence_of_the_kit() -> None:
    path, target = ATTACKS[min(ATTACKS)]
    check_attack(made("attack", target), path)


def test_a_defence_meets_every_risk_and_defence_of_the_kit() -> None:
    path, target = DEFENSES[min(DEFENSES)]
    check_defense(made("defense", target), path)
