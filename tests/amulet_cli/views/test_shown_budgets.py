"""The budget of an evasion metric stands beside its name in every report."""

import csv
import dataclasses
import io
import re
from pathlib import Path

from matplotlib.text import Text
from rich.console import Console

from amulet_cli.analysis.groups import aggregate
from amulet_cli.analysis.matrix.entries import matrices
from amulet_cli.results.result import Result
from amulet_cli.views.figures.matrix import description, interaction_matrix
from amulet_cli.views.figures.sweep import sweep_curve
from amulet_cli.views.formats import as_csv, as_markdown
from amulet_cli.views.html.build import html_report
from amulet_cli.views.report_tables import report_table
from tests.helpers.made_up_results import config, stated, typical, write


def runs(folder: Path, *budgets: float, seeds: int = 1, at: str = "") -> list[Result]:
    """Runs of defences with these budgets; their attack has the same if `at` names none, as the library states it."""
    made: list[Result] = []
    for epsilon in budgets:
        for seed in range(seeds):
            settings = {"defense.epsilon": epsilon}
            outcome = stated(typical(seed, epsilon), config(seed, **settings))
            facts = outcome.facts
            robust = dataclasses.replace(facts.metrics["robust_accuracy"], at=at or f"eps {epsilon}")
            facts = dataclasses.replace(facts, metrics={**facts.metrics, "robust_accuracy": robust})
            outcome = dataclasses.replace(outcome, facts=facts)
            made.append(write(folder, outcome, seed=seed, overrides=settings))
    return made


def console_of(results: list[Result], by: str = "metric") -> str:
    console = Console(file=io.StringIO(), width=120, highlight=False)
    console.print(report_table(aggregate(results), by, 120))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_one_budget_stands_beside_the_metric(tmp_path: Path) -> None:
    text = console_of(runs(tmp_path, 0.03, seeds=2))
    assert re.search(r"^\* robust_accuracy \(eps 0\.03\) ↓ +\d", text, re.MULTILINE)
    assert text.count("* robust_accuracy") == 1
    assert "test_accuracy (" not in text, "what has no budget shows none"


def test_budgets_that_differ_stand_beside_the_rows(tmp_path: Path) -> None:
    results = runs(tmp_path, 0.01, 0.1)
    text = console_of(results)
    assert re.search(r"^\* robust_accuracy ↓\n  0\.01 \(eps 0\.01\) +\d.*\n  0\.1 \(eps 0\.1\) +\d", text, re.MULTILINE)
    assert re.search(r"^\* fidelity_kappa ↑\n  0\.01 +\d.*\n  0\.1 +\d", text, re.MULTILINE)
    sections = console_of(results, "defense.epsilon").split("defense.epsilon ")
    assert "* robust_accuracy (eps 0.01) ↓" in sections[1]
    assert "* robust_accuracy (eps 0.1) ↓" in sections[2]


def test_files_name_the_budget(tmp_path: Path) -> None:
    results = runs(tmp_path, 0.01, 0.1)
    report = aggregate(results)
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    found = {(row["metric"], row["defense.epsilon"]): row["at"] for row in rows}
    assert found["robust_accuracy", "0.01"] == "eps 0.01"
    assert found["robust_accuracy", "0.1"] == "eps 0.1"
    assert "robust_accuracy (eps 0.1), defense.epsilon 0.1: too few seeds" in as_markdown(report, "metric")
    assert {at for (metric, _), at in found.items() if metric != "robust_accuracy"} == {""}


def test_findings_of_the_page_name_the_budget(tmp_path: Path) -> None:
    results = runs(tmp_path, 0.03, seeds=10)
    page = html_report(aggregate(results), results, command="amulet report outputs --html report.html")
    assert "Robust accuracy (robust_accuracy, eps 0.03) goes from" in page
    assert re.search(r"[Rr]obust accuracy at eps 0\.03", page), "in the table"


def test_figures_name_the_budget_where_it_is_one(tmp_path: Path) -> None:
    report = aggregate(results := runs(tmp_path, 0.01, 0.1, at="eps 0.03"))
    rows = [row for row in report.rows if row.metric == "robust_accuracy"]
    assert "at eps 0.03" in sweep_curve(rows, "defense.epsilon").axes[0].get_ylabel().replace("\n", " ")
    differ = [row for row in aggregate(runs(tmp_path / "b", 0.01, 0.1)).rows if row.metric == "robust_accuracy"]
    assert "eps" not in sweep_curve(differ, "defense.epsilon").axes[0].get_ylabel(), "it is the other axis"
    (matrix,) = matrices(results, {})
    words = " ".join(text.get_text() for text in interaction_matrix(matrix).findobj(Text))
    assert "S1 at eps 0.03" in words
    assert "robust_accuracy at eps 0.03" in description(matrix)
