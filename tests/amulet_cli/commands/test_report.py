"""The report over seeds: which runs belong together, what the numbers are, what it says and what it refuses to say."""

import csv
import dataclasses
import io
import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from amulet_cli.analysis.groups import Report, aggregate
from amulet_cli.analysis.rows import Row
from amulet_cli.base.errors import UsageError
from amulet_cli.commands import report as verb
from amulet_cli.paper.tables import PaperCell, PaperTable, compare, folder
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import result_folder
from amulet_cli.results.writing import write_status
from amulet_cli.views.formats import as_csv, as_latex, as_markdown
from amulet_cli.views.report_tables import report_table
from tests.helpers.made_up_results import MadeUp, choices, config, stated, typical, write

Printed = Callable[[], str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    return lambda: capsys.readouterr().out


def sweep(folder: Path, seeds: int, epsilons: tuple[float, ...] = (0.1, 0.01, 0.03), **overrides: Any) -> None:
    for epsilon in epsilons:
        for seed in range(seeds):
            write(folder, typical(seed, epsilon), seed=seed, overrides={"defense.epsilon": epsilon, **overrides})


def report_on(folder: Path, *metrics: str) -> Report:
    return aggregate(find_results([folder]), metrics)


def shown(report: Report, by: str = "metric", width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(report_table(report, by, width))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def row_of(report: Report, metric: str, **labels: Any) -> Row:
    [row] = [
        row
        for row in report.rows
        if row.metric == metric and all(row.cell.labels[key.replace("__", ".")] == v for key, v in labels.items())
    ]
    return row


def table_in(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def two(before: float, after: float, name: str = "robust_accuracy", **baselines: float) -> MadeUp:
    metrics = {"undefended": {name: before}, "defended": {name: after}}
    return MadeUp(metrics, baselines=dict.fromkeys(metrics, baselines))


def test_numbers_over_seeds(tmp_path: Path) -> None:
    sweep(tmp_path, 4)
    row = row_of(report_on(tmp_path), "fidelity", defense__epsilon=0.03)
    before = [typical(seed, 0.03).metrics["undefended"]["fidelity"] for seed in range(4)]
    after = [typical(seed, 0.03).metrics["defended"]["fidelity"] for seed in range(4)]
    assert row.values["defended"] == dict(enumerate(after))
    assert row.summaries["undefended"].mean == pytest.approx(np.mean(before))
    assert row.summaries["undefended"].error == pytest.approx(float(stats.sem(before)))
    test = stats.ttest_rel(after, before)
    interval = test.confidence_interval()
    assert row.change.mean == pytest.approx(np.mean(after) - np.mean(before))
    assert (row.change.low, row.change.high) == pytest.approx((interval.low, interval.high))


def test_rows_stand_in_the_order_of_the_sweep_as_numbers(tmp_path: Path) -> None:
    sweep(tmp_path, 1, (0.1, 0.01, 0.2, 0.03, 1.0))
    report = report_on(tmp_path, "fidelity")
    assert [row.cell.labels["defense.epsilon"] for row in report.rows] == [0.01, 0.03, 0.1, 0.2, 1.0]


def test_what_all_runs_share_is_said_once(tmp_path: Path) -> None:
    sweep(tmp_path, 2, epochs=3)
    report = report_on(tmp_path)
    assert list(report.keys) == ["defense.epsilon"]
    assert report.common == {"epochs": 3}
    assert "epochs=3" in shown(report)


def test_runs_of_different_configurations_are_never_averaged(tmp_path: Path) -> None:
    """Also when no override tells them apart: an option's default has changed in between."""
    for seed in range(2):
        write(tmp_path, two(0.5, 0.6), seed=seed)
    other = config(0, **{"attack.steps": 10})
    chosen = choices()
    from amulet_cli.results.writing import write_outcome

    folder = result_folder(other, chosen, tmp_path)
    write_outcome(folder, stated(two(0.1, 0.2), other), choices=chosen, overrides={}, config=other, environment={})
    report = report_on(tmp_path)
    assert list(report.keys) == ["attack.steps"]
    assert sorted(row.change.n for row in report.rows) == [1, 2]
    assert row_of(report, "robust_accuracy", attack__steps=10).summaries["undefended"].mean == 0.1


def test_an_override_that_says_the_default_is_no_difference(tmp_path: Path) -> None:
    write(tmp_path, two(0.5, 0.6), seed=0)
    write(tmp_path, two(0.5, 0.6), seed=1, overrides={"defense.epsilon": 0.05})
    report = report_on(tmp_path)
    assert len(report.rows) == 1
    assert report.rows[0].change.n == 2


def test_a_copy_of_a_run_counts_once(tmp_path: Path) -> None:
    write(tmp_path / "a", two(0.5, 0.6))
    write(tmp_path / "b", two(0.5, 0.6))
    write(tmp_path / "c", two(0.4, 0.6))
    report = report_on(tmp_path)
    assert report.rows[0].values["undefended"] == {0: 0.5}
    assert len(report.notes) == 2
    assert "the same run" in report.notes[0]
    assert "with other numbers" in report.notes[1]


def test_differences_are_paired_by_seed(tmp_path: Path) -> None:
    write(tmp_path, two(0.5, 0.6), seed=0)
    write(tmp_path, two(0.7, 0.9), seed=1)
    write(tmp_path, two(math.nan, 0.1), seed=2)
    row = report_on(tmp_path).rows[0]
    assert row.change.n == 2
    assert row.change.mean == pytest.approx(0.15)
    assert row.summaries["defended"].n == 3


def test_defences_and_data_sets_stand_apart(tmp_path: Path) -> None:
    write(tmp_path, two(0.5, 0.6), chosen=choices(defense="adv_training"))
    write(tmp_path, two(0.5, 0.7), chosen=choices(defense="outlier_removal"))
    write(tmp_path, two(0.5, 0.8), chosen=choices(defense="adv_training", second_defense="watermark"))
    write(tmp_path, two(0.5, 0.9), chosen=choices(dataset="lfw"))
    report = report_on(tmp_path)
    text = shown(report)
    for title in ("census · linearnet · adv_training+watermark", "lfw · linearnet · adv_training"):
        assert title in text
    assert [row.cell.labels["defense"] for row in report.rows] == [
        "adv_training",
        "adv_training+watermark",
        "outlier_removal",
        "adv_training",
    ]
    by_defense = shown(report, "defense")
    assert re.search(r"^outlier_removal$", by_defense, re.MULTILINE)
    assert re.search(r"^  lfw +50.00", by_defense, re.MULTILINE)


def test_a_report_by_a_swept_key(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    text = shown(report_on(tmp_path, "fidelity", "robust_accuracy"), "defense.epsilon")
    blocks = text.split("defense.epsilon ")
    assert [block.split()[0] for block in blocks[1:4]] == ["0.01", "0.03", "0.1"]
    assert all("robust_accuracy" in block and "fidelity" in block for block in blocks[1:4])


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_shows_units_and_intervals(tmp_path: Path, width: int) -> None:
    sweep(tmp_path, 3)
    report = report_on(tmp_path)
    text = shown(report, width=width)
    assert max(map(len, text.splitlines())) <= width
    row = row_of(report, "robust_accuracy", defense__epsilon=0.1)
    [line] = [line for line in text.splitlines() if f"{100 * row.change.mean:+.2f}" in line]
    summary = row.summaries["defended"]
    assert f"{100 * summary.mean:.2f} ± {100 * summary.error:.2f}" in line
    assert f"[{100 * row.change.low:+.1f}, {100 * row.change.high:+.1f}]" in line
    assert (f"(sd {100 * summary.sd:.2f})" in line) == (width >= 110)
    assert "* robust_accuracy ↓" in text


def test_one_setting_needs_no_labels(tmp_path: Path) -> None:
    write(tmp_path, typical())
    text = shown(report_on(tmp_path))
    assert re.search(r"^\* fidelity_kappa ↑ +\d\d\.\d\d +\d\d\.\d\d +[+-]\d", text, re.MULTILINE)
    assert "±" not in text.split("In per cent")[0]  # one seed has no error


def test_an_undefended_run_alone(tmp_path: Path) -> None:
    write(tmp_path, MadeUp({"undefended": {"test_accuracy": 0.83}}), chosen=choices(defense="none"))
    text = shown(report_on(tmp_path))
    assert "83.00" in text
    assert "nan" not in text


def test_ten_seeds_get_verdicts_and_fewer_what_could_have_been_seen(tmp_path: Path) -> None:
    sweep(tmp_path, 10, (0.01, 0.1))
    text = shown(report_on(tmp_path))
    assert "Holm-corrected over 4 comparisons" in text
    assert "the number of seeds was fixed beforehand" in " ".join(text.split())
    assert re.search(r"S1 robust_accuracy 0\.1 +falls p", text)
    assert re.search(r"S3 fidelity_kappa +0\.1 +rises p", text)
    few = aggregate([result for result in find_results([tmp_path]) if result.seed < 9])
    text = shown(few)
    assert "No verdicts: they need 10 seeds" in text
    row = row_of(few, "robust_accuracy", defense__epsilon=0.1)
    assert row.verdict is not None
    assert f"sees {100 * row.verdict.detectable:.2f} or more" in text
    assert not re.search(r"robust_accuracy +0\.1 +(falls|rises|no evidence)", text)


def test_only_deciding_metrics_are_judged(tmp_path: Path) -> None:
    sweep(tmp_path, 2, (0.1,))
    judged = [row.metric for row in report_on(tmp_path).rows if row.verdict is not None]
    assert judged == ["robust_accuracy", "fidelity_kappa"]


class AltersNoWeight:
    """A defence as the report knows it by its `_target_`."""

    stage = "after"


class AltersWeights:
    """Another."""

    stage = "in"


@pytest.mark.parametrize(
    ("kind", "after", "word"),
    [
        (AltersNoWeight, 0.5, "unchanged by construction"),
        (AltersNoWeight, 0.6, "falls"),  # something did change: no excuse
        (AltersWeights, 0.5, "equivalent"),
    ],
)
def test_what_cannot_change_is_called_so(tmp_path: Path, kind: type, after: float, word: str) -> None:
    target = {"defense._target_": f"{kind.__module__}.{kind.__name__}"}
    for seed in range(10):
        write(tmp_path, two(0.5, after), seed=seed, overrides=target)
    verdict = report_on(tmp_path).rows[0].verdict
    assert verdict is not None
    assert verdict.outcome == word


def test_a_collapsed_seed_is_flagged_and_never_averaged_away(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.84, 0.83, 0.77)):
        write(tmp_path, two(0.84, accuracy, "test_accuracy", test_accuracy=0.7607), seed=seed)
    report = report_on(tmp_path)
    [flag] = report.rows[0].warnings
    assert flag.startswith("defended, seed 2: 77.00%")
    assert "76.07%" in flag
    assert "test_accuracy: defended, seed 2: 77.00%" in " ".join(shown(report).split())
    for text in (as_markdown(report, "metric"), as_latex(report, "metric").replace("\n% ", " "), as_csv(report)):
        assert "seed 2: 77.00%" in text


def test_what_many_rows_share_is_said_once(tmp_path: Path) -> None:
    for attack in ("lira", "badnets", "evasion_pgd", "model_extraction"):
        write(tmp_path, two(0.7605, 0.7604, "test_accuracy", test_accuracy=0.76), chosen=choices(attack=attack))
        write(tmp_path, two(0.001, 0.001, robust_accuracy=0.84), seed=1, chosen=choices(attack=attack))
    text = " ".join(shown(report_on(tmp_path), width=140).split())
    assert text.count("where always answering the majority class gives") == text.count("(in 4 rows)") == 2
    verdicts = text.partition("No verdicts")[2].partition("rises, falls")[0]
    assert "S1 robust_accuracy (badnets, evasion_pgd, lira, model_extraction)" in verdicts
    assert verdicts.count("cannot show") == 1


def test_a_collapsed_stolen_model_is_judged_by_the_majority_class_too(tmp_path: Path) -> None:
    """Its own baseline is an independent model's accuracy, which a good one need not exceed."""
    for seed, accuracy in enumerate((0.82, 0.78)):
        made = two(0.82, accuracy, "stolen_test_accuracy", stolen_test_accuracy=0.82, test_accuracy=0.7607)
        write(tmp_path, made, seed=seed)
    [flag] = report_on(tmp_path).rows[0].warnings
    assert flag.startswith("defended, seed 1: 78.00%")


def test_a_large_standard_error_is_flagged(tmp_path: Path) -> None:
    for seed, value in enumerate((0.5, 0.6, 0.7)):  # standard error 5.8 points
        write(tmp_path, two(0.5, value), seed=seed)
    [flag] = report_on(tmp_path).rows[0].warnings
    assert flag == "defended: standard error of 5.8 points over 3 seeds"


def test_what_is_not_finished_is_listed(tmp_path: Path) -> None:
    write(tmp_path, typical())
    for seed, (state, details) in enumerate(
        [("failed", {"error": "out of memory"}), ("refused", {"reason": "makes no sense"}), ("running", {})], start=1
    ):
        write_status(result_folder(config(seed), choices(), tmp_path), state, **details)
    text = " ".join(shown(report_on(tmp_path), width=300).split())
    assert "Not in these tables: 3 runs" in text
    for part in ("failed", "out of memory", "refused", "makes no sense", "unfinished"):
        assert part in text


def test_csv_holds_every_statistic_and_every_seed(tmp_path: Path) -> None:
    sweep(tmp_path, 10, (0.01, 0.1))
    report = report_on(tmp_path)
    rows = list(csv.DictReader(io.StringIO(as_csv(report))))
    assert len(rows) == len(report.rows)
    [row] = [r for r in rows if (r["metric"], r["defense.epsilon"]) == ("fidelity_kappa", "0.1")]
    outcomes = [typical(seed, 0.1).metrics for seed in range(10)]
    before, after = ([o[victim]["fidelity_kappa"] for o in outcomes] for victim in ("undefended", "defended"))
    assert float(row["undefended_mean"]) == pytest.approx(np.mean(before))
    assert float(row["defended_sd"]) == pytest.approx(np.std(after, ddof=1))
    assert float(row["p_value"]) == pytest.approx(float(stats.ttest_rel(after, before).pvalue))
    assert 2 / 2**10 <= float(row["p_sign_flip"]) <= 1
    assert (row["verdict"], row["risk"], row["primary"]) == ("rises", "unauth_model_ownership", "true")
    seeds = dict(pair.split(":") for pair in row["defended_by_seed"].split())
    assert [float(seeds[str(seed)]) for seed in range(10)] == after


def test_markdown_is_a_table_of_equal_rows(tmp_path: Path) -> None:
    sweep(tmp_path, 3)
    lines = [line for line in as_markdown(report_on(tmp_path), "metric").splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1
    assert len(lines) == 2 + 3 * 8
    assert "| robust_accuracy | 0.01 |" in lines[8]


def test_latex_is_booktabs_with_everything_escaped(tmp_path: Path) -> None:
    sweep(tmp_path, 3)
    text = as_latex(report_on(tmp_path), "metric")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert code.count(r"\begin{tabular}{llrrrrr}") == code.count(r"\end{tabular}") == 1
    assert all(rule in code for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    rows = [line for line in code.splitlines() if line.endswith(r"\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {6}
    assert not re.search(r"(?<!\\)[_%#]", code)
    assert "±" not in code
    assert r"$\pm$" in code


# The verb itself.


def test_the_verb_writes_what_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Printed) -> None:
    monkeypatch.chdir(tmp_path)
    sweep(tmp_path / "outputs", 2)
    code = verb.main(["--metrics", "fidelity", "--csv", "new/t.csv", "--markdown", "t.md", "--latex", "t.tex"])
    assert code == 0
    assert "fidelity" in printed()
    assert "robust_accuracy" not in (tmp_path / "t.md").read_text()
    assert len((tmp_path / "new" / "t.csv").read_text().splitlines()) == 4
    assert r"\toprule" in (tmp_path / "t.tex").read_text()


def test_standard_output_takes_a_file_alone(tmp_path: Path, printed: Printed) -> None:
    sweep(tmp_path, 2)
    verb.main([str(tmp_path), "--csv", "-"])
    assert len(list(csv.DictReader(io.StringIO(printed())))) == 24


def test_several_folders_make_one_table(tmp_path: Path, printed: Printed) -> None:
    sweep(tmp_path / "a", 1, (0.01,))
    sweep(tmp_path / "b", 1, (0.3,))
    verb.main([str(tmp_path / "a"), str(tmp_path / "b"), "--metrics", "fidelity"])
    text = printed()
    assert "0.01" in text
    assert "0.3" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "There is no folder `nowhere`"),
        (["empty"], "There is no finished run in empty"),
        (["outputs", "--metrics", "fidelty"], "No run has a metric named fidelty"),
        (["outputs", "--by", "epsilon"], "`--by` must be a key in which these runs differ, got epsilon"),
        (["outputs", "--paper", "table9"], "`--paper` must be one of figure3, figure4, in_text, table4"),
        (["outputs", "--paper", "table8"], "No finished run here belongs to Table 8"),
        (["outputs", "--cvs", "x"], "`--cvs` is no flag"),
        (["outputs", "--csv"], "`--csv` must be followed by a value"),
        (["outputs", "--csv", "outputs"], "`--csv` outputs cannot be written"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str) -> None:
    monkeypatch.chdir(tmp_path)
    sweep(tmp_path / "outputs", 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as error:
        verb.main(words)
    assert message in error.value.what


# Beside the paper.


def cell_of(table: PaperTable, setting: str, column: str) -> PaperCell:
    [cell] = [cell for cell in table.cells if (cell.setting, cell.column) == (setting, column)]
    return cell


def test_the_papers_numbers_are_all_there() -> None:
    counts = {"table7": 4 * (1 + 4 * 6), "table8": 4 * 5 * 4}
    for name, count in counts.items():
        rows = table_in(folder() / f"{name}.csv")
        assert len(rows) == count
        assert {row["dataset"] for row in rows} == {"census", "fmnist", "lfw", "cifar10"}
        assert all(0 < float(row["error"]) < 20 and 5 < float(row["mean"]) < 100 for row in rows)
        assert all("Amulet paper" in row["source"] for row in rows)


def test_table_7_takes_each_cell_from_the_right_victim_and_metric(tmp_path: Path) -> None:
    sweep(tmp_path, 3, (0.01, 0.1))
    [table] = compare("table7", find_results([tmp_path]))
    sources = {
        "Acc_te(M_def)": ("defended", "test_accuracy"),
        "Acc_rob(M_std)": ("undefended", "robust_accuracy"),
        "Acc_rob(M_def)": ("defended", "robust_accuracy"),
        "M_stol: Acc_te": ("defended", "stolen_test_accuracy"),
        "M_stol: Fid": ("defended", "fidelity"),
        "M_stol: Fid_cor": ("defended", "correct_fidelity"),
    }
    for column, (victim, metric) in sources.items():
        cell = cell_of(table, "defense.epsilon=0.1", column)
        ours = [typical(seed, 0.1).metrics[victim][metric] for seed in range(3)]
        assert cell.ours is not None
        assert cell.ours.mean == pytest.approx(np.mean(ours)), column
        assert cell.ours.error == pytest.approx(float(stats.sem(ours)))
    baseline = cell_of(table, "baseline", "Acc_te(M_def)")
    assert set(baseline.by_seed) == {0, 1, 2}  # the same undefended victim beside both budgets counts once
    assert cell_of(table, "defense.epsilon=0.05", "M_stol: Fid").ours is None


def test_table_8_takes_the_joint_fidelity_and_the_undefended_column(tmp_path: Path) -> None:
    chosen = choices(defense="outlier_removal")
    for percent in (10, 40):
        write(tmp_path, typical(0), chosen=chosen, overrides={"defense.percent": percent})
    [table] = compare("table8", find_results([tmp_path]))
    metrics = typical(0).metrics
    for setting, victim in (("undefended", "undefended"), ("defense.percent=40", "defended")):
        cell = cell_of(table, setting, "M_stol: Fid_corr")
        assert cell.ours is not None
        assert cell.ours.mean == metrics[victim]["agreement_and_correct"]
    assert cell_of(table, "defense.percent=20", "Acc_te").ours is None


def test_the_yardstick_by_both_readings_of_the_papers_error(tmp_path: Path) -> None:
    sweep(tmp_path, 3, (0.01,))
    [table] = compare("table7", find_results([tmp_path]))
    cell = cell_of(table, "defense.epsilon=0.01", "M_stol: Fid")
    ours = [100 * typical(seed, 0.01).metrics["defended"]["fidelity"] for seed in range(3)]
    error = float(stats.sem(ours))
    difference = np.mean(ours) - 95.30
    assert cell.difference == pytest.approx(difference)
    assert cell.distance("se") == pytest.approx(abs(difference) / math.sqrt(error**2 + 0.98**2))
    assert cell.distance("sd") == pytest.approx(abs(difference) / math.sqrt(error**2 + 0.98**2 / 10))
    within, known = table.count("se")
    assert known == 7
    assert within == sum(c.distance("se") <= 2 for c in table.cells if c.ours is not None)


def test_a_single_seed_has_a_difference_and_no_distance(tmp_path: Path) -> None:
    sweep(tmp_path, 1, (0.01,))
    [table] = compare("table7", find_results([tmp_path]))
    cell = cell_of(table, "defense.epsilon=0.01", "M_stol: Fid")
    assert math.isfinite(cell.difference)
    assert math.isnan(cell.distance("se"))
    assert table.count("sd") == (0, 0)


def test_variants_get_tables_of_their_own(tmp_path: Path) -> None:
    sweep(tmp_path, 2, (0.01, 0.03), experiment="table7_census")
    sweep(tmp_path, 2, (0.01, 0.03), experiment="table7_census_paper")
    tables = compare("table7", find_results([tmp_path]))
    assert [table.title.rpartition(" · ")[2] for table in tables] == [
        "experiment=table7_census",
        "experiment=table7_census_paper",
    ]
    assert all(cell.ours is not None for table in tables for cell in table.cells if cell.setting.endswith("=0.03"))


def test_other_runs_do_not_get_into_the_papers_table(tmp_path: Path) -> None:
    sweep(tmp_path, 2, (0.01,))
    write(tmp_path, typical(5), seed=5, chosen=choices(attack="evasion_pgd"), overrides={"defense.epsilon": 0.01})
    write(tmp_path, typical(6), seed=6, chosen=choices(second_defense="watermark"), overrides={"defense.epsilon": 0.01})
    [table] = compare("table7", find_results([tmp_path]))
    assert set(cell_of(table, "defense.epsilon=0.01", "M_stol: Fid").by_seed) == {0, 1}


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_papers_shape_on_the_console(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: int, printed: Printed
) -> None:
    monkeypatch.setattr(verb, "out", Console(width=width, highlight=False))
    sweep(tmp_path, 3)
    assert verb.main([str(tmp_path), "--paper", "table7"]) == 0
    text = printed()
    assert max(map(len, text.splitlines())) <= width
    assert re.findall(r"^epsilon (\S+)", text, re.MULTILINE)[:4] == ["0.01", "0.03", "0.05", "0.1"]
    for column in ("Acc_te(M_def)", "M_stol: Fid_cor"):
        assert column in text
    assert "82.27 ± 1.59" in text
    assert "no run" in text
    assert re.search(r"if ± is an error: \d+ of 19 cells within 2 combined errors", text)
    assert re.search(r"\d\.\d !", text)


def test_the_papers_shape_as_files(tmp_path: Path) -> None:
    sweep(tmp_path, 3)
    names = {form: tmp_path / f"t.{form}" for form in ("csv", "markdown", "latex")}
    flags = [word for form, path in names.items() for word in (f"--{form}", str(path))]
    assert verb.main([str(tmp_path), "--paper", "table7", *flags]) == 0
    rows = table_in(names["csv"])
    assert len(rows) == 25
    [row] = [r for r in rows if (r["setting"], r["column"]) == ("defense.epsilon=0.1", "Acc_rob(M_def)")]
    assert float(row["difference"]) == pytest.approx(float(row["ours"]) - 79.23)
    table = [line for line in names["markdown"].read_text().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in table} == {8}
    code = names["latex"].read_text()
    assert not re.search(r"(?<!\\)_", "\n".join(line for line in code.splitlines() if not line.startswith("%")))


def test_the_papers_collapsed_cells_are_named(tmp_path: Path) -> None:
    write(tmp_path, typical(), chosen=choices(dataset="lfw"), overrides={"defense.epsilon": 0.1})
    [table] = compare("table7", find_results([tmp_path]))
    assert "two constant models" in cell_of(table, "defense.epsilon=0.1", "M_stol: Fid").note


def test_an_installation_without_the_papers_numbers_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep(tmp_path, 1)
    monkeypatch.setattr("amulet_cli.paper.tables.folder", lambda: tmp_path / "nowhere")
    with pytest.raises(UsageError, match="The paper's numbers cannot be read"):
        compare("table7", find_results([tmp_path]))


def test_a_skipped_run_counts_like_a_finished_one(tmp_path: Path) -> None:
    sweep(tmp_path, 2, (0.01,))
    results = [dataclasses.replace(result, state="skipped") for result in find_results([tmp_path])]
    assert aggregate(results).rows[0].change.n == 2


def test_in_a_narrow_console_rows_are_stacked_and_no_number_is_cut(tmp_path: Path) -> None:
    for defense in ("adv_training", "dp_sgd"):
        for attack in ("lira", "evasion_pgd"):
            for seed in range(2):
                write(tmp_path, typical(seed), seed=seed, chosen=choices(defense, attack), overrides={"epochs": 3})
    report = report_on(tmp_path)
    robust = next(row for row in report.rows if row.metric == "robust_accuracy")
    for width in (60, 80, 120):
        console = Console(file=io.StringIO(), width=width)
        console.print(report_table(report, "metric", width))
        text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
        assert max(map(len, text.splitlines())) <= width
        for victim in ("undefended", "defended"):
            assert f"{100 * robust.summaries[victim].mean:.2f} ± " in text
        assert f"{100 * robust.change.mean:+.2f}" in text


def test_a_smallest_change_of_no_metric_is_a_mistake(tmp_path: Path) -> None:
    write(tmp_path, typical())
    assert verb.main([str(tmp_path), "--smallest", "robust_accuracy=0.02,fraction=0.005"]) == 0
    with pytest.raises(UsageError, match="No run has a metric named robust_acuracy") as error:
        verb.main([str(tmp_path), "--smallest", "robust_acuracy=0.02"])
    assert "robust_accuracy" in error.value.meant


def test_no_interval_of_few_seeds_goes_beyond_what_a_fraction_can_change(tmp_path: Path) -> None:
    for seed, (before, after) in enumerate([(0.1, 0.9), (0.3, 0.28)]):
        write(tmp_path, two(before, after), seed=seed)
    report = report_on(tmp_path)
    assert {(row.change.low, row.change.high) for row in report.rows} == {(-1.0, 1.0)}
    for text in (shown(report, width=120), as_markdown(report, "metric"), as_latex(report, "metric")):
        assert "[-100.0, +100.0]" in text.replace("$-$", "-").replace("$", "")


def test_a_report_needs_no_torch(tmp_path: Path) -> None:
    sweep(tmp_path, 2)
    code = (
        "import sys\nfrom amulet_cli.cli import main\n"
        f"assert main(['report', {str(tmp_path)!r}]) == 0\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'sklearn', 'opacus', 'hydra'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "fidelity" in run.stdout
