"""What the numbers of a row can carry: seeds without a number, models that collapsed, floors, ceilings, baselines."""

import io
import json
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.text import Text
from rich.console import Console

from amulet.assessment.verdict import Verdict
from amulet.core.facts import DefenseFacts, RiskFacts, RunFacts
from amulet.unauth_model_ownership.metrics.names import METRICS as MEASURED
from amulet_cli.analysis.comparisons import change_of, smallest_effects
from amulet_cli.analysis.groups import aggregate
from amulet_cli.analysis.matrix.entries import interactions
from amulet_cli.analysis.rows import Row
from amulet_cli.base.errors import UsageError
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result
from amulet_cli.views.figures.matrix import interaction_matrix
from amulet_cli.views.matrix_data import as_json
from amulet_cli.views.matrix_table import matrix_table
from tests.helpers.made_up_results import MadeUp, choices, config, stated, with_records, write

ROBUST, AUC = "robust_accuracy", "lira_online.auc"
NOISE = (-0.004, 0.003, 0.001, -0.002, 0.004, 0.0, -0.001, 0.002, -0.003, 0.0)


def runs(
    folder: Path,
    metric: str,
    before: float,
    after: float | Mapping[int, float],
    *,
    seeds: int = 10,
    baseline: float = math.nan,
    collapsed: tuple[int, ...] = (),
    invalid: Mapping[int, str] | None = None,
) -> list[Result]:
    """A metric of both victims over seeds, with a little noise."""
    made: list[Result] = []
    for seed in range(seeds):
        moved = after.get(seed, before) if isinstance(after, Mapping) else after
        numbers = {"undefended": {metric: before + NOISE[seed]}, "defended": {metric: moved + NOISE[-1 - seed]}}
        outcome = MadeUp(numbers, {v: {metric: baseline} for v in numbers} if math.isfinite(baseline) else {})
        overrides: dict[str, Any] = {"attack._target_": None}
        outcome = stated(outcome, config(seed, **overrides))
        facts = replace(outcome.facts, collapsed=("defended",) if seed in collapsed else ())
        outcome = replace(outcome, facts=facts)
        if reason := (invalid or {}).get(seed):
            outcome = replace(outcome, invalid={"defended": {metric: reason}})
        made.append(write(folder, outcome, seed=seed, chosen=choices(attack="none"), overrides=overrides))
    return made


def judged(results: list[Result], **smallest: float) -> Verdict:
    (row,) = (row for row in aggregate(results, smallest_effect=smallest).rows if row.facts.decides)
    assert row.verdict is not None
    return row.verdict


def test_seeds_without_a_number_are_counted_and_not_dropped(tmp_path: Path) -> None:
    verdict = judged(runs(tmp_path, ROBUST, 0.4, {**dict.fromkeys(range(10), 0.8), 2: math.nan, 7: math.nan}))
    assert (verdict.outcome, verdict.reason) == ("not measurable", "there is no number on 2 of 10 seeds")
    (found,) = interactions(find_results([tmp_path])).entries
    assert (found.outcome, found.agreement) == ("not measurable", "not comparable")


def test_a_cell_without_any_number_is_still_there(tmp_path: Path) -> None:
    runs(tmp_path, ROBUST, math.nan, math.nan)
    (found,) = interactions(find_results([tmp_path])).entries
    assert (found.outcome, found.verdict.reason) == ("not measurable", "there is no number on 10 of 10 seeds")


def test_a_cell_without_any_number_is_in_every_view(tmp_path: Path) -> None:
    found = interactions(runs(tmp_path, ROBUST, math.nan, math.nan))
    console = Console(file=io.StringIO(), width=100)
    console.print(matrix_table(found, 100))
    assert isinstance(console.file, io.StringIO)
    assert re.search(rf"{ROBUST} ↓ .*\n +not measurable", console.file.getvalue())
    (entry,) = json.loads(as_json(found))["entries"]
    assert (entry["metric"], entry["verdict"], entry["change"]) == (ROBUST, "not measurable", None)
    assert entry["defended"] == {}
    words = [text.get_text() for text in interaction_matrix(found).findobj(Text)]
    assert "not measurable" in words
    assert not {"not measured", "refused"} & set(words)


def test_the_error_over_shared_test_records_is_in_the_verdict(tmp_path: Path) -> None:
    """A change that every seed shows on the same few records may be those records' alone."""

    def made(folder: Path, *, records: bool) -> list[Result]:
        results: list[Result] = []
        for seed in range(10):
            numbers = {"undefended": {ROBUST: 0.4 + NOISE[seed]}, "defended": {ROBUST: 0.45 + NOISE[-1 - seed]}}
            spans = {v: {ROBUST: (row[ROBUST] - 0.05, row[ROBUST] + 0.05)} for v, row in numbers.items()}
            outcome = MadeUp(numbers, intervals=spans)
            outcome = with_records(outcome) if records else outcome
            settings = {"attack._target_": None}
            results.append(write(folder, outcome, seed=seed, chosen=choices(attack="none"), overrides=settings))
        return results

    shared, apart = made(tmp_path / "shared", records=True), made(tmp_path / "apart", records=False)
    assert (judged(shared).outcome, judged(apart).outcome) == ("no evidence", "falls")
    for results, outcome in ((shared, "no evidence"), (apart, "falls")):
        (entry,) = interactions(results).entries
        assert entry.outcome == outcome
        assert entry.change.mean == pytest.approx(0.05)
        assert (entry.change.low < 0) == (results is shared)


def test_a_model_that_answers_one_class_is_never_better(tmp_path: Path) -> None:
    results = runs(tmp_path, ROBUST, 0.4, 0.76, collapsed=(0, 1, 2))
    verdict = judged(results)
    assert verdict.outcome == "not measurable"
    assert verdict.reason == "the defended model answers one class on 3 of 10 seeds"
    found = change_of(results[0], ROBUST)
    assert found is not None
    assert found[1] == "the defended model answers one class"


def test_a_measurement_that_calls_itself_invalid_carries_no_verdict(tmp_path: Path) -> None:
    verdict = judged(runs(tmp_path, ROBUST, 0.4, 0.8, invalid={3: "gradients are masked"}))
    assert (verdict.outcome, verdict.reason) == ("cannot show", "defended: gradients are masked (1 of 10 seeds)")


@pytest.mark.parametrize(
    ("metric", "before", "after", "baseline", "outcome"),
    [
        (AUC, 0.505, 0.5, 0.5, "cannot show"),  # a fall from almost nothing
        (AUC, 0.505, 0.6, 0.5, "rises"),  # there was room upwards
        (AUC, 0.6, 0.5, 0.5, "falls"),
        (AUC, 0.999, 0.9985, 0.5, "cannot show"),  # the attack always succeeds
        (AUC, 0.999, 0.8, 0.5, "falls"),
        (ROBUST, 0.001, 0.001, 0.84, "cannot show"),  # nothing is left to lose
        (ROBUST, 0.001, 0.5, 0.84, "falls"),
        (ROBUST, 0.838, 0.84, 0.84, "cannot show"),  # the attack does nothing
        (ROBUST, 0.838, 0.6, 0.84, "rises"),
    ],
)
def test_floors_ceilings_and_baselines(
    tmp_path: Path, metric: str, before: float, after: float, baseline: float, outcome: str
) -> None:
    assert judged(runs(tmp_path, metric, before, after, baseline=baseline)).outcome == outcome


def test_the_smallest_effect_is_the_metrics_or_what_is_asked(tmp_path: Path) -> None:
    results = runs(tmp_path, ROBUST, 0.4, 0.405)
    assert judged(results).outcome == "equivalent"
    assert judged(results, robust_accuracy=0.001).outcome != "equivalent"
    assert judged(results, fraction=0.001).smallest_effect == 0.001
    assert smallest_effects("mse=0.001,fraction=0.02") == {"mse": 0.001, "fraction": 0.02}
    assert smallest_effects("") == {}
    for wrong in ("0.02", "mse=", "mse=-1", "mse=nan", "=0.1"):
        with pytest.raises(UsageError, match="smallest effect must be"):
            smallest_effects(wrong)


def test_one_seed_has_the_interval_of_its_records(tmp_path: Path) -> None:
    made = MadeUp(
        {"undefended": {ROBUST: 0.4}, "defended": {ROBUST: 0.5}},
        intervals={"undefended": {ROBUST: (0.39, 0.41)}, "defended": {ROBUST: (0.49, 0.51)}},
    )
    (row,) = aggregate([write(tmp_path, with_records(made), chosen=choices(attack="none"))]).rows
    assert isinstance(row, Row)
    assert row.change.low < 0.1 < row.change.high
    assert row.change.high - row.change.low < 0.04


def test_verification_that_alters_no_weight_is_compared_with_having_none(tmp_path: Path) -> None:
    """Both victims are one model and have one number: what the defence adds is the proof."""
    facts = RunFacts(
        metrics={"ownership_accuracy": MEASURED["ownership_accuracy"].facts({"question": "ownership"}, decides=True)},
        risks={"unauth_model_ownership": RiskFacts(name="unauth_model_ownership", code="S3", title="ownership")},
        defenses=(DefenseFacts(kind="DatasetInference", risk="unauth_model_ownership", stage="after"),),
    )
    for seed in range(10):
        numbers = {victim: {"ownership_accuracy": 0.9 + NOISE[seed]} for victim in ("undefended", "defended")}
        made = MadeUp(numbers, {victim: {"ownership_accuracy": 0.5} for victim in numbers}, facts=facts)
        write(tmp_path, made, seed=seed, chosen=choices("dataset_inference", "none"))
    (entry,) = interactions(find_results([tmp_path])).entries
    assert entry.change.mean == pytest.approx(0.4, abs=0.01)
    assert entry.outcome == "falls"
