"""The report to hand on about a model of real credit records, as a bank would get it."""

import re
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest

from amulet_cli.cli import main

SOURCE = "https://archive.ics.uci.edu/ml/machine-learning-databases/statlog/german/german.data"
"""Hofmann, 1994: German credit, 1,000 records of 20 columns and the risk, coded as A11, A12, ...; CC BY 4.0."""
COLUMNS = (
    "account months history purpose amount savings employment rate status_and_sex guarantors residence property age "
    "other_plans housing credits job dependents telephone foreign risk"
).split()


@pytest.fixture(scope="module")
def credit(data_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table with names of columns and of classes, from the data folder or from its publisher."""
    there = data_folder / "german.data"
    if not there.is_file():
        there = tmp_path_factory.mktemp("german") / "german.data"
        try:
            with urllib.request.urlopen(SOURCE, timeout=10) as answer:
                there.write_bytes(answer.read(1_000_000))
        except (OSError, urllib.error.URLError) as error:
            pytest.skip(f"German credit is not in AMULET_TEST_DATA and cannot be fetched: {error}")
    table = pd.read_csv(there, sep=" ", header=None, names=COLUMNS)
    assert table.shape == (1000, 21)
    table["risk"] = table["risk"].map({1: "good risk", 2: "bad risk"})
    table["sex"] = table.pop("status_and_sex").map(lambda code: "female" if code in ("A92", "A95") else "male")
    path = tmp_path_factory.mktemp("credit") / "german_credit.csv"
    table.to_csv(path, index=False)
    return path


def test_the_first_page_speaks_to_a_bank(credit: Path, workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["dataset=custom", f"dataset.path={credit}", "dataset.target=risk", "dataset.sensitive=[sex]"]
    attacks = "attack=tabular_search,model_extraction,attribute_inference,discriminatory_behavior"
    training = ["defense=adv_debiasing", "epochs=40", "batch_size=16", "dataset.positive=good risk"]
    assert main(["run", "-m", *data, *training, attacks, "output_dir=out"]) == 0
    capsys.readouterr()
    files = ["--html", "page.html", "--model-card", "card.md"]
    assert main(["report", "out", "--for", "deployment", "--policy", "bank_credit", *files]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "good risk" in page
    assert not re.search(r"\w+_\w+|\w\.\w+\.\w|=", page.partition("html written")[0])
    for name in ("How good the answers are", "small changes of an input", "Theft of the model", "sex", "Limits."):
        assert name in page
    assert page.count("95% interval") >= 5
    bases = re.findall(r": \d+\.\d%(?! \(95% interval)", page)
    assert len(bases) <= page.count("(95% interval"), "a number without an interval is what another is compared with"
    assert "only records that can exist" in page, "with what an attacker may change"
    assert "german" not in Path("card.md").read_text().partition("---")[0]
