"""Estimators, files and services are assessed as networks are; what they do not grant is refused."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from amulet import victims
from amulet.assessment import Plan, assess, check
from amulet.core import Access, DataError, Factory, IncompatibleError, SettingError, Stream
from amulet.datasets import AmuletDataset, load_census
from amulet.evasion.attacks import EvasionPGD, TabularSearch, TransferAttack
from amulet.evasion.defenses import AdversarialTrainingPGD
from amulet.membership_inference.attacks import LabelOnly, LiRA, PopulationAttack, QuantileRegression
from amulet.poisoning.attacks import LabelFlipping
from amulet.poisoning.defenses import OutlierRemoval
from amulet.training import Recipe
from tests.helpers.services import answering


@pytest.fixture(scope="module")
def data() -> AmuletDataset:
    return load_census(limit=400)


@pytest.fixture(scope="module")
def boosted(data: AmuletDataset) -> HistGradientBoostingClassifier:
    x, y = data.train.inputs().numpy(), data.train.y.numpy()
    return HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(x, y)


def plan(data: AmuletDataset, victim: victims.GivenVictim, *metrics: str, **more: Any) -> Plan:
    return Plan(
        data=data,
        architecture=Factory("amulet.models.LinearNet", hidden=[8]),
        optimizer=Factory("torch.optim.Adam"),
        epochs=1,
        victim=victim,
        metrics=("default", *metrics),
        **more,
    )


def test_a_fitted_estimator_is_measured_as_it_is(data: AmuletDataset, boosted: HistGradientBoostingClassifier) -> None:
    outcome = assess(plan(data, victims.of(boosted, data), "discriminatory_behavior", "attribute_inference"))
    expected = boosted.score(data.test.inputs().numpy(), data.test.y.numpy())
    assert outcome.metrics["undefended"]["test_accuracy"] == pytest.approx(expected)
    training = outcome.manifest["training"]["undefended"]
    assert training["given"] == "HistGradientBoostingClassifier"
    assert training["clamped_share"] == 0


def test_gradients_are_refused_before_anything_is_fitted(data: AmuletDataset) -> None:
    victim = victims.of(HistGradientBoostingClassifier(max_iter=5), data)
    with pytest.raises(IncompatibleError, match=r"EvasionPGD needs .*gradients.* HistGradientBoosting.*docs/access"):
        check(plan(data, victim, attack=EvasionPGD(steps=1)))
    with pytest.raises(IncompatibleError, match=r"changes the training of a network"):
        check(plan(data, victim, defenses=(AdversarialTrainingPGD(),)))


@pytest.mark.parametrize("attack", [PopulationAttack(), LabelOnly(queries=2), QuantileRegression(epochs=1)])
def test_membership_of_the_given_model_itself(
    attack: Any, data: AmuletDataset, boosted: HistGradientBoostingClassifier
) -> None:
    victim = dataclasses.replace(victims.of(boosted, data), estimator=None, members_known=True)
    victim = dataclasses.replace(victim, access=victim.access & ~Access.TRAINING)
    outcome = assess(plan(data, victim, attack=attack))
    name = "undefended.membership_inference."
    ids, members = outcome.arrays[f"{name}ids"], outcome.arrays[f"{name}members"].astype(bool)
    assert sorted(ids[members]) == sorted(data.train.ids.tolist())
    assert set(ids[~members]) < set(data.test.ids.tolist())
    right = boosted.predict(data.train.inputs().numpy()) == data.train.y.numpy()
    assert outcome.manifest["membership_inference"]["undefended"]["train_accuracy"] == pytest.approx(right.mean())
    assert not any("trained again" in text for text in outcome.warnings)
    unknown = dataclasses.replace(victim, members_known=False)
    with pytest.raises(IncompatibleError, match=r"known which records it was trained on.* members=given"):
        check(plan(data, unknown, attack=attack))


def test_with_a_defence_both_victims_are_trained_on_half_of_the_candidates(data: AmuletDataset) -> None:
    model = LogisticRegression().fit(data.train.inputs().numpy(), data.train.y.numpy())
    victim = dataclasses.replace(victims.of(model, data), members_known=True)
    outcome = assess(plan(data, victim, attack=PopulationAttack(), defenses=(OutlierRemoval(),)))
    found = outcome.manifest["membership_inference"]
    assert found["undefended"]["members"] == found["defended"]["members"] == 200


def test_a_search_without_gradients_attacks_it(data: AmuletDataset, boosted: HistGradientBoostingClassifier) -> None:
    attack = TabularSearch(epsilon=0.2, queries=50)
    numbers = assess(plan(data, victims.of(boosted, data), attack=attack)).metrics["undefended"]
    assert 0 <= numbers["robust_accuracy"] < 1


def test_clones_are_fitted_for_risks_that_train_again(data: AmuletDataset) -> None:
    given = HistGradientBoostingClassifier(max_iter=5)
    victim = victims.of(given, data)
    for attack in (LiRA(n_shadow=4), QuantileRegression(epochs=1), LabelOnly(queries=2), LabelFlipping()):
        assess(plan(data, victim, attack=attack))
    assert not hasattr(given, "classes_")  # never fitted in place


def test_a_defence_that_chooses_records_defends_it(data: AmuletDataset) -> None:
    victim = victims.of(HistGradientBoostingClassifier(max_iter=5), data)
    outcome = assess(plan(data, victim, defenses=(OutlierRemoval(),)))
    assert outcome.metrics["defended"].keys() >= {"test_accuracy"}
    assert "removed" in str(outcome.arrays.keys())


def test_refitting_depends_on_the_stream_alone(data: AmuletDataset) -> None:
    estimator = HistGradientBoostingClassifier(max_iter=5, max_features=0.3)
    network = Recipe(
        architecture=Factory("amulet.models.LinearNet"), num_classes=2, optimizer=Factory("torch.optim.SGD")
    )
    recipe = victims.of(estimator, data).recipe(network)

    def answers(seed: int) -> torch.Tensor:
        return recipe.fit(data.train, Stream(seed))(data.test.inputs())

    assert torch.equal(answers(1), answers(1))
    assert not torch.equal(answers(1), answers(2))


def test_a_pipeline_gets_the_raw_columns(data: AmuletDataset) -> None:
    view = victims.Frame(data)
    frame = view(data.train.inputs().numpy())
    assert list(frame.columns[:2]) == ["age", "education-num"]
    assert frame["age"].dtype == np.int64
    assert frame["workclass"].isin(["Private", "State-gov"]).any()
    strings = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    encode = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), strings), remainder="passthrough"
    )
    pipeline = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5, random_state=0))
    pipeline.fit(frame, data.train.y.numpy())
    victim = victims.of(pipeline, data)
    outcome = assess(plan(data, victim, attack=TabularSearch(queries=4)))
    expected = pipeline.score(view(data.test.inputs().numpy()), data.test.y.numpy())
    assert outcome.metrics["undefended"]["test_accuracy"] == pytest.approx(expected)


def test_a_permutation_is_repaired_and_said(data: AmuletDataset) -> None:
    names = list(data.feature_names)[::-1]
    frame = pd.DataFrame(data.train.inputs().numpy(), columns=list(data.feature_names))[names]
    model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(frame, data.train.y.numpy())
    test = pd.DataFrame(data.test.inputs().numpy(), columns=list(data.feature_names))[names]
    accuracy = float(model.score(test, data.test.y.numpy()))
    outcome = assess(plan(data, victims.of(model, data, accuracy=accuracy)))
    assert outcome.metrics["undefended"]["test_accuracy"] == pytest.approx(accuracy)
    assert any("order of its own names" in warning for warning in outcome.warnings)
    with pytest.raises(SettingError, match="accuracy"):
        assess(plan(data, victims.of(model, data, accuracy=0.2)))


def test_classes_by_other_names(data: AmuletDataset) -> None:
    names = np.array(["poor", "rich"])
    model = LogisticRegression().fit(data.train.inputs().numpy(), names[data.train.y.numpy()])
    with pytest.raises(SettingError, match="'poor', 'rich'"):
        victims.of(model, data)
    victim = victims.of(model, data, classes=["poor", "rich"])
    expected = model.score(data.test.inputs().numpy(), names[data.test.y.numpy()])
    assert assess(plan(data, victim)).metrics["undefended"]["test_accuracy"] == pytest.approx(expected)


@pytest.fixture
def service(boosted: HistGradientBoostingClassifier) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A service on the loopback address; its first answer is 503."""
    with answering(boosted.predict_proba, fails=1) as known:
        yield known


def test_a_service_gives_the_same_numbers(
    data: AmuletDataset, boosted: HistGradientBoostingClassifier, service: tuple[str, list[dict[str, Any]]]
) -> None:
    url, requests = service
    risks = ("discriminatory_behavior", "attribute_inference")
    served = assess(plan(data, victims.of(url, data, wait=0.01, batch_size=100), *risks)).metrics
    assert served == assess(plan(data, victims.of(boosted, data), *risks)).metrics
    assert requests[0]["status"] == 503  # asked again


def test_a_service_is_asked_within_its_budget(data: AmuletDataset, service: tuple[str, list[dict[str, Any]]]) -> None:
    with pytest.raises(DataError, match="`budget` is 5"):
        assess(plan(data, victims.of(service[0], data, budget=5)))
    assert not service[1]
    asked = victims.of(service[0], data)
    with pytest.raises(IncompatibleError, match="trained"):
        check(plan(data, asked, attack=LiRA(n_shadow=4)))
    check(plan(data, asked, attack=TransferAttack()))  # the surrogate is of the adversary's own kind
    with pytest.raises(IncompatibleError, match="trained as it was, which the endpoint"):
        check(plan(data, asked, attack=TransferAttack(knows_defense=True)))
    with pytest.raises(IncompatibleError, match=r"known which records .* members=given"):
        check(plan(data, victims.of(service[0], data), attack=PopulationAttack()))


def test_a_pickle_is_refused_with_the_way_out(data: AmuletDataset, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"cposix\nsystem\n(S'false'\ntR.")
    with pytest.raises(SettingError, match=r"pickle.*skops"):
        victims.of(path, data)


def test_a_skops_file_is_the_estimator(
    data: AmuletDataset, boosted: HistGradientBoostingClassifier, tmp_path: Path
) -> None:
    skops: Any = pytest.importorskip("skops.io", reason="needs skops: pip install 'amulet-cli[estimators]'")
    skops.dump(boosted, path := tmp_path / "model.skops")
    with pytest.raises(Exception, match="does not trust"):
        victims.of(path, data)
    from_file = victims.of(path, data, trusted=skops.get_untrusted_types(file=path))
    assert assess(plan(data, from_file)).metrics == assess(plan(data, victims.of(boosted, data))).metrics


def test_an_onnx_file_gives_the_same_numbers(data: AmuletDataset, tmp_path: Path) -> None:
    skl2onnx: Any = pytest.importorskip("skl2onnx", reason="needs skl2onnx: pip install 'amulet-cli[onnx]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'amulet-cli[onnx]'")
    model = LogisticRegression().fit(data.train.inputs().numpy(), data.train.y.numpy())
    graph = skl2onnx.to_onnx(model, data.train.inputs().numpy()[:1], options={"zipmap": False})
    path = tmp_path / "model.onnx"
    path.write_bytes(graph.SerializeToString())
    mine = assess(plan(data, victims.of(path, data), "discriminatory_behavior")).metrics["undefended"]
    theirs = assess(plan(data, victims.of(model, data), "discriminatory_behavior")).metrics["undefended"]
    assert mine == pytest.approx(theirs, abs=1e-5, nan_ok=True)


@pytest.mark.parametrize(("package", "name"), [("xgboost", "XGBClassifier"), ("lightgbm", "LGBMClassifier")])
def test_boosted_trees_of_other_packages(data: AmuletDataset, package: str, name: str) -> None:
    module = pytest.importorskip(package, reason=f"needs {package}: pip install 'amulet-cli[estimators]'")
    model = getattr(module, name)(n_estimators=5, n_jobs=1)
    numbers = assess(plan(data, victims.of(model, data), attack=LiRA(n_shadow=4))).metrics["undefended"]
    assert numbers["test_accuracy"] > 0.7
    x, y = data.train.inputs().numpy(), data.train.y.numpy()
    fitted = victims.of(model.fit(x, y), data)
    assert assess(plan(data, fitted)).metrics["undefended"]["test_accuracy"] == pytest.approx(
        (model.predict(data.test.inputs().numpy()) == data.test.y.numpy()).mean()
    )
