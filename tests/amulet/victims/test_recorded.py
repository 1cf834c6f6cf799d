"""A table of predictions is measured as far as answers go: the numbers of the model itself, and no others."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

import amulet
from amulet import victims
from amulet.assessment import Outcome, Plan, assess, check
from amulet.core import DataError, Factory, IncompatibleError, SettingError
from amulet.core.ranking import auc
from amulet.datasets import AmuletDataset, load_census, load_predictions
from amulet.datasets.custom.predictions import predictions_of
from amulet.evasion.attacks import TabularSearch
from amulet.membership_inference.attacks import LiRA, PopulationAttack, QuantileRegression
from amulet.membership_inference.attacks.population import shares_below
from amulet_cli.cli import main
from amulet_cli.results.reading import find_results

CENSUS = load_census(limit=400)
MODEL = RandomForestClassifier(20, random_state=0).fit(CENSUS.train.inputs().numpy(), CENSUS.train.y.numpy())


def table() -> pd.DataFrame:
    """What the model answered to the records that it was trained on and to others, in any order."""
    rows: list[pd.DataFrame] = []
    for part, inside in ((CENSUS.train, 1), (CENSUS.test, 0)):
        probability = MODEL.predict_proba(part.inputs().numpy())[:, 1]
        frame = pd.DataFrame({"id": part.ids, "label": part.y, "sex": part.attribute("sex"), "member": inside})
        rows.append(frame.assign(probability=probability))
    return pd.concat(rows).sample(frac=1, random_state=0, ignore_index=True)


def not_trained_on() -> pd.DataFrame:
    frame = table()
    return frame.loc[frame["member"] == 0]


def plan(data: AmuletDataset, **more: Any) -> Plan:
    return Plan(
        data=data,
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        optimizer=Factory("torch.optim.Adam"),
        victim=victims.Recorded().on(data),
        **more,
    )


def data_of(frame: pd.DataFrame, **more: Any) -> AmuletDataset:
    return predictions_of({str(name): frame[name] for name in frame}, sensitive=["sex"], id="id", **more)


def measured(outcome: Outcome) -> dict[str, float]:
    return outcome.metrics["undefended"]


def test_fairness_and_utility_are_those_of_the_model() -> None:
    others = not_trained_on()
    found = measured(assess(plan(data_of(table(), member="member"), metrics=("utility", "F"))))
    own = assess(
        Plan(
            data=CENSUS,
            architecture=Factory("amulet.models.LinearNet"),
            optimizer=Factory("torch.optim.Adam"),
            victim=victims.of(MODEL, CENSUS),
            metrics=("utility", "F"),
        )
    )
    mine = {name: value for name, value in measured(own).items() if "race" not in name and "intersection" not in name}
    shared = mine.keys() & found.keys()
    assert {"test_accuracy", "test_balanced_accuracy"} < shared
    assert {name: found[name] for name in shared} == pytest.approx({name: mine[name] for name in shared}, nan_ok=True)
    assert mine.keys() - shared == {"consistency"}  # it compares inputs, which are not there
    assert found["test_accuracy"] == pytest.approx(((others.probability > 0.5) == others.label).mean(), abs=0.02)
    without = measured(assess(plan(data_of(others), metrics=("utility", "F"))))
    assert {name: without[name] for name in shared} == pytest.approx(
        {name: found[name] for name in shared}, nan_ok=True
    )


def test_membership_is_of_the_model_itself() -> None:
    data = data_of(table(), member="member")
    outcome = assess(plan(data, attack=PopulationAttack()))
    arrays, manifest = outcome.arrays, outcome.manifest["membership_inference"]["undefended"]
    ids = arrays["undefended.membership_inference.ids"]
    members = arrays["undefended.membership_inference.members"].astype(bool)
    frame = table()
    assert (frame.member.to_numpy()[ids] == members).all()
    outside = np.setdiff1d(np.flatnonzero(frame.member == 0), ids)
    assert (members.sum(), (~members).sum(), len(outside)) == (400, 200, 200)
    assert (manifest["members"], manifest["population"]) == (400, 200)
    p = frame.probability.clip(1e-12, 1 - 1e-12).to_numpy()
    margin = np.where(frame.label == 1, 1, -1) * (np.log(p) - np.log1p(-p))
    label = frame.label.to_numpy()
    score = shares_below(margin[ids], label[ids], margin[outside], label[outside])
    found = measured(outcome)
    assert found["population.auc"] == pytest.approx(auc(members, score), abs=1e-3)
    assert found["population.auc"] > 0.65  # a forest knows its records
    assert outcome.facts.risks["membership_inference"].retrains is False
    assert not any("trained on is unknown" in text or "trained again" in text for text in outcome.warnings)


def test_what_needs_more_is_refused_with_the_reason() -> None:
    data = data_of(table(), member="member")
    for attack, says in (
        (LiRA(), "trains the victim again"),
        (TabularSearch(), "answers to records of the adversary's choice, which the recorded model"),
        (QuantileRegression(), "attack=membership_population"),
    ):
        with pytest.raises(IncompatibleError, match=says):
            check(plan(data, attack=attack))
    with pytest.raises(IncompatibleError, match=r"known which records it was trained on.* dataset\.member=COLUMN"):
        check(plan(data_of(not_trained_on()), attack=PopulationAttack()))
    network = Plan(data=data, architecture=Factory("amulet.models.LinearNet"), optimizer=Factory("torch.optim.Adam"))
    with pytest.raises(IncompatibleError, match="model=predictions"):
        check(network)
    with pytest.raises(IncompatibleError, match="dataset=predictions"):
        victims.Recorded().on(CENSUS)


@pytest.mark.parametrize(
    ("change", "more", "says"),
    [
        ({"probability": 1.5}, {}, r"in \[0, 1\]"),
        ({"probability": None}, {}, "`probability` is missing in 800 of 800"),
        ({"id": 3}, {}, "`id` must name each record once"),
        ({"member": "perhaps"}, {"member": "member"}, "1 or 0, true or false"),
        ({"member": 1}, {"member": "member"}, "all records are the same"),
        ({}, {"member": "membr"}, "did you mean `member`"),
        ({}, {"target": "y"}, "`target` must be a column"),
        ({}, {"probabilities": ["label", "member", "sex"]}, "1 in sum"),
    ],
)
def test_mistakes_are_told(change: dict[str, Any], more: dict[str, Any], says: str) -> None:
    with pytest.raises((DataError, SettingError), match=says):
        data_of(table().assign(**change), **more)


def test_classes_by_name() -> None:
    frame = table()
    wide = frame.assign(
        label=frame.label.map({0: "no", 1: "yes"}),
        probability_no=(1 - frame.probability).round(2),
        probability_yes=frame.probability.round(2),
    ).drop(columns="probability")
    data = data_of(wide)
    assert data.notes["labels"] == ["no", "yes"]
    assert data.answers is not None
    assert data.answers[: len(frame), 1].numpy() == pytest.approx(frame.probability, abs=0.01)


def test_one_command_and_three_lines(workdir: Path) -> None:
    table().to_csv("answers.csv", index=False)
    words = ["dataset=predictions", "dataset.path=answers.csv", "dataset.sensitive=[sex]", "dataset.member=member"]
    attacks = ["discriminatory_behavior", "membership_population", "model_extraction"]
    assert main(["audit", "model=predictions", *words, f"attack={','.join(attacks)}"]) == 0
    ours = {one.choices["attack"]: one for one in find_results([Path("outputs")])}
    assert "which the recorded model does not grant" in ours["model_extraction"].reason
    found = amulet.audit(
        predictions="answers.csv",
        sensitive_features=["sex"],
        member="member",
        attack=attacks,
        output_dir="python",
        progress=False,
    )
    assert [one.attack for one in found.refused] == ["model_extraction"]
    theirs = {one.choices["attack"]: one.metrics for one in found.finished}
    for name in attacks[:2]:
        assert ours[name].metrics["undefended"] == pytest.approx(theirs[name]["undefended"], nan_ok=True)
    assert load_predictions(path="answers.csv", member="member").members_known
