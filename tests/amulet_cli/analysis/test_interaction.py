"""From result folders to the interaction matrix: cells, verdicts, what is counted once and what is kept apart."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from amulet_cli.analysis.matrix.entries import Entry, interactions, matrices
from amulet_cli.base.errors import UsageError
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result
from amulet_cli.results.writing import write_status
from amulet_cli.views.matrix_data import as_csv, as_json
from amulet_cli.views.matrix_table import matrix_table
from tests.helpers.made_up_results import MadeUp, choices, write

TARGETS = {
    "adv_training": "amulet.evasion.defenses.AdversarialTrainingPGD",
    "dp_sgd": "amulet.membership_inference.defenses.DPSGD",
    "dataset_inference": "amulet.unauth_model_ownership.defenses.DatasetInference",
    "watermark": "amulet.unauth_model_ownership.defenses.WatermarkNN",
}
BASE = {"test_accuracy": 0.84, "robust_accuracy": 0.5, "race.balanced_accuracy": 0.6, "sex.balanced_accuracy": 0.7}
_OWN = {"dp_sgd": {"lira_online.auc": 0.7}, "watermark": {"fidelity_kappa": 0.8, "ownership_accuracy": 0.5}}


def run(
    folder: Path,
    defense: str,
    seed: int,
    effects: dict[str, float] | None = None,
    attack: str = "none",
    noise: float = 0.005,
    verified: Any = None,
    **settings: Any,
) -> Result:
    """A run whose numbers are noise of a hundredth around `BASE`, the defended victim's moved by `effects`."""
    effects = effects or {}
    draw = np.random.default_rng([seed, len(defense)])
    of_it = BASE | (_OWN[defense] if effects.keys() & _OWN.get(defense, {}).keys() else {})
    before = {name: value + draw.normal(0, 0.01) for name, value in of_it.items()}
    noise = 0.0 if defense == "dataset_inference" else noise
    after = {name: value + effects.get(name, 0.0) + draw.normal(0, noise) for name, value in before.items()}
    if defense == "dataset_inference":
        verified = verified or {"ownership_fpr": 0.0, "ownership_fnr": 0.2}
        before, after = before | verified, after | verified
    manifest = {
        "refused": {"distribution_inference": "no two shares"},
        "evasion": {"defended": {"warnings": [f"defended: gradients are masked at {seed}%"]}},
    }
    baselines = {"undefended": {"test_accuracy": 0.76}, "defended": {"test_accuracy": 0.76}}
    made = MadeUp({"undefended": before, "defended": after}, baselines, manifest=manifest)
    overrides = {"defense._target_": TARGETS[defense], "attack._target_": None, **settings}
    return write(folder, made, seed=seed, chosen=choices(defense, attack), overrides=overrides)


def ten(folder: Path, defense: str, effects: dict[str, float] | None = None, **settings: Any) -> list[Result]:
    return [run(folder, defense, seed, effects, **settings) for seed in range(10)]


def of_suspects(result: Result) -> Result:
    """The same, with the facts that the library states of one kind of suspect's metrics."""
    plain = result.facts.of("ownership_fnr")
    stated = {f"{kind}.ownership_fnr": replace(plain, subject={"suspects": kind}) for kind in ("stolen", "pruned_50")}
    return replace(result, facts=replace(result.facts, metrics={**result.facts.metrics, **stated}))


def only(entries: tuple[Entry, ...]) -> Entry:
    (entry,) = entries
    return entry


def text_of(results: list[Result], width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(matrix_table(interactions(results), width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_cell_for_every_defence_and_risk_with_a_verdict_on_the_risk(tmp_path: Path) -> None:
    ten(tmp_path, "adv_training", {"robust_accuracy": 0.3, "sex.balanced_accuracy": 0.03})
    ten(tmp_path, "dp_sgd", {"robust_accuracy": -0.1, "race.balanced_accuracy": -0.02})
    found = interactions(find_results([tmp_path]))
    assert found.defenses == ("adv_training", "dp_sgd"), "in the literature's order"
    assert found.risks == ("S1", "P2", "P4")
    assert found.seeds == tuple(range(10))
    assert found.compared == 6
    s1 = only(found.cells["adv_training", "S1"])
    assert s1.outcome == "falls", "robust accuracy rises, so the risk falls"
    assert s1.change.mean == pytest.approx(0.3, abs=0.01)
    assert s1.harm == pytest.approx(-s1.change.mean)
    assert s1.agreement == "agrees"
    race, sex = found.cells["adv_training", "P2"]
    assert [race.attribute, sex.attribute] == ["race", "sex"]
    assert [race.outcome, sex.outcome] == ["equivalent", "rises"]
    assert race.verdict.detectable > 0
    assert sex.agreement == "was unexplored"
    assert only(found.cells["dp_sgd", "S1"]).agreement == "not comparable"
    assert "own risk" in only(found.cells["dp_sgd", "S1"]).not_comparable, "its effect on membership is unknown"
    assert found.refused["dp_sgd", "P4"] == "no two shares"
    assert ("dp_sgd", "P4") not in found.cells


def test_the_opposite_of_what_is_expected_contradicts(tmp_path: Path) -> None:
    effects = {"lira_online.auc": -0.1, "robust_accuracy": 0.2, "race.balanced_accuracy": -0.02}
    found = interactions(ten(tmp_path, "dp_sgd", effects))
    assert only(found.cells["dp_sgd", "P1"]).agreement == "agrees"
    assert only(found.cells["dp_sgd", "S1"]).agreement == "contradicts"
    race, sex = found.cells["dp_sgd", "P2"]
    assert [race.agreement, sex.agreement] == ["agrees", "not seen"]


def test_a_defence_that_does_not_work_says_nothing_about_the_literature(tmp_path: Path) -> None:
    found = interactions(ten(tmp_path, "dp_sgd", {"lira_online.auc": 0.1, "robust_accuracy": -0.2}))
    assert only(found.cells["dp_sgd", "S1"]).outcome == "rises"
    assert only(found.cells["dp_sgd", "S1"]).agreement == "not comparable"
    assert "P1 lira_online.auc: rises" in only(found.cells["dp_sgd", "S1"]).not_comparable


def test_theft_is_not_what_a_defence_that_proves_theft_is_judged_by(tmp_path: Path) -> None:
    def proving(result: Result) -> Result:
        metrics = dict(result.facts.metrics)
        stated = replace(metrics["ownership_accuracy"], decides=True, verifies=True, harm="lower")
        return replace(result, facts=replace(result.facts, metrics=metrics | {"ownership_accuracy": stated}))

    def found(proof: float) -> tuple[Entry, Entry, Entry]:
        effects = {"fidelity_kappa": -0.2, "ownership_accuracy": proof, "robust_accuracy": 0.2}
        made = interactions([*map(proving, ten(tmp_path / str(proof), "watermark", effects))])
        by_metric = {entry.metric: entry for entry in made.cells["watermark", "S3"]}
        return by_metric["fidelity_kappa"], by_metric["ownership_accuracy"], only(made.cells["watermark", "S1"])

    theft, proof, evasion = found(0.4)
    assert (theft.outcome, theft.agreement) == ("falls", "not comparable")
    assert "ownership_accuracy" in theft.not_comparable
    assert (proof.outcome, proof.agreement) == ("falls", "agrees")
    assert not evasion.not_comparable
    theft, proof, evasion = found(-0.4)  # nobody's theft is proved: that less is stolen does not save it
    assert (theft.outcome, proof.outcome) == ("falls", "rises")
    assert "the defence does not lower its own risk here (S3 ownership_accuracy: rises)" in evasion.not_comparable


def test_what_alters_no_weight_is_unchanged_by_construction_and_no_test(tmp_path: Path) -> None:
    results = [*ten(tmp_path, "dataset_inference"), *ten(tmp_path, "dp_sgd")]
    found = interactions(results)
    entry = only(found.cells["dataset_inference", "S1"])
    assert (entry.outcome, entry.change.mean, entry.agreement) == ("unchanged by construction", 0.0, "not comparable")
    assert found.compared == 3
    rows = {row.metric: row.summaries["defended"].mean for row in found.verification["dataset_inference"]}
    assert rows == {"ownership_fpr": 0.0, "ownership_fnr": 0.2}
    assert "dp_sgd" not in found.verification
    text = text_of(results)
    assert "Does ownership verification work?" in text
    assert "ownership_fnr 20.00%" in text


def test_verification_has_a_line_for_each_kind_of_suspect(tmp_path: Path) -> None:
    found = {"ownership_fpr": 0.0, "ownership_fnr": 0.2, "stolen.ownership_fnr": 1.0, "pruned_50.ownership_fnr": 0.05}
    results = [*map(of_suspects, ten(tmp_path, "dataset_inference", verified=found)), *ten(tmp_path, "dp_sgd")]
    lines = [line.split() for line in text_of(results).splitlines()]
    start = lines.index(["suspects", "ownership_fnr"])
    assert sorted(lines[start + 2 : start + 4]) == [["pruned_50", "5.00%"], ["stolen", "100.00%"]]
    assert lines[start + 1] == ["overall", "20.00%"]
    assert "dataset_inference ownership_fpr 0.00%".split() in lines


def test_fewer_than_ten_seeds_have_no_verdict(tmp_path: Path) -> None:
    found = interactions([run(tmp_path, "adv_training", seed, {"robust_accuracy": 0.3}) for seed in range(3)])
    entry = only(found.cells["adv_training", "S1"])
    assert (entry.outcome, entry.agreement, found.compared) == ("too few seeds", "not comparable", 0)
    assert entry.change.low < entry.change.mean < entry.change.high


def test_the_same_measurement_in_several_jobs_counts_once(tmp_path: Path) -> None:
    alone = interactions(ten(tmp_path / "a", "adv_training"))
    others = ten(tmp_path / "b", "adv_training", None, attack="badnets", **{"attack.rate": 0.1})
    again = interactions([*find_results([tmp_path / "a"]), *others])
    assert again.compared == alone.compared == 3
    entry = only(again.cells["adv_training", "S1"])
    assert (entry.change.n, entry.setting) == (10, "")
    assert entry.verdict == only(alone.cells["adv_training", "S1"]).verdict


def test_seeds_measured_by_the_same_settings_in_other_jobs_are_put_together(tmp_path: Path) -> None:
    first = [run(tmp_path, "adv_training", seed) for seed in range(5)]
    other = [run(tmp_path, "adv_training", seed, None, "badnets", **{"attack.rate": 0.1}) for seed in range(5, 10)]
    assert only(interactions([*first, *other]).cells["adv_training", "S1"]).change.n == 10


def test_other_settings_of_the_attack_are_kept_apart(tmp_path: Path) -> None:
    results = ten(tmp_path, "adv_training")
    pgd = {"attack._target_": "amulet.evasion.attacks.EvasionPGD", "attack.steps": 5}
    results += ten(tmp_path, "adv_training", {"robust_accuracy": 0.2}, attack="evasion_pgd", **pgd)
    found = interactions(results)
    default, five = found.cells["adv_training", "S1"]
    assert default.change.mean < 0.1 < five.change.mean
    assert (default.setting, five.setting) == ("default settings", "EvasionPGD")
    assert len(found.cells["adv_training", "P2"]) == 2, "measured by the same attack, with the same numbers"


def test_other_numbers_by_the_same_settings_are_left_out_and_told(tmp_path: Path) -> None:
    results = ten(tmp_path / "a", "adv_training") + ten(tmp_path / "b", "adv_training", {"robust_accuracy": 0.1})
    found = interactions(results)
    entry = only(found.cells["adv_training", "S1"])
    assert entry.change.n == 10
    assert abs(entry.change.mean) < 0.05
    assert any("has another robust_accuracy than" in note for note in found.notes)


def test_one_defence_with_two_settings_makes_two_rows(tmp_path: Path) -> None:
    results = [r for e in (0.01, 0.1) for r in ten(tmp_path, "adv_training", None, **{"defense.epsilon": e})]
    assert interactions(results).defenses == ("adv_training epsilon=0.01", "adv_training epsilon=0.1")


def test_other_settings_make_another_matrix(tmp_path: Path) -> None:
    results = [run(tmp_path, "dp_sgd", 0, epochs=epochs) for epochs in (10, 20)]
    first, second = matrices(results)
    assert (first.title, second.title) == ("census · linearnet · epochs 10", "census · linearnet · epochs 20")
    with pytest.raises(UsageError, match="make 2 matrices"):
        interactions(results)
    with pytest.raises(UsageError, match="no finished run with a defence"):
        matrices([])


def test_warnings_and_collapsed_victims_travel_along(tmp_path: Path) -> None:
    results = ten(tmp_path, "adv_training", {"test_accuracy": -0.07})
    found = interactions(results)
    (flag,) = only(found.cells["adv_training", "S1"]).warnings
    assert flag == "defended: gradients are masked at 0% (10 of 10 seeds)"
    (doubt,) = found.victim_warnings["adv_training"]
    assert doubt.startswith("defended: test accuracy within 5 points of always answering the majority class on seed 0")
    text = text_of(results)
    assert "! Do not average these away" in text
    assert "gradients are masked" in text


def test_a_large_error_and_a_limit_are_flagged(tmp_path: Path) -> None:
    results: list[Result] = []
    for seed in range(10):
        row = {"robust_accuracy": 0.2 + 0.06 * seed, "attack_success_rate": 1.0}
        made = MadeUp({"undefended": row, "defended": row | {"robust_accuracy": 0.5}})
        overrides = {"defense._target_": TARGETS["dp_sgd"], "attack._target_": None}
        results.append(write(tmp_path, made, seed=seed, chosen=choices("dp_sgd", "none"), overrides=overrides))
    found = interactions(results)
    assert only(found.cells["dp_sgd", "S1"]).warnings == ("undefended: standard error of 5.7 points over 10 seeds",)
    (limit,) = only(found.cells["dp_sgd", "S2"]).warnings
    assert "both victims are at 100% on every seed" in limit


def test_failed_and_refused_runs_are_named(tmp_path: Path) -> None:
    results = ten(tmp_path, "dp_sgd")
    failed = tmp_path / "census/linearnet/dp_sgd/none/abcdef01/seed=11"
    write_status(failed, "failed", error="the sky fell", choices=choices("dp_sgd", "none"))
    found = interactions(find_results([tmp_path]))
    assert [one.reason for one in found.missing] == ["the sky fell"]
    assert len(found.entries) == len(interactions(results).entries)


@pytest.mark.parametrize("width", [80, 120])
def test_the_table_fits_and_says_everything(width: int, tmp_path: Path) -> None:
    results = ten(tmp_path, "adv_training", {"robust_accuracy": 0.3, "sex.balanced_accuracy": 0.03})
    results += ten(tmp_path, "dp_sgd") + ten(tmp_path, "dataset_inference")
    text = text_of(results, width)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"\+(29|30)\.\d\d ▼ ▽ !", text)
    assert "≈" in text
    assert "sees 2." in text_of(ten(tmp_path / "other", "adv_training", noise=0.03), width)
    assert "=" in text
    assert "refused" in text
    assert "unexplored so far  adv_training: P2 sex.balanced_accuracy +3." in " ".join(text.split("\n")).replace(
        "\n", ""
    )
    assert "Holm-corrected over 6 comparisons, for a number of seeds fixed beforehand" in " ".join(text.split())


def test_the_data_has_every_number(tmp_path: Path) -> None:
    found = interactions(ten(tmp_path, "adv_training", {"robust_accuracy": 0.3}))
    rows = list(csv.DictReader(io.StringIO(as_csv(found))))
    assert [(row["risk"], row["metric"]) for row in rows] == [
        ("S1", "robust_accuracy"),
        ("P2", "race.balanced_accuracy"),
        ("P2", "sex.balanced_accuracy"),
    ]
    entry = only(found.cells["adv_training", "S1"])
    assert float(rows[0]["change"]) == entry.change.mean
    assert float(rows[0]["p_holm"]) == entry.verdict.p_value
    assert float(rows[0]["detectable"]) == entry.verdict.detectable
    assert (rows[0]["verdict"], rows[0]["expected"], rows[0]["agreement"]) == ("falls", "falls", "agrees")
    content = json.loads(as_json(found))
    assert content["entries"][0]["defended"]["3"] == entry.values["defended"][3]
    assert content["refused"] == [{"defense": "adv_training", "risk": "P4", "reason": "no two shares"}]
    assert len(content["entries"][0]["runs"]) == 10
