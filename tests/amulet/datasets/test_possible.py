"""What a possible record is: the statements, and that the data sets keep what they state."""

from pathlib import Path

import pytest
import torch

from amulet.core import SettingError
from amulet.datasets import AmuletDataset, Records, Scale, load_census, load_custom
from amulet.datasets.possible import Change, Relation, parse

NAMES = ("age", "hours-per-week", "capital gain", "job=?", "job=chef", "2019")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("age rises", Change("age", "rises")),
        ("hours-per-week falls", Change("hours-per-week", "falls")),
        ("job=? fixed", Change("job=?", "fixed")),
        ("age <= 90", Relation({"age": 1.0}, 90.0)),
        ("age >= 17.5", Relation({"age": -1.0}, -17.5)),
        (
            "hours-per-week - age <= 2 * capital gain + 1",
            Relation({"hours-per-week": 1, "age": -1, "capital gain": -2}, 1),
        ),
        ("job=chef<=job=?", Relation({"job=chef": 1, "job=?": -1}, 0)),
        ("age == 3 * job=? - 1", Relation({"age": 1, "job=?": -3}, -1, True, "age")),
        ("age + job=? == 1", Relation({"age": 1, "job=?": 1}, 1, True, "")),
        ("-2 * age <= 2019 * .5e1", Relation({"age": -2, "2019": -5}, 0)),
    ],
)
def test_statements_are_read(text: str, expected: Change | Relation) -> None:
    changes, relations = parse([text], NAMES, "constraints")
    assert [*changes, *relations] == [expected]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("salary <= 3", "nothing is known of `salary`"),
        ("age", "must be statements such as"),
        ("age <= 3 <= 4", "must be statements such as"),
        ("age * age <= 3", "sums of columns"),
        ("age 3 <= 4", "sums of columns"),
        ("age <=", "sums of columns"),
        ("age <= age", "say something of a column"),
        ("rises <= 3", "sums of columns"),
        ("1 <= 3", "say something of a column"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        parse([text], NAMES, "attack.constraints")


@pytest.mark.parametrize("encoding", ["paper", "full"])
def test_every_record_of_census_is_possible(encoding: str) -> None:
    data = load_census(encoding=encoding)  # pyright: ignore[reportArgumentType]
    x = torch.cat([data.train.x, data.test.x]).double()
    low, span = torch.zeros(x.shape[1]).double(), torch.ones(x.shape[1]).double()
    for name, scale in data.scales.items():
        place = data.feature_names.index(name)
        low[place], span[place] = scale.low, scale.high - scale.low
        raw = scale.low + x[:, place] * (scale.high - scale.low)
        assert scale.whole
        assert (raw - raw.round()).abs().max() < 0.01
    assert data.scales["age"] == Scale(17, 90, True)
    raw = low + x * span
    _, relations = parse(data.constraints, data.feature_names, "constraints")
    assert len(relations) == (2 if encoding == "paper" else 3)
    for relation in relations:
        found = sum(weight * raw[:, data.feature_names.index(name)] for name, weight in relation.weights.items())
        assert isinstance(found, torch.Tensor)
        assert (found <= relation.bound + 1e-3).all()
        assert not relation.equal or (found >= relation.bound - 1e-3).all()


def test_a_table_of_your_own_has_units_and_constraints(tmp_path: Path) -> None:
    rows = "".join(f"{20 + i},{0.5 * i},{'chef' if i % 3 else 'none'},{i % 2}\n" for i in range(60))
    (tmp_path / "own.csv").write_text("age,rate,job,y\n" + rows)
    data = load_custom(path=str(tmp_path / "own.csv"), target="y", constraints=["age rises", "rate <= age"])
    assert data.scales["age"].whole
    assert not data.scales["rate"].whole
    assert data.scales.keys() == {"age", "rate"}
    assert data.constraints == ("age rises", "rate <= age")
    plain = load_custom(path=str(tmp_path / "own.csv"), target="y")
    assert plain.train.digest == data.train.digest, "a statement about records does not change them"
    with pytest.raises(SettingError, match="nothing is known of `agee`"):
        load_custom(path=str(tmp_path / "own.csv"), target="y", constraints=["agee rises"])


def test_units_are_those_of_columns() -> None:
    records = Records.of(torch.rand(4, 2), torch.tensor([0, 1, 0, 1]))
    other = Records(records.x, records.y, records.z, records.ids + 4)
    with pytest.raises(ValueError, match="`scales` must name columns"):
        AmuletDataset(
            name="own",
            modality="tabular",
            train=records,
            test=other,
            num_classes=2,
            feature_names=("a", "b"),
            scales={"c": Scale(0, 1)},
        )
