"""Results as one object: frames, verdicts, limits, files, the page."""

from pathlib import Path

import numpy as np
import pytest

import amulet
from amulet.core.errors import SettingError
from amulet_cli.analysis.groups import aggregate
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import result_folder
from amulet_cli.results.writing import write_status
from tests.helpers.made_up_results import MadeUp, choices, config, typical, with_records, write
from tests.helpers.report_toys import people, sweep


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed in range(3):
        write(tmp_path / "runs", with_records(typical(seed)), seed=seed)
    return tmp_path / "runs"


def test_a_row_for_each_victim_metric_and_seed(folder: Path) -> None:
    found = amulet.load_results(folder)
    frame = found.to_frame()
    assert len(frame) == 3 * 2 * 8
    row = frame[(frame.seed == 1) & (frame.victim == "defended") & (frame.metric == "robust_accuracy")].iloc[0]
    made = typical(1)
    assert row.value == made.metrics["defended"]["robust_accuracy"]
    assert (row.low, row.high) == made.intervals["defended"]["robust_accuracy"]
    assert row.baseline == made.baselines["defended"]["robust_accuracy"]
    assert (row.risk, row.harm, row.decides) == ("evasion", "lower", True)
    assert row.label
    overall = found.overall.xs("robust_accuracy", level="metric").iloc[0]
    values = frame[frame.metric == "robust_accuracy"].groupby("victim").value.mean()
    assert overall.undefended == pytest.approx(values.undefended)
    assert overall.change == pytest.approx(values.defended - values.undefended)


def test_a_sweep_keeps_its_settings_apart(tmp_path: Path) -> None:
    sweep(tmp_path, seeds=2)
    found = amulet.load_results(tmp_path)
    assert set(found.to_frame()["defense.epsilon"]) == {0.01, 0.03, 0.1}
    assert found.overall.index.names == ["defense.epsilon", "risk", "metric", "label"]


def test_verdicts_are_those_of_the_report(folder: Path) -> None:
    rows = [row for row in aggregate(find_results([folder])).rows if row.verdict]
    found = amulet.load_results(folder).verdicts
    assert list(found.metric) == [row.metric for row in rows]
    assert list(found.verdict) == [row.verdict.outcome for row in rows if row.verdict]
    assert set(found.seeds) == {3}


def test_rates_by_group_are_counted(tmp_path: Path) -> None:
    result = people(tmp_path)
    frame = amulet.load_results(tmp_path).by_group
    kept = np.load(result.folder / "evidence.npz")
    part = "defended.discriminatory_behavior."
    women = kept[f"{part}groups"][:, 1] == 0
    answers, labels = kept[f"{part}answers"], kept[f"{part}labels"]
    row = frame.reset_index().query("victim == 'defended' and group == 'sex 0'").iloc[0]
    assert row.records == women.sum()
    assert row["predicted positive"] == pytest.approx(answers[women].mean())
    assert row["true positive rate"] == pytest.approx(answers[women & (labels == 1)].mean())


def test_no_groups_make_an_empty_frame(folder: Path) -> None:
    assert amulet.load_results(folder).by_group.empty


def test_limits_as_on_the_command_line(folder: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("rules: [{id: a, metric: test_accuracy, at_least: 0.5}]")
    assert amulet.load_results(folder).check(policy).exit_code == 0
    with pytest.raises(SettingError, match=r"no policy `bank_credits`.*did you mean: bank_credit"):
        amulet.load_results(folder).check("bank_credits")


def test_what_was_refused_and_what_was_warned_of(tmp_path: Path) -> None:
    made = typical()
    made.warnings = ["look twice", "look twice"]
    write(tmp_path, made)
    lost = result_folder(config(1), choices(attack="lira"), tmp_path)
    write_status(lost, "refused", reason="it has no gradients", choices=choices(attack="lira"))
    broken = result_folder(config(2), choices(), tmp_path)
    write_status(broken, "failed", error="out of memory")
    found = amulet.load_results(tmp_path)
    [one] = found.refused
    assert (one.attack, one.seed, one.reason) == ("lira", 1, "it has no gradients")
    assert [one.reason for one in found.failed] == ["out of memory"]
    assert found.warnings == ("look twice",)
    assert repr(found).startswith("Results(3 runs: 1 finished, 1 refused, 1 failed; census")


def test_saved_runs_are_read_again(folder: Path, tmp_path: Path) -> None:
    found = amulet.load_results(folder)
    for _ in range(2):
        found.save(tmp_path / "out")
    again = amulet.load_results(tmp_path / "out")
    assert again.to_frame().equals(found.to_frame())
    found.save(folder)
    assert len(amulet.load_results(folder)) == 3


def test_a_notebook_shows_a_table_and_escapes_it(tmp_path: Path) -> None:
    write(tmp_path, MadeUp({"undefended": {"<b>bold": 0.5}}, warnings=["<script>"]))
    text = amulet.load_results(tmp_path)._repr_html_()  # pyright: ignore[reportPrivateUsage] - as IPython calls it
    assert "<table" in text
    assert "&lt;script&gt;" in text
    assert "<b>bold" not in text


def test_the_page_and_the_figure(tmp_path: Path) -> None:
    sweep(tmp_path, seeds=2)
    found = amulet.load_results(tmp_path)
    assert "<html" in found.to_html()
    assert found.plot("sweep", "robust_accuracy").axes
    with pytest.raises(SettingError, match="`--kind` roc"):
        found.plot("roc")


def test_nothing_to_load(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="there is no run"):
        amulet.load_results(tmp_path)
    with pytest.raises(SettingError, match="There is no folder"):
        amulet.load_results(tmp_path / "nowhere")
