"""What a user's editor and type checker see."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import amulet
from amulet.assessment import RISKS
from amulet.core.plugins import GROUP
from amulet.training import Defense

SCRIPT = """\
import torch

import amulet
from amulet.assessment import Plan, assess
from amulet.core import Factory
from amulet.datasets import load_census
from amulet.evasion import EvasionPGD

attack = EvasionPGD(epsilon=0.05)
optimizer = Factory("torch.optim.Adam", lr=1e-3)
plan = Plan(data=load_census(limit=500), architecture=Factory("amulet.models.LinearNet"), optimizer=optimizer)
outcome = assess(plan)
reveal_type(attack.epsilon)
reveal_type(plan.epochs)
reveal_type(outcome.metrics["undefended"]["test_accuracy"])
reveal_type(amulet.evasion.EvasionPGD)
results = amulet.assess("census", defense="adv_training", attack=["model_extraction"], seeds=3)
reveal_type(results)
net = torch.nn.Linear(2, 2)
reveal_type(amulet.audit(net, (torch.rand(9, 2), torch.ones(9)), (torch.rand(9, 2), torch.ones(9)), attack="lira"))
reveal_type(amulet.load_results("outputs").to_frame())
reveal_type(results.check("bank_credit").exit_code)
reveal_type(results.refused[0].reason)
"""
SEEN = ["float | None", "int", "float", "type[EvasionPGD]", "Results", "Results", "DataFrame", "int", "str"]


def test_dir_shows_what_there_is() -> None:
    assert {"assessment", "datasets", "evasion", "training"} <= set(dir(amulet))
    assert {"assess", "audit", "load_results", "Results"} <= set(dir(amulet))
    assert amulet.evasion.EvasionPGD.risk == "evasion"
    assert "EvasionPGD" in dir(amulet.evasion)
    assert {"Plan", "assess"} <= set(dir(amulet.assessment))
    with pytest.raises(AttributeError, match="has no attribute 'EvasionPDG'"):
        _ = amulet.evasion.EvasionPDG


def test_every_class_that_the_packages_of_defences_offer_is_one() -> None:
    root = Path(amulet.__file__).parent
    packages = [
        importlib.import_module(f"amulet.{one.parent.parent.name}.defenses")
        for one in root.glob("*/defenses/__init__.py")
    ]
    offered = [getattr(package, name) for package in packages for name in package.__all__]
    classes = [one for one in offered if isinstance(one, type)]
    assert len(classes) > 6
    assert all(issubclass(one, Defense) for one in classes)


def test_the_packages_of_the_public_page_are_there() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "public.md").read_text("utf-8")
    packages = set(re.findall(r"`amulet\.([a-z]\w*)`", page)) - {GROUP.removeprefix("amulet.")}
    assert "victims" in packages
    assert packages <= set(dir(amulet))


@pytest.mark.parametrize("risk", list(RISKS))
def test_a_risks_package_offers_its_attacks_and_defences(risk: str) -> None:
    package = getattr(amulet, risk)
    for name in package.__all__:
        assert getattr(package, name).__name__ == name


def test_a_type_checker_knows_the_types(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict", "reportMissingTypeStubs": "none"}')
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "script.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "\n0 errors" in run.stdout, run.stdout
    found = [line.partition(" is ")[2].strip('"') for line in run.stdout.splitlines() if "Type of" in line]
    assert found == SEEN


MYPY = """\
[mypy]
follow_imports = silent
ignore_missing_imports = true
[mypy-torch.*,torchvision.*,opacus.*,numpy.*,scipy.*,sklearn.*,matplotlib.*,pydantic.*,hydra.*,omegaconf.*,rich.*,PIL.*]
follow_imports = skip
"""
"""Other packages' types take long to read, and are not what is tested."""


def test_mypy_knows_the_types_of_a_run_from_python(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(MYPY)
    (tmp_path / "script.py").write_text(
        "import amulet\n"
        'results = amulet.assess("census", attack=["lira"], seeds=3)\n'
        "reveal_type(results)\n"
        'reveal_type(results.check("bank_credit").exit_code)\n'
        "reveal_type(results.refused[0].reason)\n"
        'amulet.assess("census", sedes=3)\n'
    )
    command = [sys.executable, "-m", "mypy", "--python-executable", sys.executable, "script.py"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = [line.partition(": ")[2] for line in run.stdout.splitlines()]
    types = ["amulet_cli.python.results.Results", "int", "str"]
    assert found[:3] == [f'note: Revealed type is "{name}"' for name in types], run.stdout + run.stderr
    assert 'Unexpected keyword argument "sedes"' in found[3]
    assert run.stdout.endswith("Found 1 error in 1 file (checked 1 source file)\n")
