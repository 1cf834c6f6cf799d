"""What is installed beside Amulet, or lies in a user's folder, is in every verb as Amulet's own is."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from amulet_cli.execution.launchers import is_installed
from tests.helpers.documentation import commands, shortened

JOBLIB = "hydra_plugins.hydra_joblib_launcher"
EXAMPLE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "plugin"
TINY = ("dataset.limit=400", "epochs=2", "model.hidden=[8]", "workers=1")

_ALL = """
import contextlib, io, json, sys
from amulet_cli.cli import main
shown = []
for words in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        code = main(words)
    shown.append([code, " ".join(out.getvalue().split()), err.getvalue()])
print(json.dumps(shown))
"""


def amulet(commands: Sequence[Sequence[str]], cwd: Path, *path: Path) -> list[str]:
    """What the commands print, one after the other in one process that finds modules in `path`; all must succeed."""
    found = os.pathsep.join([*map(str, path), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": found, "COLUMNS": "150", "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", _ALL, json.dumps(commands)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    printed: list[str] = []
    for (code, out, err), words in zip(json.loads(run.stdout), commands, strict=True):
        assert code == 0, (words, out, err)
        printed.append(out)
    return printed


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example package as pip installs it."""
    folder = tmp_path_factory.mktemp("site")
    install = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", *install, "--target", str(folder), str(EXAMPLE)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working directory of those that use the example package."""
    return tmp_path_factory.mktemp("where")


@pytest.fixture(scope="module")
def printed(site: Path, where: Path) -> list[str]:
    """What every verb says of the ninth risk."""
    smoothing = ("defense=label_smoothing", *TINY)
    matrix = ("matrix", "defenses=label_smoothing,watermark", "hydra/launcher=basic", *TINY)
    spread = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2") if is_installed(JOBLIB) else ()
    return amulet(
        [
            ("list", "attack", "defense"),
            ("validate", *smoothing, "attack=random_signs"),
            ("run", *smoothing, "attack=random_signs", "metric=[default,evasion,calibration]"),
            ("audit", *smoothing, "attack=confidence,random_signs"),
            (*matrix, "risks=X1,S1", "attack=random_signs", "seeds=2"),
            (*matrix, "metric.every.among=[calibration]", "output_dir=every", "seeds=1", *spread),
            ("report", "outputs", "--html", "report.html"),
            ("plot", "outputs", "--kind", "matrix", "-o", "plot.svg"),
            ("list", "attack", "--json"),
        ],
        where,
        site,
    )


def test_a_ninth_risk_is_in_every_verb(printed: list[str], where: Path) -> None:
    listed, valid, run, audit, chosen, every, report, plot, completion = printed
    for option in ("confidence", "random_signs", "label_smoothing"):
        assert option in listed
    assert "evasion · a baseline; the corners as in Moon et al., ICML 2019 · from amulet-calibration" in listed
    assert "Valid: 1 run" in valid
    assert "X1 miscalibration * calibration_error ↑" in run
    assert run.index("S1 evasion") < run.index("X1 miscalibration"), "risks of other letters come last"
    assert "X1 miscalibration" in audit
    assert "confidence * calibration_error ↑" in audit
    assert "S1 robust_accuracy (eps 0.03) ↓" in chosen
    assert "by RandomSigns" in chosen
    assert "X1 calibration_error ↑" in chosen
    assert "by Confidence" not in chosen, "it is the default attack"
    assert "X1 calibration_error ↑" in every, "a launcher's workers have it too"
    assert "* calibration_error ↑" in report
    html = (where / "report.html").read_text()
    assert "X1 miscalibration" in html
    assert not plot, "it says on standard error what it drew"
    assert "X1" in (where / "plot.svg").read_text()

    origins = {row["name"]: row["origin"] for row in json.loads(completion)}
    assert origins["random_signs"] == "amulet-calibration"
    assert origins["lira"] == ""
    with (where / "outputs" / "matrix.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["risk"], row["measured_by"]) for row in rows} == {("S1", "by RandomSigns"), ("X1", "")}
    (metrics, *_) = (where / "outputs/census/linearnet/label_smoothing/confidence").rglob("metrics.json")
    facts = json.loads(metrics.read_text())["facts"]
    assert facts["risks"]["calibration"] == {
        "name": "calibration",
        "code": "X1",
        "title": "miscalibration",
        "retrains": False,
    }


def test_the_commands_of_the_examples_page(site: Path, tmp_path: Path) -> None:
    printed = commands(EXAMPLE / "README.md")
    amulet(printed[:1], tmp_path, site)
    runs = [shortened(words) for words in printed if words[0] in ("run", "audit", "matrix")]
    assert len(runs) > 3
    amulet([[*words, "dataset.limit=400", "--dry-run"] for words in runs], tmp_path, site)


def test_results_of_a_risk_are_read_where_its_package_is_not(printed: list[str], where: Path) -> None:
    (report,) = amulet([("report", "outputs", "--html", "without.html")], where)
    assert "* calibration_error ↑" in report
    assert "X1 miscalibration" in (where / "without.html").read_text()


def test_the_example_passes_the_test_kit(site: Path, tmp_path: Path) -> None:
    code = """
from pathlib import Path
import amulet_calibration
from amulet.testing import check_attack, check_defense, check_metric
from amulet_calibration.attacks import Confidence, RandomSigns
from amulet_calibration.defenses import LabelSmoothing
from amulet_calibration.metrics import measure

conf = Path(amulet_calibration.__file__).parent / "conf"
check_attack(RandomSigns, conf / "attack/random_signs.yaml", defenses=[LabelSmoothing()])
check_attack(Confidence, conf / "attack/confidence.yaml", defenses=[LabelSmoothing()])
check_defense(LabelSmoothing, conf / "defense/label_smoothing.yaml", attacks=[RandomSigns()])
check_metric(measure, risk="calibration")
"""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


_OWN = '''
from typing import Any

import numpy as np

from amulet.evasion.attacks import EvasionAttack
from amulet.membership_inference.attacks import MembershipAttack


class Quantile(MembershipAttack):
    """The victim's own signal."""

    def __init__(self, *given: Any, n_shadow: int = 4, shadow: str = "same_as_victim", pool_size: int | None = None):
        super().__init__(*given)
        self._set_shadows(n_shadow, shadow, pool_size)

    def scores(self, observed):
        return {"quantile": np.asarray(observed.target, dtype=float)}


class Brighten(EvasionAttack):
    """Every input a little larger."""

    def __init__(self, *given: Any, epsilon: float | None = None, batch_size: int = 99):
        super().__init__(*given)
        self.epsilon, self.batch_size = epsilon, batch_size

    def perturb(self, model, x, y, *, mask, generator):
        return (x + (self.epsilon or 0)).clamp(0, 1)
'''


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A user's module and configuration folder, beside where the commands are given."""
    folder = tmp_path / "my_conf" / "attack"
    folder.mkdir(parents=True)
    (tmp_path / "mine.py").write_text(_OWN)
    about = "about: {line: mine, source: mine, risk: "
    shadows = "n_shadow: 4\nshadow: same_as_victim\npool_size: null\n"
    (folder / "quantile.yaml").write_text(f"_target_: mine.Quantile\n{about}membership_inference}}\n{shadows}")
    (folder / "brighten.yaml").write_text(f"_target_: mine.Brighten\n{about}evasion}}\nepsilon: null\nbatch_size: 99\n")
    return tmp_path


def test_a_users_membership_attack_decides_its_risk_everywhere(own: Path) -> None:
    mine = ("--config-dir", "my_conf", "attack=quantile", *TINY)
    matrix = ("matrix", "defenses=adv_debiasing", "risks=P1", "seeds=2", "hydra/launcher=basic", *mine)
    run, audit, shown, report = amulet(
        [
            ("run", "defense=adv_debiasing", "metric=[membership_inference]", *mine),
            ("audit", "defense=adv_debiasing", *mine),
            matrix,
            ("report", "outputs", "--html", "report.html"),
        ],
        own,
    )
    for text in (run, audit):
        assert "P1 membership inference" in text
        assert "P2" not in text
        assert "* strongest.auc ↑" in text
    assert "P1 strongest.auc ↑" in shown
    assert "by Quantile" in shown
    assert "* strongest.auc ↑" in report
    html = (own / "report.html").read_text()
    assert "P1 membership inference" in html
    assert "P2 attribute inference" not in html


def test_a_users_evasion_attack_is_one_class_and_one_file(own: Path) -> None:
    mine = ("--config-dir", "my_conf", "attack=brighten", *TINY)
    matrix = ("matrix", "defenses=adv_debiasing", "risks=S1,F", "attack.epsilon=0.1", "seeds=1", *mine)
    listed, run, audit, shown = amulet(
        [
            ("list", "attack", "--config-dir", "my_conf"),
            ("run", *mine),
            ("audit", "defense=adv_debiasing", *mine),
            matrix,
        ],
        own,
    )
    assert "brighten mine evasion · mine · from my_conf" in listed
    assert "S1 evasion * robust_accuracy (eps 0.03) ↓" in run
    assert "S1 evasion" in audit
    assert "brighten * robust_accuracy (eps 0.03) ↓" in audit
    assert "S1 robust_accuracy (eps 0.1) ↓" in shown
    assert "by Brighten" in shown
