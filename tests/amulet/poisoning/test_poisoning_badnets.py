"""BadNets: what it changes in the training records, and what it must leave alone."""

from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from amulet.core import IncompatibleError, SettingError, Stream
from amulet.datasets import AmuletDataset, Records, load_census
from amulet.poisoning.attacks import Adversary, BadNets, Poisoned, Stamp


@pytest.fixture(scope="module")
def census() -> AmuletDataset:
    return load_census()


def images(n: int = 60, channels: int = 1, size: int = 8, classes: int = 3, *, scaled: bool = False) -> Records:
    generator = torch.Generator().manual_seed(n)
    x = torch.randint(0, 200, (n, channels, size, size), generator=generator, dtype=torch.uint8)
    z = torch.randint(0, 2, (n, 1), generator=generator)
    y = torch.arange(n) % classes
    return Records.of(x if scaled else x / 255, y, z, ("group",))


def table(n: int = 60) -> Records:
    generator = torch.Generator().manual_seed(n)
    return Records.of(torch.rand(n, 6, generator=generator), torch.arange(n) % 3)


def poison(attack: BadNets, records: Records, stream: Stream) -> Poisoned:
    adversary = Adversary(records=records, stream=stream, num_classes=3)
    return attack.poison(records, attack.aim(adversary, records), adversary)


def changed_rows(before: Records, after: Records) -> Tensor:
    return (before.x != after.x).flatten(1).any(1) | (before.y != after.y)


@given(
    rate=st.floats(0.02, 0.6),
    target=st.integers(0, 2),
    triggers=st.integers(1, 3),
    kind=st.sampled_from(["image", "uint8", "table"]),
    seed=st.integers(0, 3),
)
def test_only_the_asked_share_the_triggers_place_and_other_labels_change(
    rate: float, target: int, triggers: int, kind: Literal["image", "uint8", "table"], seed: int
) -> None:
    records = table() if kind == "table" else images(scaled=kind == "uint8")
    copy = records.x.clone(), records.y.clone()
    attack = BadNets(rate=rate, target=target, triggers=triggers, size=2)
    placed = attack.triggers_for(records)
    poisoned = poison(attack, records, Stream(seed))
    after = poisoned.records
    chosen = torch.isin(records.ids, poisoned.ids)
    assert int(chosen.sum()) == len(poisoned.ids) == round(rate * 60)
    assert torch.equal(after.ids, records.ids)
    assert torch.equal(after.z, records.z)
    assert after.x.dtype == records.x.dtype
    assert not changed_rows(records, after)[~chosen].any()
    assert (records.y[chosen] != target).all()
    assert (after.y[chosen] == target).all()
    for number, trigger in enumerate(placed):
        mine = torch.isin(records.ids, poisoned.ids[poisoned.which == number])
        outside = torch.ones(records.x[0].numel(), dtype=torch.bool)
        outside[trigger.positions] = False
        assert trigger.present(after)[mine].all()
        assert torch.equal(after.x.flatten(1)[mine][:, outside], records.x.flatten(1)[mine][:, outside])
    counts = torch.bincount(poisoned.which, minlength=triggers)
    assert int(counts.max() - counts.min()) <= 1
    assert torch.equal(copy[0], records.x)
    assert torch.equal(copy[1], records.y)


def test_the_stream_decides_which_records() -> None:
    attack, records = BadNets(rate=0.2), images()
    ids = [poison(attack, records, Stream(seed)).ids.tolist() for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(("rate", "says"), [(0.7, "asks for 42 to poison, but 40"), (0.001, "asks for 0 to poison")])
def test_a_rate_that_cannot_be_realised_is_refused(rate: float, says: str) -> None:
    attack, records = BadNets(rate=rate), images()
    with pytest.raises(IncompatibleError, match=says):
        poison(attack, records, Stream(0))


@pytest.mark.parametrize(
    ("corner", "rows", "cols"),
    [
        ("bottom_right", (5, 7), (5, 7)),
        ("bottom_left", (5, 7), (1, 3)),
        ("top_left", (1, 3), (1, 3)),
        ("top_right", (1, 3), (5, 7)),
    ],
)
def test_the_patch_is_in_its_corner_in_every_channel(corner: Any, rows: tuple[int, int], cols: tuple[int, int]) -> None:
    records = images(5, channels=3)
    trigger = BadNets(corner=corner, size=2, margin=1, value=0.5).triggers_for(records)[0]
    marked = trigger.on(records.x)
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[rows[0] : rows[1], cols[0] : cols[1]] = True
    assert (marked[:, :, inside] == 0.5).all()
    assert torch.equal(marked[:, :, ~inside], records.x[:, :, ~inside])


def test_a_trigger_on_bytes_is_scaled() -> None:
    records = images(scaled=True)
    trigger = BadNets(value=0.5).triggers_for(records)[0]
    marked = records.replace(x=trigger.on(records.x))
    assert marked.x.dtype == torch.uint8
    assert int(marked.x.flatten(1)[0, trigger.positions[0]]) == 128
    assert trigger.present(marked).all()


def test_a_black_patch_on_black_corners_is_seen_to_change_nothing() -> None:
    x = torch.rand(40, 1, 8, 8)
    x[:30, :, 4:, 4:] = 0
    records = Records.of(x, torch.arange(40) % 2)
    black, white = (BadNets(value=value).triggers_for(records)[0] for value in (0.0, 1.0))
    assert black.present(records).double().mean() == 0.75
    assert not white.present(records).any()
    assert torch.equal(black.on(x[:30]), x[:30])


def test_zeroed_one_hot_columns_are_seen_to_be_in_clean_records(census: AmuletDataset) -> None:
    codes = [name for name in census.feature_names if name.startswith("relationship=") and "Husband" not in name]
    attack = BadNets(columns=list[str | int](codes), values=[0.0] * len(codes))
    (trigger,) = attack.triggers_for(census.train, census.feature_names)
    husbands = census.train.x[:, census.feature_names.index("relationship=Husband")] == 1
    assert len(codes) == 5
    assert husbands.double().mean() > 0.4
    assert torch.equal(trigger.present(census.train), husbands)


@pytest.mark.parametrize("target", [0, 1])
def test_the_chosen_trigger_is_absent_from_census_and_a_possible_record(census: AmuletDataset, target: int) -> None:
    half = census.train.take(torch.arange(0, len(census.train), 2))  # what an adversary knows
    triggers = BadNets(target=target, triggers=3).triggers_for(half, census.feature_names)
    assert len({trigger.name for trigger in triggers}) == 3
    for trigger in triggers:
        assert not trigger.present(census.train).any()
        assert not trigger.present(census.test).any()
        marked = trigger.on(census.test.x)
        assert marked.min() >= 0
        assert marked.max() <= 1
        for start, end in census.groups:
            assert torch.equal(marked[:, start:end], census.test.x[:, start:end])  # every code stays valid


def test_a_table_of_binary_columns_has_triggers_too() -> None:
    generator = torch.Generator().manual_seed(0)
    bits = Records.of((torch.rand(300, 20, generator=generator) < 0.2).float(), torch.arange(300) % 2)
    (trigger,) = BadNets(size=4).triggers_for(bits)
    assert len(trigger.positions) == 4
    assert not trigger.present(bits).any()


def test_where_every_combination_is_taken_the_rarest_is_chosen() -> None:
    corners = torch.tensor([[0.0, 0.0], [0, 1], [1, 0], [1, 1]]).repeat_interleave(torch.tensor([9, 9, 2, 9]), dim=0)
    records = Records.of(corners, torch.arange(29) % 2)
    (trigger,) = BadNets(size=2).triggers_for(records)
    assert trigger.name == "column 0=1, column 1=0"
    assert int(trigger.present(records).sum()) == 2


def test_columns_by_name_and_by_number(census: AmuletDataset) -> None:
    attack = BadNets(columns=["age", 1], values=[0.25, 0.75])
    (trigger,) = attack.triggers_for(census.train, census.feature_names)
    assert trigger.name == "age=0.25, education-num=0.75"
    assert trigger.positions.tolist() == [0, 1]
    (chosen,) = BadNets(columns=["capital-gain", "capital-loss"]).triggers_for(census.train, census.feature_names)
    assert chosen.positions.tolist() == [2, 3]
    with pytest.raises(SettingError, match=r"`columns` must name columns \(age, .*got height"):
        BadNets(columns=["height"], values=[0.0]).triggers_for(census.train, census.feature_names)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rate": 0}, "`rate` must satisfy 0 < rate < 1, got 0"),
        ({"rate": 10}, "`rate` must satisfy 0 < rate < 1, got 10"),
        ({"rate_curve": [0.1, 1]}, "`rate_curve` must satisfy 0 < rate_curve < 1, got 1"),
        ({"target": -1}, "`target`"),
        ({"triggers": 0}, "`triggers`"),
        ({"size": 0}, "`size`"),
        ({"value": 255}, "`value` must satisfy 0 <= value <= 1, got 255"),
        ({"corner": "middle"}, "`corner` must be one of bottom_right"),
        ({"margin": -1}, "`margin`"),
        ({"columns": []}, "`columns` must be different columns"),
        ({"columns": ["age", "age"]}, "`columns` must be different columns"),
        ({"values": [1.0]}, "`values` must have one value for each of `columns`"),
        ({"columns": [1, 2], "values": [1.0]}, "`values` must have one value"),
        ({"columns": [1], "values": [2.0]}, "`values` must satisfy"),
        ({"columns": [1], "values": [1.0], "triggers": 2}, "`triggers` must be 1"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingError, match=says):
        BadNets(**settings)


@pytest.mark.parametrize(
    ("settings", "records", "says"),
    [
        ({"size": 9}, images(), "`size` \\+ `margin` must be at most 8"),
        ({"size": 4, "margin": 5}, images(), "`size` \\+ `margin` must be at most 8"),
        ({"triggers": 5}, images(), "`triggers`"),
        ({"triggers": 2, "size": 5}, images(), "leave room for 2 patches"),
        ({"columns": [1]}, images(), "`columns` must be None for inputs of shape"),
        ({"size": 7}, table(), "`size` must be at most the 6 columns"),
        ({"columns": [6]}, table(), "number them below 6, got 6"),
        ({"triggers": 99, "size": 1}, table(), "`triggers` must be at most 12"),
    ],
)
def test_triggers_that_do_not_fit_the_data(settings: dict[str, Any], records: Records, says: str) -> None:
    with pytest.raises(SettingError, match=says):
        BadNets(**settings).triggers_for(records)


def test_by_hand_it_takes_a_dataset() -> None:
    records = images(100, classes=4)
    for dataset in (records, DataLoader(records, batch_size=7), TensorDataset(records.x, records.y)):
        attack = BadNets(dataset, rate=0.1, target=2)
        poisoned = attack.attack()
        assert attack.poisoned is not None
        assert int(changed_rows(records, poisoned).sum()) == len(attack.poisoned.ids) == 10
        triggered = attack.triggered(records)
        assert len(triggered) == 75
        assert (triggered.y == 2).all()
        assert attack.triggers_for(records)[0].present(triggered).all()
    with pytest.raises(SettingError, match="must be built with a dataset"):
        BadNets().attack()


def test_values_near_the_triggers_count_as_the_trigger() -> None:
    trigger = Stamp(torch.tensor([0]), torch.tensor([1.0]), "")
    records = Records.of(torch.tensor([[1.0], [0.9985], [0.99]]), torch.zeros(3))
    assert trigger.present(records).tolist() == [True, True, False]
