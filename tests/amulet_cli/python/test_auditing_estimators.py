"""`amulet.audit` of fitted estimators, files and services, in their own columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import amulet
from amulet.core.errors import SettingError
from tests.helpers.services import answering

FAST: dict[str, Any] = {"settings": {"epochs": 1, "trial": 300}, "progress": False, "sensitive_features": ["sex"]}


def people(n: int = 300, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"age": rng.integers(18, 80, n), "income": rng.normal(40_000, 9000, n)})
    frame["job"] = rng.choice(["clerk", "cook", "nurse"], n)
    frame["sex"] = rng.choice(["female", "male"], n)
    frame["good"] = np.where(frame.income + rng.normal(0, 5000, n) > 40_000, "yes", "no")
    return frame


def pipeline() -> Any:
    columns = make_column_transformer(
        (OneHotEncoder(sparse_output=False), ["job"]), (StandardScaler(), ["age", "income"])
    )
    made = make_pipeline(columns, LogisticRegression())
    return made.fit(people(seed=3)[["income", "age", "job"]], people(seed=3)["good"])


def test_a_pipeline_is_audited_in_its_own_columns(workdir: Path) -> None:
    model, test = pipeline(), people(seed=1)
    before = model[-1].coef_.copy()
    attacks = ["discriminatory_behavior", "evasion_pgd", "lira"]
    found = amulet.audit(model, people(), test, target="good", attack=attacks, **FAST)
    frame = found.to_frame()
    accuracy = frame[frame.metric == "test_accuracy"].value
    assert accuracy.to_numpy() == pytest.approx(model.score(test, test.good))
    assert found.failed == ()
    assert [one.attack for one in found.refused] == ["evasion_pgd"]
    assert "gradients of its loss, which Pipeline does not grant" in found.refused[0].reason
    assert (model[-1].coef_ == before).all()
    assert set(found.by_group.reset_index().group) >= {"female", "male"}
    assert "lira_offline.auc" in set(frame.metric)


def test_records_with_gaps_are_audited(workdir: Path) -> None:
    parts = [frame.assign(age=frame.age.mask(frame.age % 5 == 0)) for frame in (people(), people(seed=1))]
    model = HistGradientBoostingClassifier(max_iter=10).fit(parts[0][["age", "income"]], parts[0]["good"])
    found = amulet.audit(model, *parts, target="good", attack=["tabular_search", "model_extraction"], **FAST)
    assert (found.failed, found.refused) == ((), ())
    values = found.to_frame().groupby("metric").value
    own = model.score(parts[1][["age", "income"]], parts[1]["good"])
    assert values.get_group("test_accuracy").to_numpy() == pytest.approx(own)
    assert values.get_group("robust_accuracy").item() <= own


def test_whatever_carries_it_the_numbers_are_the_same(workdir: Path) -> None:
    skl2onnx: Any = pytest.importorskip("skl2onnx", reason="needs skl2onnx: pip install 'amulet-cli[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'amulet-cli[onnx]'")
    columns = ["age", "income"]
    model = RandomForestClassifier(5, max_depth=4, random_state=0)
    # As float32, which a graph of ONNX takes.
    numbers = [
        frame.astype(dict.fromkeys(columns, np.float32)) for frame in (people(60), people(60, 1), people(200, 3))
    ]
    model.fit(numbers[2][columns].to_numpy(), numbers[2]["good"].to_numpy())
    graph = skl2onnx.to_onnx(model, numbers[0][columns].to_numpy()[:1], options={"zipmap": False})
    (workdir / "model.onnx").write_bytes(graph.SerializeToString())

    def records(frame: pd.DataFrame) -> tuple[Any, ...]:
        return frame[columns].to_numpy(), frame["good"].to_numpy(), frame[["sex"]]

    values: list[list[float]] = []
    with answering(model.predict_proba) as (url, _):
        for carrier in (model, "model.onnx", url):
            attack = ["discriminatory_behavior", "tabular_search"]
            found = amulet.audit(carrier, *map(records, numbers[:2]), attack=attack, **FAST)
            assert (found.failed, found.refused) == ((), ())
            values.append(list(found.to_frame().value))
    for other in values[1:]:
        assert other == pytest.approx(values[0], abs=1e-5, nan_ok=True)


def test_an_unfitted_estimator_is_trained_here(workdir: Path) -> None:
    model = make_pipeline(StandardScaler(), LogisticRegression())
    features = ["age", "income"]
    found = amulet.audit(
        model, people(), people(seed=1), target="good", features=features, attack="discriminatory_behavior", **FAST
    )
    assert float(found.to_frame().set_index("metric").value.to_dict()["test_accuracy"]) > 0.6
    assert not hasattr(model[-1], "coef_")


def test_a_model_of_other_records_is_refused(workdir: Path) -> None:
    test = people(seed=1).drop(columns="job")
    with pytest.raises(SettingError, match="does not take the records of `test`"):
        amulet.audit(pipeline(), people().drop(columns="job"), test, target="good", **FAST)
