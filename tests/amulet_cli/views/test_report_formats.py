"""The report as files that other programs read: LaTeX that compiles, Markdown that renders, tables that load."""

import io
import math
import re
import shutil
import subprocess
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from amulet_cli.analysis.groups import Report, aggregate
from amulet_cli.base.errors import UsageError
from amulet_cli.cli import main
from amulet_cli.commands import report as verb
from amulet_cli.paper import view as paper_view
from amulet_cli.paper.tables import compare
from amulet_cli.results.reading import find_results
from amulet_cli.views.formats import as_csv, as_latex, as_markdown, as_parquet
from tests.helpers.made_up_results import MadeUp, write
from tests.helpers.report_toys import sweep

_PAGE = r"""\documentclass{article}
\usepackage[utf8]{inputenc}
\usepackage[T1]{fontenc}
\usepackage{booktabs}
\begin{document}
BODY
\end{document}
"""
TEX = next(filter(None, map(shutil.which, ("pdflatex", "tectonic"))), None)


def report_on(folder: Path) -> Report:
    return aggregate(find_results([folder]))


def compiled(folder: Path, body: str) -> None:
    if TEX is None:
        pytest.skip("there is no LaTeX: neither pdflatex nor tectonic")
    (folder / "t.tex").write_text(_PAGE.replace("BODY", body), encoding="utf-8")
    flags = ["-interaction=nonstopmode", "-halt-on-error"] if TEX.endswith("pdflatex") else []
    run = subprocess.run(
        [TEX, *flags, "t.tex"], cwd=folder, capture_output=True, text=True, check=False, errors="replace"
    )
    assert run.returncode == 0, run.stdout[-1500:]
    assert (folder / "t.pdf").read_bytes().startswith(b"%PDF")


def test_the_latex_of_a_report_compiles(tmp_path: Path) -> None:
    sweep(tmp_path, 3, defense="odd_#name_50%&${}~^")
    compiled(tmp_path, as_latex(report_on(tmp_path), "metric"))


def test_the_latex_of_a_paper_table_compiles(tmp_path: Path) -> None:
    sweep(tmp_path, 3)
    compiled(tmp_path, paper_view.as_latex(compare("table7", find_results([tmp_path]))))


def test_a_latex_table_goes_into_a_paper_as_it_is(tmp_path: Path) -> None:
    for seed in range(3):
        numbers = {"fidelity_kappa": 0.8 + seed / 100, "test_accuracy": 0.84, "robust_accuracy": math.nan}
        less = {"fidelity_kappa": 0.7, "test_accuracy": 0.83 + seed / 100, "robust_accuracy": math.nan}
        write(tmp_path, MadeUp({"undefended": numbers, "defended": less}), seed=seed)
    text = as_latex(report_on(tmp_path), "metric")
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == text.count(r"\caption{") == 1
    body = text.partition("\n% ")[0]
    assert "fidelity" in body
    assert r"fidelity\_kappa" not in body, "words, not names of the code"
    assert "adv" not in body.replace("adversarial", ""), body
    assert re.search(r"\$-\$\d", body), "a real minus"
    assert not re.search(r"(?<![\w$])-\d", body)
    assert "robust" not in body, "no row without a number"
    starred = [line for line in body.splitlines() if line.startswith("* ")]
    assert len(starred) == 1, "the metric that decides is marked, and the caption says so"
    assert "* decides the verdict on its risk" in body


def test_markdown_renders_as_tables_of_equal_rows(tmp_path: Path) -> None:
    sweep(tmp_path, 3, (0.01, 0.1), defense="a|b")
    report = report_on(tmp_path)
    html = MarkdownIt("commonmark").enable("table").render(as_markdown(report, "metric"))
    assert html.count("<table>") == 1
    body = html.partition("<tbody>")[2]
    assert body.count("<tr>") == len(report.rows)
    columns = len(re.findall("<th[ >]", html))
    assert body.count("<td") == columns * len(report.rows)
    assert "robust_accuracy" in body


def test_csv_and_parquet_load_back_to_the_same_frame(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    sweep(tmp_path, 10, (0.01, 0.1))
    report = report_on(tmp_path)
    csv = pd.read_csv(io.StringIO(as_csv(report)))
    parquet = pd.read_parquet(io.BytesIO(as_parquet(report)))
    assert list(csv.columns) == list(parquet.columns)
    for name in csv.columns:
        if pd.api.types.is_numeric_dtype(parquet[name]):
            assert csv[name].to_numpy(dtype=float) == pytest.approx(parquet[name].to_numpy(dtype=float), nan_ok=True)
        else:
            texts = [[value if isinstance(value, str) else "" for value in frame[name]] for frame in (csv, parquet)]
            assert texts[0] == texts[1]
    [row] = parquet[(parquet["metric"] == "fidelity_kappa") & (parquet["defense.epsilon"] == 0.1)].to_dict("records")
    assert row["verdict"] == "rises"
    assert row["primary"] is True


def test_the_verb_writes_parquet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    sweep(tmp_path, 1, (0.1,))
    assert main(["report", str(tmp_path), "--parquet", str(tmp_path / "t.parquet")]) == 0
    assert len(pd.read_parquet(tmp_path / "t.parquet")) == 8
    assert "parquet written to" in capsys.readouterr().err


def test_parquet_without_pyarrow_is_a_mistake_that_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep(tmp_path, 1, (0.1,))

    def without(name: str) -> ModuleSpec | None:
        return None if name == "pyarrow" else find_spec(name)

    monkeypatch.setattr(verb, "find_spec", without)
    with pytest.raises(UsageError, match="needs pyarrow") as error:
        verb.main([str(tmp_path), "--parquet", str(tmp_path / "t.parquet")])
    assert "amulet-cli[parquet]" in (error.value.try_ or "")


def test_places_that_no_file_can_have(tmp_path: Path) -> None:
    sweep(tmp_path, 1, (0.1,))
    with pytest.raises(UsageError, match="`--parquet` must be the name of a file, got -"):
        verb.main([str(tmp_path), "--parquet", "-"])
    with pytest.raises(UsageError, match=r"`--html` .* cannot be written"):
        verb.main([str(tmp_path), "--html", str(tmp_path / "census")])
    with pytest.raises(UsageError, match="`--html` does not go with `--paper`"):
        verb.main([str(tmp_path), "--paper", "table7", "--html", "x.html"])
