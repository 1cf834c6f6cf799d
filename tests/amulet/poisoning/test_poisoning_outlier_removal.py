"""Outlier removal: what it values by, what it takes away, and that training then starts from fresh weights."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader

from amulet.assessment import Plan, check
from amulet.core import DataError, Factory, Reporter, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.datasets.split import stratified_split
from amulet.models import LinearNet
from amulet.poisoning.defenses import OutlierRemoval, knn_shapley
from amulet.training import Recipe, Runtime

STREAM = Stream(0) / "victim"


@pytest.fixture(scope="module")
def census() -> AmuletDataset:
    return load_census(limit=2000)


@pytest.fixture(scope="module")
def records(census: AmuletDataset) -> Records:
    return census.train.take(torch.arange(600))


class Notes(Reporter):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def recipe(*defenses: OutlierRemoval, **changes: Any) -> Recipe:
    made = Recipe(
        architecture=Factory("amulet.models.LinearNet", hidden=[32, 16]),
        num_classes=2,
        optimizer=Factory("torch.optim.Adam", lr=1e-3),
        epochs=3,
        defenses=defenses,
    )
    return made.changed(**changes)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([value.detach().flatten() for value in model.state_dict().values()])


def values_of(defense: OutlierRemoval, records: Records, stream: Stream = STREAM) -> Any:
    return defense.prepare(records, recipe(), stream).arrays["values"]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"percent": 120}, "`percent` must satisfy 0 < percent < 100, got 120"),
        ({"percent": 0}, "`percent` must satisfy 0 < percent < 100, got 0"),
        ({"percent": 100}, "got 100"),
        ({"k": 0}, "`k` must satisfy"),
        ({"remove": "middle"}, "`remove` must be one of lowest, highest; got middle"),
        ({"features": "pixels"}, "`features` must be one of penultimate, input"),
        ({"reference": "oracle"}, "`reference` must be one of cross_fitted, test, trusted; got oracle"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        OutlierRemoval(**settings)


@given(st.integers(8, 60), st.floats(1, 99), st.sampled_from(["lowest", "highest"]), st.integers(0, 5))
def test_exactly_the_asked_number_goes_whatever_the_ties(n: int, percent: float, remove: Any, seed: int) -> None:
    count = round(percent / 100 * n)
    same = Records.of(torch.ones(n, 3), torch.zeros(n))  # nothing tells one record from another
    defense = OutlierRemoval(percent=percent, remove=remove, features="input")
    if not 0 < count < n:
        with pytest.raises(DataError, match=f"some of {n} records and not all"):
            defense.prepare(same, recipe(), Stream(seed))
        return
    prepared = defense.prepare(same, recipe(), Stream(seed))
    removed = prepared.arrays["removed"]
    assert removed.sum() == count
    assert prepared.report["outlier_removal"]["removed"] == count
    assert prepared.records.ids.tolist() == same.ids[~torch.from_numpy(removed)].tolist()


def test_ties_are_broken_by_the_stream() -> None:
    y = torch.arange(40) % 2
    same = Records.of(torch.ones(40, 2), y)
    defense = OutlierRemoval(percent=25, features="input", k=40)  # every neighbour votes: values differ by label alone
    outcomes = [defense.prepare(same, recipe(), Stream(seed)).arrays["removed"].tolist() for seed in (0, 0, 1, 2)]
    assert outcomes[0] == outcomes[1]
    assert len({tuple(outcome) for outcome in outcomes}) == 3


def test_the_lowest_values_go_or_the_highest(records: Records) -> None:
    low, high = (OutlierRemoval(remove=remove).prepare(records, recipe(), STREAM) for remove in ("lowest", "highest"))
    values = low.arrays["values"]
    np.testing.assert_array_equal(values, high.arrays["values"])
    for part, rank in ((low, values), (high, -values)):
        removed = part.arrays["removed"]
        assert removed.sum() == 60
        assert rank[removed].max() <= rank[~removed].min()
    assert low.arrays["ids"].tolist() == records.ids.tolist()
    report = low.report["outlier_removal"]
    assert report["threshold"] == values[low.arrays["removed"]].max()
    assert sum(report["classes_before"]) == 600
    assert sum(report["classes_after"]) == report["kept"] == 540


def test_mislabelled_census_records_end_up_in_the_lowest_tenth(census: AmuletDataset) -> None:
    n = len(census.train)
    flipped = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: n // 10]
    y = census.train.y.clone()
    y[flipped] = 1 - y[flipped]
    noisy = census.train.replace(y=y)
    prepared = OutlierRemoval(percent=10).prepare(noisy, recipe(epochs=8), STREAM)
    caught = prepared.arrays["removed"][flipped.numpy()].mean()
    assert caught > 0.5, f"{caught:.0%} of the flipped records, where chance has 10 %"


def test_each_half_is_valued_by_the_other(records: Records) -> None:
    values = values_of(OutlierRemoval(features="input", k=3), records)
    folds = stratified_split(records.y, [300, 300], (STREAM / "outlierremoval" / "folds").generator())
    for mine, others in (folds, folds[::-1]):
        alone = knn_shapley(records.x[mine], records.y[mine], records.x[others], records.y[others], 3)
        np.testing.assert_array_equal(values[mine.numpy()], alone)
    assert abs(int(records.y[folds[0]].sum()) - int(records.y[folds[1]].sum())) <= 1


def test_the_test_split_is_not_looked_at_by_default(census: AmuletDataset, records: Records) -> None:
    defense = OutlierRemoval()
    assert defense.bound(census) is defense
    assert defense.describe()["reference_records"] is None
    assert not defense.warnings()


def test_the_papers_reference_is_the_test_split_and_says_that_it_leaks(census: AmuletDataset, records: Records) -> None:
    defense = OutlierRemoval(reference="test", features="input").bound(census)
    expected = knn_shapley(records.x, records.y, census.test.x, census.test.y, 5)
    np.testing.assert_array_equal(values_of(defense, records), expected)
    plan = Plan(
        data=census,
        architecture=Factory("amulet.models.LinearNet"),
        optimizer=Factory("torch.optim.Adam"),
        defenses=(OutlierRemoval(reference="test"),),
        metrics=("utility",),
    )
    assert any("leaked into training" in warning for warning in check(plan))


def test_the_reference_is_part_of_the_models_key(census: AmuletDataset, records: Records) -> None:
    other = AmuletDataset(
        name="other", modality="tabular", train=census.train, test=census.test.take(torch.arange(50)), num_classes=2
    )
    keys = {
        recipe(defense.bound(data)).key(records, STREAM)
        for data in (census, other)
        for defense in (OutlierRemoval(), OutlierRemoval(reference="test"))
    }
    assert len(keys) == 3


def test_trusted_values_by_clean_versions_and_says_that_it_is_an_oracle(
    census: AmuletDataset, records: Records
) -> None:
    y = records.y.clone()
    y[:60] = 1 - y[:60]
    poisoned = records.replace(y=y)
    trusted = OutlierRemoval(reference="trusted", features="input").bound(census)
    fair = OutlierRemoval(features="input")
    assert "oracle" in trusted.warnings()[0]
    # folds are stratified by the labels at hand, which are the same in both calls
    by_clean, by_poisoned = values_of(trusted, poisoned), values_of(fair, poisoned)
    assert not np.allclose(by_clean, by_poisoned)
    folds = stratified_split(poisoned.y, [300, 300], (STREAM / "outlierremoval" / "folds").generator())
    mine, others = folds
    expected = knn_shapley(poisoned.x[mine], poisoned.y[mine], records.x[others], records.y[others], 5)
    np.testing.assert_array_equal(by_clean[mine.numpy()], expected)
    np.testing.assert_array_equal(values_of(trusted, records), values_of(fair, records))


def test_made_up_records_are_valued_but_no_trusted_judges(census: AmuletDataset, records: Records) -> None:
    made_up = records.take(torch.arange(20)).replace(ids=-1 - torch.arange(20))
    both = records.concat(made_up)
    trusted = OutlierRemoval(reference="trusted", features="input", k=1).bound(census)
    mine, others = stratified_split(both.y, [310, 310], (STREAM / "outlierremoval" / "folds").generator())
    known = others[both.ids[others] >= 0]
    assert len(known) < len(others)
    expected = knn_shapley(both.x[mine], both.y[mine], both.x[known], both.y[known], 1)
    np.testing.assert_array_equal(values_of(trusted, both)[mine.numpy()], expected)


def test_features_come_from_the_undefended_model_which_is_trained_once(records: Records) -> None:
    reporter = Notes()
    runtime = Runtime(reporter=reporter)
    undefended = recipe(runtime=runtime).produce(records, STREAM)
    defended = recipe(OutlierRemoval(), runtime=runtime).produce(records, STREAM)
    assert any("features for outlier removal: loaded" in note for note in reporter.notes)
    assert not torch.equal(weights(undefended.model), weights(defended.model))
    again = recipe(OutlierRemoval(), runtime=runtime).produce(records, STREAM)
    assert again.loaded
    assert again.report == defended.report
    for name in ("ids", "values", "removed"):
        np.testing.assert_array_equal(again.arrays[f"outlierremoval.{name}"], defended.arrays[f"outlierremoval.{name}"])


def test_retraining_is_training_without_the_removed_records(records: Records) -> None:
    defended = recipe(OutlierRemoval(percent=20)).produce(records, STREAM)
    kept = records.take(torch.from_numpy(~defended.arrays["outlierremoval.removed"]))
    assert len(kept) == defended.report["records"] == 480
    assert torch.equal(weights(defended.model), weights(recipe().fit(kept, STREAM)))


def by_hand(
    model: nn.Module, train: Records, lr: float, test: Records | None = None, **settings: Any
) -> OutlierRemoval:
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    loader: DataLoader[Any] = DataLoader(train, batch_size=64, shuffle=True)
    test_loader: DataLoader[Any] | None = None if test is None else DataLoader(test, batch_size=64)
    return OutlierRemoval(model, nn.CrossEntropyLoss(), optimizer, loader, test_loader, "cpu", 2, **settings)


def test_by_hand_it_trains_the_given_model_from_fresh_weights(census: AmuletDataset, records: Records) -> None:
    outcomes: list[Tensor] = []
    for past in (0.0, 3.0):
        model = LinearNet(records.shape, 2, hidden=[8])
        nn.init.constant_(model.head.weight, past)
        defense = by_hand(model, records, 1e-3, census.test, reference="test", features="input", percent=10)
        assert defense.train_robust() is model
        assert not model.training
        assert defense.report["outlier_removal"]["removed"] == 60
        assert defense.report["records"] == 540
        outcomes.append(weights(model))
    assert torch.equal(*outcomes), "what the model had learned before shaped what it learned after"


def test_by_hand_the_optimizer_forgets(records: Records) -> None:
    model = LinearNet(records.shape, 2, hidden=[8])
    defense = by_hand(model, records, 1e-3, percent=50)
    optimizer = defense.optimizer
    assert optimizer is not None
    model(records.x).sum().backward()
    optimizer.step()
    defense.train_robust()
    steps = {int(state["step"]) for state in optimizer.state.values()}
    assert steps == {2 * 5}  # two epochs of five batches: not the step before


class Odd(nn.Module):
    """Has a weight of its own that nobody can draw anew."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.layer = nn.Linear(42, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x * self.scale)


def test_by_hand_errors(records: Records) -> None:
    with pytest.raises(SettingError, match="must be built with a model"):
        OutlierRemoval().train_robust()
    with pytest.raises(SettingError, match="`test_loader` must be given for reference=test"):
        by_hand(LinearNet(records.shape, 2), records, 1e-3, reference="test").train_robust()
    with pytest.raises(SettingError, match="Odd has weights but no reset_parameters"):
        by_hand(Odd(), records, 1e-3).train_robust()
