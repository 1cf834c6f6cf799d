"""Ours beside the paper's: its numbers as data, distances in closed form, variants, Table 5, the figures."""

import csv
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from amulet_cli.analysis.groups import aggregate
from amulet_cli.base.errors import UsageError
from amulet_cli.commands import report as verb
from amulet_cli.paper import interactions as paper_interactions
from amulet_cli.paper import interactions_view as paper_interactions_view
from amulet_cli.paper import view as paper_view
from amulet_cli.paper.choices import choices as choices_of
from amulet_cli.paper.layouts import FIGURES, LAYOUTS
from amulet_cli.paper.report import drawn, shown
from amulet_cli.paper.tables import PaperCell, PaperTable, as_csv, compare, only, printed
from amulet_cli.results.reading import find_results
from amulet_cli.views.figures.catalogue import drawings
from amulet_cli.views.registry import views
from tests.helpers.made_up_results import MadeUp, choices, typical, write

COUNTS = {
    "table4": 13 * 4 + 8,
    "table6": 2 * (5 + 4 * 7),
    "table7": 4 * (1 + 4 * 6),
    "table8": 4 * 5 * 4,
    "in_text": 4,
}


def cell_of(table: PaperTable, setting: str, column: str) -> PaperCell:
    [cell] = [cell for cell in table.cells if (cell.setting, cell.column) == (setting, column)]
    return cell


def inference(seed: int, race: float = 0.6, sex: str = "sex") -> MadeUp:
    """What adversarial training and attribute inference leave, with a known spread over seeds."""
    shift = 0.01 * (seed - 1)
    row = {
        "test_accuracy": 0.83 + shift,
        "robust_accuracy": 0.5 + shift,
        "race.balanced_accuracy": race + shift,
        "race.auc": race + 0.02 + shift,
        f"{sex}.balanced_accuracy": 0.66 + shift,
        f"{sex}.auc": 0.70 + shift,
    }
    return MadeUp({"undefended": {**row, "robust_accuracy": 0.2}, "defended": row})


def table6(
    folder: Path, dataset: str = "census", sex: str = "sex", epsilon: float = 0.03, limit: int | None = None
) -> PaperTable:
    chosen = choices(attack="attribute_inference", dataset=dataset)
    overrides: dict[str, Any] = {"defense.epsilon": epsilon} | ({"dataset.limit": limit} if limit else {})
    for seed in range(3):
        write(folder, inference(seed, sex=sex), seed=seed, chosen=chosen, overrides=overrides)
    [table] = compare("table6", find_results([folder]))
    return table


@pytest.mark.parametrize(
    ("overrides", "named", "other"),
    [
        ({"+experiment": "table6_census"}, "+experiment=table6_census, 30 epochs", ""),
        ({"+experiment": "table6_census", "+paper_size": "full"}, "+experiment=table6_census +paper_size=full", ""),
        ({"+experiment": "table6_census", "+paper_size": "quick/table6_census"}, "+paper_size=quick, 30", "reduces"),
        ({"+experiment": "table6_census", "epochs": 8}, "+experiment=table6_census, 8 epochs", "epochs is set"),
        (
            {"+experiment": "smoke", "dataset.limit": 1000},
            "experiment=smoke, 30 epochs, at most 1,000",
            "dataset.limit",
        ),
        ({}, "no experiment, 30 epochs", "of no experiment"),
    ],
)
def test_what_is_taken_for_ours_is_named_and_another_size_marked(
    tmp_path: Path, overrides: dict[str, Any], named: str, other: str
) -> None:
    chosen = choices(attack="attribute_inference")
    write(tmp_path, inference(0), chosen=chosen, overrides={"defense.epsilon": 0.03, **overrides})
    [table] = compare("table6", find_results([tmp_path]))
    first, *others = paper_view.remarks(table)
    assert named in first
    assert ("not of the paper's size" in table.title) == bool(other)
    assert any("not of the paper's size" in text and other in text for text in others) == bool(other)


# The paper's numbers.


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_number_is_there_with_its_source(name: str) -> None:
    lines = printed(name)
    assert len(lines) == COUNTS[name]
    assert len({(line["dataset"], line["setting"], line["column"]) for line in lines}) == len(lines)
    for line in lines:
        assert line["table"] == name
        assert line["source"].startswith("Amulet paper, Section 6.")
        assert 0 <= float(line["mean"]) <= 100
        if name != "in_text":
            assert 0 <= float(line["error"]) < 20


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_every_cell_has_a_column_and_every_column_a_cell(name: str) -> None:
    assert {line["column"] for line in printed(name)} == set(LAYOUTS[name].columns)


@pytest.mark.parametrize(
    ("name", "dataset", "setting", "column", "mean", "error"),
    [
        ("table4", "celeba", "model=vgg13", "S1: Acc_rob", 8.60, 0.05),
        ("table4", "celeba", "model=vgg19", "S2: Acc_pois(M_std)", 7.57, 0.31),
        ("table4", "celeba", "model=resnet18", "P1: Online TPR@1%FPR", 2.70, 0.25),
        ("table4", "celeba", "model=vgg11", "P3: MSE_0", 0.19, 0.0),
        ("table6", "census", "baseline", "Acc_att(Sex)", 65.06, 1.21),
        ("table6", "lfw", "defense.epsilon=0.06", "Acc_att(Race)", 72.37, 2.79),
        ("table7", "lfw", "defense.epsilon=0.05", "Acc_rob(M_def)", 45.78, 12.10),
        ("table8", "cifar10", "defense.percent=40", "M_stol: Fid", 83.61, 0.89),
        ("table7", "census", "baseline", "Acc_te(M_def)", 81.95, 0.62),
        ("table7", "census", "defense.epsilon=0.05", "Acc_rob(M_std)", 26.02, 4.46),
        ("table7", "cifar10", "defense.epsilon=0.1", "M_stol: Fid_cor", 66.62, 17.33),
        ("table7", "lfw", "defense.epsilon=0.1", "M_stol: Fid", 99.74, 0.30),
        ("table8", "census", "undefended", "Acc_te", 84.60, 0.16),
        ("table8", "fmnist", "defense.percent=40", "M_stol: Fid_corr", 70.91, 1.62),
    ],
)
def test_some_of_the_numbers(name: str, dataset: str, setting: str, column: str, mean: float, error: float) -> None:
    [line] = [e for e in printed(name) if (e["dataset"], e["setting"], e["column"]) == (dataset, setting, column)]
    assert (float(line["mean"]), float(line["error"])) == (mean, error)


def test_table_8_is_joint_and_table_7_conditional_as_its_numbers_say() -> None:
    """Agreement and correctness cannot exceed fidelity times anything; recomputed from the paper's own cells."""
    eight = {(e["dataset"], e["setting"], e["column"]): float(e["mean"]) for e in printed("table8")}
    for (dataset, setting, column), joint in eight.items():
        if column == "M_stol: Fid_corr":
            assert joint <= eight[dataset, setting, "Acc_te"]
            assert joint <= eight[dataset, setting, "M_stol: Fid"]
    seven = {(e["dataset"], e["setting"], e["column"]): float(e["mean"]) for e in printed("table7")}
    above = [
        value > seven[dataset, setting, "Acc_te(M_def)"]
        for (dataset, setting, column), value in seven.items()
        if column == "M_stol: Fid_cor"
    ]
    assert all(above), "a joint share could not exceed the accuracy"


def test_what_is_doubtful_in_the_paper_is_noted() -> None:
    notes = {(e["dataset"], e["setting"], e["column"]): e["note"] for n in COUNTS for e in printed(n)}
    assert "two constant models" in notes["lfw", "defense.epsilon=0.1", "M_stol: Fid"]
    assert "collapsed" in notes["cifar10", "defense.epsilon=0.1", "Acc_te(M_def)"]
    assert "the other way round" in notes["census", "baseline", "Acc_att(Race)"]
    assert "not the text's conditional one" in notes["census", "undefended", "M_stol: Fid_corr"]
    assert "81.95" in notes["census", "undefended", "Acc_te"]


def test_table_5_lists_the_papers_pairs_and_two_more() -> None:
    lines = printed("table5")
    assert [line["status"] for line in lines].count("unexplored") == 9
    assert [line["status"] for line in lines].count("partly explored") == 5
    assert [(line["defense"], line["risk"]) for line in lines[14:]] == [
        ("outlier_removal", "unauth_model_ownership"),
        ("adv_training+dataset_inference", "unauth_model_ownership"),
    ]


# Distances.


def test_an_auc_is_compared_as_it_is_printed(tmp_path: Path) -> None:
    cell = cell_of(table6(tmp_path), "defense.epsilon=0.03", "AUC(Race)")
    ours = [0.62 + 0.01 * (seed - 1) for seed in range(3)]
    assert cell.difference == pytest.approx(np.mean(ours) - 0.63)
    assert cell.distance("se") == pytest.approx(abs(np.mean(ours) - 0.63) / math.hypot(float(stats.sem(ours)), 0.01))


def test_per_cent_by_both_readings(tmp_path: Path) -> None:
    cell = cell_of(table6(tmp_path), "defense.epsilon=0.03", "Acc_att(Sex)")
    error = 100 * float(stats.sem([0.65, 0.66, 0.67]))
    assert cell.difference == pytest.approx(66 - 66.23)
    assert cell.distance("se") == pytest.approx(0.23 / math.hypot(error, 0.58))
    assert cell.distance("sd") == pytest.approx(0.23 / math.hypot(error, 0.58 / math.sqrt(10)))


def test_an_error_printed_as_zero_is_half_a_digit(tmp_path: Path) -> None:
    table = table6(tmp_path, epsilon=0.06)
    cell = cell_of(table, "defense.epsilon=0.06", "AUC(Race)")
    assert cell.error == 0
    assert cell.distance("se") == pytest.approx(abs(cell.difference) / math.hypot(0.01 / math.sqrt(3), 0.005))


def test_lfws_gender_is_the_papers_sex(tmp_path: Path) -> None:
    cell = cell_of(table6(tmp_path, "lfw", "gender"), "defense.epsilon=0.03", "Acc_att(Sex)")
    assert cell.ours is not None
    assert cell.ours.mean == pytest.approx(0.66)


def test_the_baseline_is_the_undefended_victim(tmp_path: Path) -> None:
    table = table6(tmp_path)
    assert cell_of(table, "baseline", "Acc_te").by_seed == pytest.approx({0: 0.82, 1: 0.83, 2: 0.84})
    rob = cell_of(table, "defense.epsilon=0.03", "Acc_rob(M_std)")
    assert rob.by_seed == {0: 0.2, 1: 0.2, 2: 0.2}


# Tables without a defence.


def risks(folder: Path, dataset: str, model: str, attack: str, metrics: dict[str, float], **baselines: float) -> None:
    chosen = {**choices(defense="none", attack=attack, dataset=dataset), "model": model}
    made = MadeUp({"undefended": metrics}, baselines={"undefended": baselines})
    write(folder, made, chosen=chosen, overrides={"dataset.sensitive": ["Male"], "attack._target_": attack})


def test_table_4_takes_each_row_from_its_attack(tmp_path: Path) -> None:
    risks(tmp_path, "celeba", "vgg11", "evasion_pgd", {"robust_accuracy": 0.1, "test_accuracy": 0.5})
    risks(tmp_path, "celeba", "vgg11", "model_extraction", {"fidelity": 0.9, "test_accuracy": 0.91})
    risks(tmp_path, "celeba", "vgg11", "badnets", {"poisoned_accuracy": 0.95}, poisoned_accuracy=0.08)
    risks(tmp_path, "celeba", "vgg11", "attribute_inference", {"Male.balanced_accuracy": 0.57, "Young.auc": 0.9})
    risks(tmp_path, "celeba", "resnet18", "lira", {"lira_online.auc": 0.64, "train_accuracy": 0.94})
    [table] = compare("table4", find_results([tmp_path]))
    values = {
        (cell.setting, cell.column): cell.ours.mean * cell.scale
        for cell in table.cells
        if cell.ours is not None and cell.comparable
    }
    assert values == pytest.approx(
        {
            ("model=vgg11", "Acc_te"): 91,
            ("model=vgg11", "S1: Acc_rob"): 10,
            ("model=vgg11", "S2: Acc_pois(M_std)"): 8,
            ("model=vgg11", "S2: Acc_pois(M_pois)"): 95,
            ("model=vgg11", "S3: Fid(M_stol)"): 90,
            ("model=vgg11", "P2: Acc_att"): 57,
            ("model=resnet18", "P1: Online AUC"): 0.64,
            ("model=resnet18", "P1: Acc_tr"): 94,
        }
    )


def test_other_data_stands_beside_the_papers_without_a_distance(tmp_path: Path) -> None:
    risks(tmp_path, "lfw", "cnn", "evasion_pgd", {"robust_accuracy": 0.3})
    [table] = compare("table4", find_results([tmp_path]))
    cell = cell_of(table, "model=cnn", "S1: Acc_rob")
    assert cell.mean == 10.08
    assert math.isnan(cell.difference)
    assert table.count("se") == (0, 0)
    assert "for orientation" in paper_view.as_markdown([table])


def test_a_trial_on_a_part_of_the_data_is_not_called_near_the_paper(tmp_path: Path) -> None:
    whole = cell_of(table6(tmp_path / "whole"), "defense.epsilon=0.03", "Acc_att(Sex)")
    trial = cell_of(table6(tmp_path / "trial", limit=1000), "defense.epsilon=0.03", "Acc_att(Sex)")
    assert whole.comparable
    assert not trial.comparable
    assert trial.warnings[0] == "ours: a trial on at most 1,000 training records, not of the paper's size"


def test_two_kinds_of_runs_never_share_a_cell(tmp_path: Path) -> None:
    for steps, value in ((10, 0.1), (40, 0.3)):
        made = MadeUp({"undefended": {"robust_accuracy": value}})
        chosen = {**choices(defense="none", attack="evasion_pgd", dataset="celeba"), "model": "vgg11"}
        write(tmp_path, made, chosen=chosen, overrides={"attack.steps": steps})
    tables = compare("table4", find_results([tmp_path]))
    found = [cell_of(table, "model=vgg11", "S1: Acc_rob").by_seed for table in tables]
    assert found == [{0: 0.1}, {0: 0.3}]


def test_the_text_gives_no_error(tmp_path: Path) -> None:
    risks(tmp_path, "census", "linearnet", "attribute_inference", {"race.balanced_accuracy": 0.6})
    [table] = compare("in_text", find_results([tmp_path]))
    cell = cell_of(table, "model=linearnet", "P2: Acc_att(Race)")
    assert cell.difference == pytest.approx(1)
    assert math.isnan(cell.distance("se"))
    assert "no error" in paper_view.as_markdown([table])


# Which choice makes the difference.


def test_variants_that_differ_in_one_choice_show_what_it_does(tmp_path: Path) -> None:
    for labels, value in (("predicted", 0.42), ("true", 0.12)):
        for seed in range(2):
            made = typical(seed, 0.03)
            made.metrics["undefended"]["robust_accuracy"] = value
            settings = {"defense.epsilon": 0.03, "metric.evasion.attack.labels": labels}
            write(tmp_path, made, seed=seed, overrides=settings)
    tables = compare("table7", find_results([tmp_path]))
    [choice] = choices_of(tables)
    assert choice.differing == {"metric.evasion.attack.labels": ("predicted", "true")}
    moved, first, second = choice.columns["Acc_rob(M_std)"]
    assert (moved, first, second) == pytest.approx((-30, 0.4, 30.4))
    assert choice.columns["M_stol: Fid"][0] == pytest.approx(0)
    text = paper_view.as_markdown(tables)
    assert "metric.evasion.attack.labels predicted or true alone makes" in text
    assert "Acc_rob(M_std) -30.00 (0.40 and 30.40 from the paper)" in text


def test_variants_are_called_by_their_experiments(tmp_path: Path) -> None:
    for name, steps in (("table7_census", 7), ("table7_census_ours", 10)):
        write(tmp_path, typical(), overrides={"experiment": name, "defense.epsilon": 0.01, "defense.steps": steps})
    tables = compare("table7", find_results([tmp_path]))
    assert sorted(table.variant for table in tables) == ["experiment=table7_census", "experiment=table7_census_ours"]


def test_the_same_remark_stands_once(tmp_path: Path) -> None:
    chosen = choices(defense="outlier_removal")
    write(tmp_path, typical(), chosen=chosen, overrides={"defense.percent": 10})
    [table] = compare("table8", find_results([tmp_path]))
    remarks = [text for text in paper_view.remarks(table) if "not the text's conditional one" in text]
    assert len(remarks) == 1
    assert remarks[0].startswith("M_stol: Fid_corr: ")
    said = "undefended: near its ceiling"
    cells = [replace(cell, warnings=(said,) if cell.setting == "undefended" else ()) for cell in table.cells]
    assert said in paper_view.remarks(replace(table, cells=tuple(cells))), "the victim is named once"


# Table 5.


def interaction(folder: Path, defense: str, attack: str, moved: dict[str, float], seeds: int = 10) -> None:
    """Runs in which a defence moves each metric by so much, give or take half a point; fingerprinting moves none."""
    kind = "evasion.defenses.AdversarialTrainingPGD"
    if defense == "dataset_inference":
        kind = "unauth_model_ownership.defenses.DatasetInference"
    rng = np.random.default_rng(7)
    for seed in range(seeds):
        before = {name: 0.6 + 0.01 * rng.standard_normal() for name in moved}
        after = {name: before[name] + shift + 0.005 * rng.standard_normal() for name, shift in moved.items()}
        if defense == "dataset_inference":
            after = {**before, "stolen.ownership_fnr": 0.25, "p_value": 0.001}
        made = MadeUp({"undefended": before, "defended": after})
        chosen = choices(defense=defense, attack=attack)
        write(
            folder,
            made,
            seed=seed,
            chosen=chosen,
            overrides={"defense._target_": f"amulet.{kind}", "defense.alpha": 0.01},
        )


def test_the_verdicts_of_table_5_are_corrected_over_its_rows(tmp_path: Path) -> None:
    moved = {"race.balanced_accuracy": 0.03, "sex.balanced_accuracy": 0.001}
    interaction(tmp_path, "adv_training", "attribute_inference", moved)
    interaction(tmp_path, "dataset_inference", "model_inversion", {"mse": 0})
    [table] = paper_interactions.findings(find_results([tmp_path]))
    rows = {row.row.metric: row for row in table.rows if row.row}
    assert [row.outcome for row in table.rows if row.row] == ["rises", "equivalent", "unchanged by construction"]
    pairs = [rows[name].row for name in ("race.balanced_accuracy", "sex.balanced_accuracy")]
    raw = [float(stats.ttest_rel(*row.pairs).pvalue) for row in pairs if row]
    corrected = [min(1.0, 2 * min(raw)), max(min(1.0, 2 * min(raw)), *raw)]
    found = [row.verdict.p_value for row in table.rows if row.verdict and not math.isnan(row.verdict.p_value)]
    assert found == pytest.approx(corrected)
    assert len(table.rows) == 17, "sixteen pairs, one of them for two attributes"
    assert sum(row.row is None for row in table.rows) == 14


def test_fingerprinting_says_what_it_recognises(tmp_path: Path) -> None:
    interaction(tmp_path, "dataset_inference", "model_inversion", {"mse": 0})
    [table] = paper_interactions.findings(find_results([tmp_path]))
    [row] = [row for row in table.rows if row.row]
    assert row.verification == {"stolen.ownership_fnr": 0.25, "recognised": 1.0}
    assert row.sentence.startswith(
        "Unchanged by construction: it recognises an exact copy in 100.00% of the seeds, 75.00% of stolen models"
    )


def test_fingerprinting_says_what_poisoning_leaves_of_it_and_what_it_gives_away(tmp_path: Path) -> None:
    own = {
        "p_value": 0.5,
        "stolen.ownership_fnr": 1.0,
        "after_poisoning.p_value": 0.001,
        "after_poisoning.fine_tuned.ownership_fnr": 0.4,
        "after_poisoning.ownership_fpr": 0.1,
        "fingerprint_membership_auc": 0.55,
        "race.fingerprint_attribute_auc": 0.61,
    }
    for attack, metrics in (
        ("badnets", {"attack_success_rate": 0.9}),
        ("attribute_inference", {"race.balanced_accuracy": 0.6}),
        ("model_inversion", {"mse": 0.1}),
    ):
        runs = {victim: {**metrics, **own} for victim in ("undefended", "defended")}
        plain = {"race.fingerprint_attribute_auc": 0.6, "fingerprint_membership_auc": 0.52}
        made = MadeUp(runs, baselines=dict.fromkeys(runs, plain))
        kind = "amulet.unauth_model_ownership.defenses.DatasetInference"
        chosen = choices(defense="dataset_inference", attack=attack)
        write(tmp_path, made, chosen=chosen, overrides={"defense._target_": kind, "defense.alpha": 0.01})
    [table] = paper_interactions.findings(find_results([tmp_path]))
    described = {row.risk: row.sentence for row in table.rows if row.row}
    assert described["poisoning"] == (
        "Unchanged by construction: of the poisoned model it recognises an exact copy in 100.00% of the seeds, 60.00% "
        "of fine-tuned copies, and wrongly 10.00% of independent models; of the clean one it recognises an exact copy "
        "in 0.00% of the seeds, 0.00% of stolen models."
    )
    assert described["attribute_inference"] == (
        "Unchanged by construction: fingerprints tell race with an AUC of 61.00% (answers and labels alone: 60.00%)."
    )
    assert (
        "fingerprints tell a training record with an AUC of 55.00% (the loss alone: 52.00%)"
        in (described["data_reconstruction"])
    )


def test_a_finding_stands_beside_what_its_measurement_warned_of(tmp_path: Path) -> None:
    said = {"data_reconstruction": {"defended": {"warnings": ["defended: the search led away"]}}}
    chosen = choices(defense="outlier_removal", attack="model_inversion")
    for seed in range(3):
        values = {"undefended": {"mse": 0.1 + seed / 100}, "defended": {"mse": 0.05}}
        write(tmp_path, MadeUp(values, manifest=said), seed=seed, chosen=chosen)
    found = shown("table5", find_results([tmp_path]))
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(found.view(80))
    doubt = "defended: the search led away (3 of 3 seeds)"
    assert f"! {doubt}" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert f"- ! SD2 outlier removal → P3 data reconstruction: {doubt}" in found.forms["markdown"]()
    (row,) = [row for row in csv.DictReader(io.StringIO(found.forms["csv"]())) if row["metric"]]
    assert row["doubts"] == doubt


def test_a_warning_of_one_attribute_does_not_stand_beside_another(tmp_path: Path) -> None:
    said = ["undefended: only 8 records have race = 0", "undefended: the model is a constant, on average"]
    manifest = {"attribute_inference": {"undefended": {"warnings": said}}}
    values = {"race.balanced_accuracy": 0.6, "age.balanced_accuracy": 0.6}
    made = MadeUp(dict.fromkeys(("undefended", "defended"), values), manifest=manifest)
    write(tmp_path, made, chosen=choices(attack="attribute_inference"))
    [table] = paper_interactions.findings(find_results([tmp_path]))
    doubts = {row.row.metric: row.warnings for row in table.rows if row.row}
    assert doubts == {"race.balanced_accuracy": tuple(said), "age.balanced_accuracy": tuple(said[1:])}


def test_what_was_run_and_cannot_be_measured_is_not_called_unrun(tmp_path: Path) -> None:
    chosen = choices(defense="dp_sgd")
    nothing = MadeUp({"undefended": {"fidelity_kappa": 0.9}, "defended": {"fidelity_kappa": math.nan}})
    write(tmp_path, nothing, chosen=chosen)
    interaction(tmp_path, "adv_training", "attribute_inference", {"race.balanced_accuracy": 0.03})
    [table] = paper_interactions.findings(find_results([tmp_path]))
    words = {(row.defense, row.risk): row.outcome for row in table.rows}
    assert words["dp_sgd", "unauth_model_ownership"] == "not measured"
    assert words["dp_sgd", "attribute_inference"] == "no run"
    text = shown("table5", find_results([tmp_path])).forms["markdown"]()
    assert "Not measured: fidelity_kappa is null for one of the victims on every seed" in text


def test_few_seeds_get_an_interval_and_no_verdict(tmp_path: Path) -> None:
    interaction(tmp_path, "adv_training", "model_extraction", {"fidelity_kappa": 0.05}, seeds=3)
    [table] = paper_interactions.findings(find_results([tmp_path]))
    [row] = [row for row in table.rows if row.row]
    assert row.outcome == "too few seeds"
    assert re.search(r"over 3 seeds: too few for a verdict", row.sentence)
    assert row.paper == "fidelity rises (Table 7)"


def test_a_change_too_small_to_count_is_told_in_words(tmp_path: Path) -> None:
    interaction(tmp_path, "adv_training", "model_extraction", {"fidelity_kappa": 0.001})
    [table] = paper_interactions.findings(find_results([tmp_path]))
    [row] = [row for row in table.rows if row.row]
    assert row.outcome == "equivalent"
    assert re.fullmatch(
        r"Equivalent: [+-]0\.\d\d points \[.*\], within the smallest change that counts\.", row.sentence
    )


@pytest.mark.parametrize("outcome", ["cannot show", "not measurable"])
def test_what_cannot_be_shown_has_its_reason(tmp_path: Path, outcome: str) -> None:
    interaction(tmp_path, "adv_training", "model_extraction", {"fidelity_kappa": 0.05})
    [table] = paper_interactions.findings(find_results([tmp_path]))
    [row] = [row for row in table.rows if row.row]
    assert row.row is not None
    assert row.verdict is not None
    verdict = replace(row.verdict, outcome=outcome, reason="the defended model answers one class")
    sentence = replace(row, row=replace(row.row, verdict=verdict)).sentence
    assert sentence.startswith(f"{outcome.capitalize()}: +4.88 points [")
    assert sentence.endswith("]; the defended model answers one class.")


def test_the_same_words_of_several_interactions_stand_once(tmp_path: Path) -> None:
    for attack, metric in (("model_inversion", "mse"), ("distribution_inference", "distinguishing_accuracy")):
        interaction(tmp_path, "dataset_inference", attack, {metric: 0})
    text = shown("table5", find_results([tmp_path])).forms["markdown"]()
    [line] = [line for line in text.splitlines() if "Unchanged by construction" in line and line.startswith("- ")]
    places = "SD3 fingerprinting → P3 data reconstruction, mse; SD3 fingerprinting → P4 distribution inference, "
    assert line.startswith(f"- {places}distinguishing_accuracy: Unchanged")
    assert text.count("No run here.") == 1


def test_table_5_in_every_form(tmp_path: Path) -> None:
    interaction(tmp_path, "adv_training", "model_extraction", {"fidelity_kappa": 0.05})
    found = shown("table5", find_results([tmp_path]))
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(found.view(80))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert max(map(len, text.splitlines())) <= 80
    assert "SD1 adversarial training → S3" in text
    assert "The risk rises" in text
    lines = [line for line in found.forms["markdown"]().splitlines() if line.startswith("|")]
    assert {line.count("|") for line in lines} == {len(paper_interactions_view.HEAD) + 1}
    rows = list(csv.DictReader(io.StringIO(found.forms["csv"]())))
    assert [row["verdict"] for row in rows].count("rises") == 1
    assert [row["verdict"] for row in rows].count("no run") == 15
    code = "\n".join(line for line in found.forms["latex"]().splitlines() if not line.startswith("%"))
    assert "→" not in code
    assert not re.search(r"(?<!\\)_", code)


def test_table_5_without_its_runs(tmp_path: Path) -> None:
    write(tmp_path, typical(), chosen=choices(defense="watermark"))
    with pytest.raises(UsageError, match="No finished run here belongs to Table 5"):
        paper_interactions.findings(find_results([tmp_path]))


# Figures 3 and 4.


def removals(folder: Path) -> None:
    for percent in (10, 40):
        for seed in range(2):
            made = typical(seed, percent / 1000)
            write(
                folder,
                made,
                seed=seed,
                chosen=choices(defense="outlier_removal"),
                overrides={"defense.percent": percent},
            )


@pytest.mark.parametrize("name", sorted(FIGURES))
def test_a_figure_has_our_points_and_the_papers(tmp_path: Path, name: str) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    removals(tmp_path)
    column = FIGURES[name][1]
    tables = [only(table, ("Acc_te", column), FIGURES[name][2]) for table in compare(name, find_results([tmp_path]))]
    [axes] = drawn(name, tables).axes
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    theirs = lines[f"{column}, paper"].get_xydata()
    wanted = [(cell.mean) for cell in tables[0].cells if cell.column == column]
    assert np.asarray(theirs)[:, 1].tolist() == wanted
    assert np.asarray(theirs)[:, 0].tolist() == [0, 10, 20, 30, 40]
    metric = LAYOUTS["table8"].columns[column].metric
    ours = [100 * np.mean([typical(s, 0.04).metrics["defended"][metric] for s in range(2)])]
    drawn_points = [np.asarray(line.get_xydata()) for line in axes.get_lines() if len(line.get_xdata()) == 3]  # pyright: ignore[reportArgumentType]
    assert any(np.isclose(points[:, 1], ours[0]).any() for points in drawn_points)
    from amulet_cli.paper.figure import description

    assert re.search(rf"census: {re.escape(column)} from \d+\.\d at 0 % to", description(tables, column))


def test_the_figures_are_offered_where_their_runs_are(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="figures need matplotlib")
    removals(tmp_path)
    results = find_results([tmp_path])
    offered = {one.kind: one for one in drawings(aggregate(results), results)}
    assert set(FIGURES) <= set(offered)
    assert "census: Acc_te from" in offered["figure4"].description
    assert len(offered["figure4"].cells) == 2
    from amulet_cli.views.figures.style import as_svg

    svg = as_svg(offered["figure4"].draw(), offered["figure4"].title, offered["figure4"].description)
    assert "Figure 4" in svg


def test_a_figure_is_a_table_too(tmp_path: Path) -> None:
    removals(tmp_path)
    found = shown("figure3", find_results([tmp_path]))
    rows = list(csv.DictReader(io.StringIO(found.forms["csv"]())))
    assert {row["column"] for row in rows} == {"Acc_te", "M_stol: Fid"}


def test_every_name_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, typical())
    (view,) = [one for one in views() if one.name == "paper"]
    assert set(view.names) == {*LAYOUTS, *FIGURES, "table5"}
    with pytest.raises(UsageError, match="`--paper` must be one of figure3, figure4, in_text, table4"):
        verb.main([str(tmp_path), "--paper", "table9"])


def test_the_csv_says_which_numbers_can_be_compared(tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([table6(tmp_path)]))))
    assert {row["comparable"] for row in rows} == {"true"}
    [row] = [r for r in rows if (r["setting"], r["column"]) == ("defense.epsilon=0.03", "AUC(Sex)")]
    assert float(row["ours"]) == pytest.approx(0.70)
    assert float(row["difference"]) == pytest.approx(0.0)
