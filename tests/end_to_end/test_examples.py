"""What the documentation shows runs: Figure 1 of the paper, and a user's own attack, defence, metric and data set."""

import csv
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def test_figure_1_runs_as_printed(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / "figure1.py"))
    printed = capsys.readouterr().out
    assert "accuracy of the undefended model" in printed
    assert "'fidelity':" in printed


def test_a_users_own_attack_defence_metric_and_data(tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLES / "extending", tmp_path / "mine", ignore=shutil.ignore_patterns("outputs"))
    command = [sys.executable, "-m", "amulet_cli.cli", "run", "--config-dir", "my_conf", "dataset=rings"]
    command += ["defense=gaussian_noise", "attack=fgsm", "metric=[utility,evasion,flips]", "epochs=15"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    (table,) = folder.glob("outputs/rings/linearnet/gaussian_noise/fgsm/*/seed=0/metrics.csv")
    with table.open() as file:
        found = {(row["victim"], row["metric"]): float(row["value"]) for row in csv.DictReader(file)}
    for victim in ("undefended", "defended"):
        assert found[victim, "test_accuracy"] > 0.8
        assert found[victim, "robust_accuracy"] <= found[victim, "test_accuracy"]
        flipped = 1 - found[victim, "robust_accuracy"] / found[victim, "test_accuracy"]
        assert found[victim, "flipped_by_the_attack"] == pytest.approx(flipped)


def test_a_users_options_are_listed_and_checked(tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLES / "extending", tmp_path / "mine")
    amulet = [sys.executable, "-m", "amulet_cli.cli"]
    listed = subprocess.run(
        [*amulet, "list", "attack", "--config-dir", "my_conf"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert "fgsm" in listed.stdout
    wrong = subprocess.run(
        [*amulet, "validate", "--config-dir", "my_conf", "attack=fgsm", "attack.epsilon=7"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.returncode == 2
    assert "`attack.epsilon` must satisfy 0 <= epsilon <= 1, got 7" in " ".join(wrong.stderr.replace("│", "").split())


def test_the_python_page_runs(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (EXAMPLES.parent / "python.md").read_text("utf-8")
    sources = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert sources
    for source in sources:
        exec(compile(source, "docs/python.md", "exec"), {})
    printed = capsys.readouterr().out
    assert re.search(r"^undefended: 0\.\d+ \[0\.\d+, 0\.\d+\], independent model 0\.\d+$", printed, re.MULTILINE)
    assert "\ndefended: " in printed


_KIT = """
from amulet.testing import check_attack, check_dataset, check_defense, check_metric
from my_attack import FGSM
from my_data import load_rings
from my_defense import GaussianNoise
from my_metric import flipped_by_the_attack

check_attack(FGSM, "my_conf/attack/fgsm.yaml", defenses=[GaussianNoise()])
check_defense(GaussianNoise, "my_conf/defense/gaussian_noise.yaml", attacks=[FGSM()], defenses=())
check_metric(flipped_by_the_attack, "my_conf/metric/flips.yaml")
check_dataset(load_rings, "my_conf/dataset/rings.yaml")
"""


def test_a_users_own_components_pass_the_test_kit(tmp_path: Path) -> None:
    folder = shutil.copytree(EXAMPLES / "extending", tmp_path / "mine", ignore=shutil.ignore_patterns("outputs"))
    done = subprocess.run([sys.executable, "-c", _KIT], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
