"""A user's own table: what becomes of its columns, and every way in which it cannot be used."""

import gzip
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from amulet.core import DataError, SettingError
from amulet.datasets import AmuletDataset, load_custom
from amulet.datasets.custom.table import read_table

N = 40
JOBS = ("cook", "nurse", "pilot")


def people() -> dict[str, list[Any]]:
    """40 people, whose age is 20 plus their number."""
    return {
        "age": [20 + i for i in range(N)],
        "job": [JOBS[i % 3] for i in range(N)],
        "sex": ["f" if i % 4 < 2 else "m" for i in range(N)],
        "member": [i % 5 == 0 for i in range(N)],
        "risk": ["bad" if i % 2 else "good" for i in range(N)],
    }


def csv(folder: Path, columns: dict[str, list[Any]] | None = None, name: str = "people.csv") -> str:
    pd.DataFrame(columns or people()).to_csv(folder / name, index=False)
    return str(folder / name)


def load(folder: Path, columns: dict[str, list[Any]] | None = None, **settings: Any) -> AmuletDataset:
    chosen: dict[str, Any] = {"path": csv(folder, columns), "target": "risk", **settings}
    return load_custom(**chosen)


def values(data: AmuletDataset, name: str) -> torch.Tensor:
    """An input of all records, in the order of the file."""
    ids = torch.cat([data.train.ids, data.test.ids])
    column = torch.cat([data.train.x, data.test.x])[:, data.feature_names.index(name)]
    return column[ids.argsort()]


def test_every_record_keeps_its_label_attributes_and_inputs(tmp_path: Path) -> None:
    data = load(tmp_path, sensitive=["sex"])
    rows = people()
    assert (len(data.train), len(data.test), data.num_classes, data.modality) == (20, 20, 2, "tabular")
    assert data.feature_names == ("age", "job=cook", "job=nurse", "job=pilot", "member")
    assert data.groups == ((1, 4),)
    assert data.attributes == ("sex",)
    for part in (data.train, data.test):
        assert part.y.tolist() == [int(rows["risk"][i] == "good") for i in part.ids]
        assert part.attribute("sex").tolist() == [int(rows["sex"][i] == "m") for i in part.ids]
        for i, x in zip(part.ids.tolist(), part.x, strict=True):
            on = {data.feature_names[c] for c in x[1:].nonzero().flatten() + 1}
            assert on == {f"job={rows['job'][i]}", *(["member"] if rows["member"][i] else [])}
    low, high = int(data.train.ids.min()), int(data.train.ids.max())
    scaled = [min(max((i - low) / (high - low), 0), 1) for i in range(N)]
    assert values(data, "age").tolist() == pytest.approx(scaled)
    assert (data.notes["target"], data.notes["labels"], data.notes["values"]) == (
        "risk",
        ["bad", "good"],
        {"sex": ["f", "m"]},
    )
    assert [data.test.take(torch.tensor([0])).value_name("sex", code) for code in (0, 1, 2)] == ["f", "m", "2"]


def test_the_split_is_stratified_and_follows_its_seed(tmp_path: Path) -> None:
    columns = people() | {"risk": ["bad" if i % 4 else "good" for i in range(N)]}
    data = load(tmp_path, columns, test_fraction=0.2)
    assert (len(data.train), len(data.test)) == (32, 8)
    assert (int(data.train.y.sum()), int(data.test.y.sum())) == (8, 2)
    assert torch.equal(load(tmp_path, columns, test_fraction=0.2).test.ids, data.test.ids)
    assert not torch.equal(load(tmp_path, columns, test_fraction=0.2, split_seed=1).test.ids, data.test.ids)
    few = load(tmp_path, columns, limit=20)
    assert (len(few.train), int(few.train.y.sum())) == (20, 5)


def test_settings_and_content_make_the_digest_and_names_do_not(tmp_path: Path) -> None:
    base = load(tmp_path, sensitive=["sex"])
    path = csv(tmp_path, name="other.csv")
    assert load_custom(path=path, target="risk", sensitive=["sex"], name="mine").train.digest == base.train.digest
    changed = people()
    changed["age"][0] += 1
    others = [
        load(tmp_path, changed, sensitive=["sex"]),
        load(tmp_path, sensitive=["sex"], sensitive_as_input=True),
        load(tmp_path, sensitive=["sex"], positive="bad"),
        load(tmp_path, sensitive=["sex"], drop=["job"]),
        load(tmp_path, sensitive=["sex"], categorical=["age"]),
        load(tmp_path, sensitive=["sex"], split_seed=1),
        load(tmp_path),
    ]
    assert len({data.train.digest for data in [base, *others]}) == 8


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_spaces_and_marks(tmp_path: Path, separator: str) -> None:
    lines = [["age", "job", "sex", "member", "risk"], *zip(*people().values(), strict=True)]
    text = "\r\n".join(f"{separator} ".join(map(str, line)) for line in lines)
    plain = load(tmp_path, sensitive=["sex"])
    for name, content in (("a.csv", b"\xef\xbb\xbf" + text.encode()), ("a.tsv.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(content)
        data = load_custom(path=str(tmp_path / name), target="risk", sensitive=["sex"])
        assert data.feature_names == plain.feature_names
        assert torch.equal(data.train.x, plain.train.x)
        assert torch.equal(data.test.z, plain.test.z)


def test_which_columns_are_inputs(tmp_path: Path) -> None:
    def names(**settings: Any) -> list[str]:
        data = load(tmp_path, sensitive=["sex"], **settings)
        return list(dict.fromkeys(name.partition("=")[0] for name in data.feature_names))

    assert names() == ["age", "job", "member"]
    assert names(drop=["job"]) == ["age", "member"]
    assert names(inputs=["member", "age"]) == ["age", "member"]
    assert names(inputs=["age"], sensitive_as_input=True) == ["age", "sex"]
    assert names(sensitive_as_input=True, drop=["member"]) == ["age", "job", "sex"]


def test_columns_of_codes_are_one_hot(tmp_path: Path) -> None:
    columns = people() | {"ward": [i % 3 * 10 for i in range(N)]}
    data = load(tmp_path, columns, categorical=["ward"], drop=["job", "sex"])
    assert data.feature_names[-3:] == ("ward=0", "ward=10", "ward=20")
    assert data.groups == ((len(data.feature_names) - 3, len(data.feature_names)),)
    assert values(data, "ward=20").tolist() == [float(i % 3 == 2) for i in range(N)]


@pytest.mark.parametrize(("positive", "kind"), [("bad", str), (1, int), (1.0, float), (True, bool)])
def test_the_positive_class_is_1(tmp_path: Path, positive: object, kind: type) -> None:
    given = {str: ["bad", "good"], int: [1, 2], float: [1.0, 2.5], bool: [True, False]}[kind]
    columns = people() | {"risk": [given[i % 2] for i in range(N)]}
    data = load(tmp_path, columns, positive=positive)
    assert data.train.y.tolist() == [int(i % 2 == 0) for i in data.train.ids]
    assert data.notes["labels"][1] == str(given[0]).removesuffix(".0")


def test_many_classes_are_in_order_of_their_values(tmp_path: Path) -> None:
    columns = people() | {"risk": [[10, 9, 2][i % 3] for i in range(N)]}
    data = load(tmp_path, columns)
    assert data.num_classes == 3
    assert data.notes["labels"] == ["2", "9", "10"]
    with pytest.raises(SettingError, match="`positive` is for a target of two values, `risk` has 3"):
        load(tmp_path, columns, positive=9)


def test_sensitive_numbers_are_cut(tmp_path: Path) -> None:
    cuts = load(tmp_path, sensitive=["age"], bins={"age": [30, 50]})
    assert cuts.notes["values"] == {"age": ["under 30", "30 to under 50", "50 or more"]}
    assert cuts.train.attribute("age").tolist() == [int(i >= 10) + int(i >= 30) for i in cuts.train.ids.tolist()]
    halves = load(tmp_path, sensitive=["age"], bins={"age": 2})
    assert halves.train.attribute("age").bincount().tolist() == [10, 10]
    with pytest.raises(SettingError, match=r"`bins` must say how to cut `age`, which has 40 different numbers: .*:2\}"):
        load(tmp_path, sensitive=["age"])
    few = load(tmp_path, people() | {"age": [i % 3 for i in range(N)]}, sensitive=["age"])
    assert few.notes["values"] == {"age": ["0", "1", "2"]}


def test_a_test_file_is_encoded_as_the_training_file_is(tmp_path: Path) -> None:
    rows = people() | {"age": [30] * N, "job": ["cook"] * 39 + ["judge"]}
    test = csv(tmp_path, dict(reversed(rows.items())) | {"extra": ["x"] * N}, "test.csv")
    data = load(tmp_path, sensitive=["sex"], test=test)
    assert (len(data.train), len(data.test)) == (N, N)
    assert data.test.ids.tolist() == list(range(N, 2 * N))
    assert data.test.attribute("sex").tolist() == data.train.attribute("sex").tolist()
    assert data.test.x[:, 0].tolist() == pytest.approx([10 / 39] * N)
    assert data.test.x[-1, 1:4].tolist() == [0, 0, 0]
    assert data.warnings == ("1 test records have a `job` that no training record has: its inputs are all 0 for them.",)
    far = csv(tmp_path, people() | {"age": [90] * N}, "far.csv")
    clamped = load(tmp_path, test=far, drop=["job"])
    assert clamped.test.x[:, 0].tolist() == [1] * N
    assert "100.0% of the test records have a `age` beyond the training range 20 to 59" in clamped.warnings[0]


def test_the_rest_of_the_warnings(tmp_path: Path) -> None:
    columns = people() | {
        "planet": ["earth"] * N,
        "year": [1999] * N,
        "weight": [*(str(50 + i) for i in range(N - 1)), "?"],
    }
    said = load(tmp_path, columns, drop=["age"]).warnings
    assert "`planet`, `year`: one value in all training records, so left out of the inputs." in said
    assert any("`weight` is read as text with 40 categories because of '?'" in text for text in said)
    many = {key: value * 5 for key, value in people().items()} | {"name": [f"n{i}" for i in range(5 * N)]}
    text = load(tmp_path, many).warnings[0]
    assert "`name` has 200 categories, each of which is an input: leave it out with dataset.drop=[name]" in text
    (text,) = load(tmp_path, many | {"name": list(range(5 * N))}).warnings
    assert text.startswith("`name` is another whole number in every training record: if it is an identifier")
    assert load(tmp_path).warnings == ()


def test_decimal_commas_are_numbers_everywhere(tmp_path: Path) -> None:
    columns = {"age": [f"{20 + i},5" for i in range(N)], "pay": [f"1.{100 + i},25" for i in range(N)]}
    rows = zip(*columns.values(), people()["sex"], people()["risk"], strict=True)
    (tmp_path / "a.csv").write_text("\n".join(";".join(row) for row in [("age", "pay", "sex", "risk"), *rows]))
    data = load_custom(path=str(tmp_path / "a.csv"), target="risk", sensitive=["age"], bins={"age": [30]}, drop=["sex"])
    plain = load(tmp_path, people() | {"pay": [1100.25 + i for i in range(N)]}, inputs=["pay"])
    assert torch.equal(data.train.x, plain.train.x)
    assert data.notes["values"] == {"age": ["under 30", "30 or more"]}
    assert data.warnings == ("`pay` is read as numbers written with a comma, such as '1.100,25'.",)
    thousands = load(tmp_path, people() | {"pay": [f"1,{100 + i}.25" for i in range(N)]}, inputs=["pay"])
    assert torch.equal(thousands.train.x, plain.train.x)


def test_dates_are_days_or_refused(tmp_path: Path) -> None:
    days = [f"2026-{1 + i // 20:02}-{1 + i % 20:02}" for i in range(N)]
    data = load(tmp_path, people() | {"seen": days}, inputs=["seen"])
    number = [i % 20 + 31 * (i // 20) for i in range(N)]
    low, high = (f(number[i] for i in data.train.ids.tolist()) for f in (min, max))
    assert values(data, "seen").tolist() == pytest.approx([min(max((i - low) / (high - low), 0), 1) for i in number])
    assert data.warnings == ("`seen` is read as dates, such as 2026-01-01: its input is the number of days.",)
    german = people() | {"seen": [f"{1 + i % 20}.{1 + i // 20}.2026" for i in range(N)]}
    with pytest.raises(SettingError, match=r"`seen` has dates such as '1\.1\.2026', which can be read in several"):
        load(tmp_path, german)
    assert len(load(tmp_path, german, inputs=["seen"], categorical=["seen"]).feature_names) == 20
    assert (
        "because of 'never': if it is a column of dates"
        in load(tmp_path, german | {"seen": ["never", *german["seen"][1:]]}, inputs=["seen"]).warnings[0]
    )


def test_texts_that_are_nearly_numbers_are_named(tmp_path: Path) -> None:
    said = load(tmp_path, people() | {"weight": [f"{50 + i} kg" for i in range(N)]}, inputs=["weight"]).warnings
    assert "`weight` is read as text with 40 categories such as '50 kg', each of which is an input" in said[0]
    odd = load(tmp_path, people() | {"weight": [*(f"{50 + i},5" for i in range(N - 1)), "?"]}, inputs=["weight"])
    assert "because of '?': if it is a column of numbers" in odd.warnings[0]


def test_columns_may_have_numbers_as_names(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = dict(zip(("0", "1", "2", "3", "4"), people().values(), strict=True))
    data = load(tmp_path, columns, target=4, sensitive=[2], drop=["3"])
    assert data.attributes == ("2",)
    assert torch.equal(data.train.x, load(tmp_path, sensitive=["sex"], drop=["member"]).train.x)
    (tmp_path / "a.csv").write_text("\n".join(",".join(map(str, row)) for row in zip(*columns.values(), strict=True)))
    none = load_custom(path=str(tmp_path / "a.csv"), target=4, sensitive=[2], drop=[3], header=False)
    assert torch.equal(none.test.x, data.test.x)
    odd: dict[str, list[Any]] = {"inf": list(range(N)), "True": [i % 3 for i in range(N)], "1.50": [1, 2] * (N // 2)}
    renamed = load(tmp_path, people() | odd, inputs=[float("inf"), True, 1.5])
    assert renamed.feature_names == ("inf", "True", "1.50")


def test_the_advice_about_a_name_can_be_typed(tmp_path: Path) -> None:
    many = {key: value * 5 for key, value in people().items()} | {"inf": list(range(5 * N))}
    assert 'leave it out with dataset.drop=["inf"].' in load(tmp_path, many).warnings[0]


def test_a_rare_class_is_warned_of(tmp_path: Path) -> None:
    columns = {key: value * 10 for key, value in people().items()}
    columns["risk"][:3] = ["odd"] * 3
    said = load(tmp_path, columns).warnings
    assert any(text.startswith("class odd has 2 of 200 training records and 1 of 200 test records") for text in said)


def test_a_limit_far_above_the_data_is_said(tmp_path: Path) -> None:
    assert load(tmp_path, limit=20).warnings == ()
    assert load(tmp_path, limit=1000).warnings == (
        "dataset.limit=1000 limits nothing: there are 20 training and 20 test records.",
    )


def test_large_numbers_are_no_identifiers(tmp_path: Path) -> None:
    many = {key: value * 5 for key, value in people().items()} | {"big": [1.7e20 * (1 + i) for i in range(5 * N)]}
    assert load(tmp_path, many).warnings == ()


def test_records_with_gaps_are_refused_or_left_out(tmp_path: Path) -> None:
    columns: dict[str, list[Any]] = people() | {
        "blood": [None if i % 3 == 0 else "A" if i % 2 else "B" for i in range(N)]
    }
    columns["age"][1] = float("inf")
    with pytest.raises(DataError, match=r"15 of 40 records of people\.csv lack a value \(blood 14, age 1\)") as error:
        load(tmp_path, columns)
    assert "dataset.missing=drop leaves these records out, dataset.drop=[age,blood] leaves out" in str(error.value)
    data = load(tmp_path, columns, missing="drop")
    assert len(data.train) + len(data.test) == 25
    left = [i for i in range(N) if i % 3 and i != 1]
    assert data.train.y.tolist() == [int(people()["risk"][left[i]] == "good") for i in data.train.ids.tolist()]
    assert "15 of 40 records of people.csv lack a value" in data.warnings[0]
    assert load(tmp_path, columns, drop=["blood", "age"]).warnings == ()
    with pytest.raises(DataError, match=r"lack a value \(risk 40\): fill them in"):
        load(tmp_path, people() | {"risk": [None] * N})


def test_npz_arrays_are_columns_too(tmp_path: Path) -> None:
    rows = people()
    x = np.stack([np.array(rows["age"]), np.arange(N) % 7], axis=1).astype(np.float32)
    z = np.stack([np.array(rows["sex"]), np.array(rows["job"])], axis=1)
    y = np.array([risk == "good" for risk in rows["risk"]])[:, None]
    file = tmp_path / "people.npz"
    np.savez(file, x=x, y=y, z=z, scale=np.float32(1))
    data = load_custom(path=str(file), target="y", sensitive=["z"])
    assert data.feature_names == ("x_0", "x_1")
    assert data.attributes == ("z_0", "z_1")
    plain = load(tmp_path, sensitive=["sex", "job"])
    assert torch.equal(data.train.ids, plain.train.ids)
    assert torch.equal(data.train.z, plain.train.z)
    assert torch.equal(data.train.x[:, 0], plain.train.x[:, 0])
    one = load_custom(path=str(file), target="y", sensitive=["z_1"], drop=["z_0", "x_1"])
    assert (one.attributes, one.feature_names) == (("z_1",), ("x_0",))
    arrays: dict[str, Any] = {name: np.array(column) for name, column in rows.items()}
    np.savez(file, **arrays)
    named = load_custom(path=str(file), target="risk", sensitive=["sex", "job"])
    assert torch.equal(named.train.x, plain.train.x)
    np.savez(file, x=x, risk=np.array(rows["risk"], "S"))
    assert load_custom(path=str(file), target="risk").notes["labels"] == ["bad", "good"]


@pytest.mark.skipif(not importlib.util.find_spec("pyarrow"), reason="pyarrow, which reads Parquet, is not installed")
def test_parquet_is_read_as_csv_is(tmp_path: Path) -> None:
    frame = pd.DataFrame(people())
    frame["job"] = frame["job"].astype("category")
    frame["age"] = frame["age"].astype("Int64")
    frame.to_parquet(tmp_path / "people.parquet")
    data = load_custom(path=str(tmp_path / "people.parquet"), target="risk", sensitive=["sex"])
    plain = load(tmp_path, sensitive=["sex"])
    assert data.feature_names == plain.feature_names
    assert torch.equal(data.train.x, plain.train.x)
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match="is no whole Parquet file"):
        load_custom(path=str(tmp_path / "bad.parquet"), target="risk")


def test_parquet_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> None:
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd, "read_parquet", absent)
    (tmp_path / "people.parquet").write_bytes(b"PAR1")
    with pytest.raises(DataError, match="pip install pyarrow, or save the table as CSV"):
        load_custom(path=str(tmp_path / "people.parquet"), target="risk")


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "target": ({"target": "rsk"}, r"`target` must be a column of people\.csv, got 'rsk'; did you mean `risk`\?"),
    "case": ({"sensitive": ["Sex"]}, r"`sensitive` must be columns of people\.csv, got 'Sex'; did you mean `sex`\?"),
    "unlike anything": ({"drop": ["zzz"]}, "`drop` .* got 'zzz'; there are age, job, sex, member, risk"),
    "input": ({"inputs": ["agee"]}, "`inputs` .* did you mean `age`"),
    "code": ({"categorical": ["jbo"]}, "`categorical` .* did you mean `job`"),
    "code that is no input": ({"categorical": ["job"], "drop": ["job"]}, "`categorical` must name inputs, job is none"),
    "bins of another column": ({"bins": {"age": 2}}, "`bins` must be a mapping from sensitive columns, got 'age'"),
    "one bin": ({"sensitive": ["age"], "bins": {"age": 1}}, "`bins` must be 2 or more for `age`, got 1"),
    "falling cuts": ({"sensitive": ["age"], "bins": {"age": [5, 3]}}, "`bins` must be rising numbers for `age`"),
    "bins of text": ({"sensitive": ["sex"], "bins": {"sex": 2}}, "`bins` must name columns of numbers, `sex` is text"),
    "target twice": ({"sensitive": ["risk"]}, "`sensitive` must not name the target, got risk"),
    "target as input": ({"inputs": ["age", "risk"]}, "`inputs` must not name the target"),
    "sensitive as input": ({"sensitive": ["sex"], "inputs": ["sex", "age"]}, "set sensitive_as_input to true"),
    "positive": ({"positive": "god"}, "`positive` must be a value of `risk`, got 'god'; did you mean `good`"),
    "a word for a list": ({"sensitive": "sex"}, "`sensitive` must be a list of columns, got 'sex'"),
    "no classes": ({"target": "age"}, "`target` must be a column of classes; `age` has 40 different values in 40"),
    "pictures without a column": ({"images": "x"}, "`images` needs `image_column`"),
    "fraction": ({"test_fraction": 1.0}, "`test_fraction` must satisfy 0 < test_fraction < 1, got 1.0"),
    "missing": ({"missing": "fill"}, "`missing` must be one of refuse, drop; got fill"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_settings_are_told(tmp_path: Path, what: str) -> None:
    settings, message = WRONG[what]
    with pytest.raises(SettingError, match=message):
        load(tmp_path, **settings)


def _text(content: str | bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content if isinstance(content, bytes) else content.encode())


def _npz(**arrays: Any) -> Callable[[Path], object]:
    return lambda path: np.savez(path, **arrays)


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "not there": ("a.csv", lambda _: None, r"a\.csv: cannot be read \(No such file or directory\)"),
    "another kind": ("a.xlsx", _text("x"), r"the name must end in \.csv, \.tsv .*; save it as CSV"),
    "empty": ("a.csv", _text(""), "is empty; a table needs"),
    "only a header": ("a.csv", _text("age,risk\n"), "has column names and no records"),
    "one column": ("a.csv", _text("age\n1\n"), r"its first line holds one name \('age'\)"),
    "no header of texts": ("a.csv", _text("1,x,good\n3,x,bad\n4,y,good\n"), "looks like a record"),
    "a comma": ("a.csv", _text('age,risk\n"1,200",a\n"2,300",b\n'), "the comma of '1,200' in `age` may be a decimal"),
    "no header of truth values": (
        "a.csv",
        _text("34,work,True\n41,state,False\n52,work,True\n"),
        "looks like a record",
    ),
    "no header": ("a.csv", _text("1,2,good\n3,4,bad\n"), "looks like a record; put a line of column names above it"),
    "too many fields": ("a.csv", _text("age,risk\n1,2\n1,2,3\n"), "is no table: .*every line must have 2 fields"),
    "all too long": ("a.csv", _text("age,risk\n1,2,3\n4,5,6\n"), "is no table: .*every line must have 2 fields"),
    "other letters": ("a.csv", _text("age,risk\n1,gut\n2,schön\n".encode("latin1")), r"line 3 is no UTF-8 text"),
    "half a gzip file": ("a.csv.gz", _text(gzip.compress(b"age,risk\n1,2\n" * 99)[:-9]), "is no whole gzip file"),
    "no zip": ("a.npz", _text("age,risk"), "is no NPZ file; save it with numpy.savez"),
    "half a zip": ("a.npz", _text(b"PK\x03\x04 and so on"), "is no whole NPZ file"),
    "no arrays": ("a.npz", _npz(one=np.float32(1)), "one entry per record each, got none"),
    "objects": ("a.npz", _npz(risk=np.array([{}, 1], object)), "holds Python objects, which could run code"),
    "lengths": ("a.npz", _npz(risk=np.zeros(3), x=np.zeros((4, 2))), "one entry per record each, got risk 3, x 4"),
    "one value": ("a.csv", _text("age,risk\n1,a\n2,a\n"), "`risk`, the target, is a in every record"),
    "nothing to learn from": ("a.csv", _text("age,risk\n" + "1,a\n1,b\n" * 9), "the inputs would be 0 columns"),
    "too small": ("a.csv", _text("age,risk\n1,a\n2,b\n"), "no training record has the class"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_tables_are_told(tmp_path: Path, what: str) -> None:
    name, write, message = BROKEN[what]
    write(tmp_path / name)
    with pytest.raises(DataError, match=message):
        load_custom(path=str(tmp_path / name), target="risk")


def test_a_misspelt_file_is_guessed(workdir: Path) -> None:
    csv(workdir)
    with pytest.raises(DataError, match=r"did you mean people\.csv\?"):
        load_custom(path="poeple.csv", target="risk")


def test_no_folder_and_no_other_kind_of_file_is_meant(workdir: Path) -> None:
    Path("docs.csv").mkdir()
    Path("doc.txt").write_text("a")
    with pytest.raises(DataError, match="cannot be read") as error:
        read_table(Path("doc.csv"))
    assert "did you mean" not in str(error.value)


def test_test_files_that_do_not_fit_are_told(tmp_path: Path) -> None:
    lacking = csv(tmp_path, {key: value for key, value in people().items() if key != "job"}, "lacking.csv")
    with pytest.raises(DataError, match=r"lacking\.csv: has no column job, which .*people\.csv has"):
        load(tmp_path, test=lacking)
    texts = csv(tmp_path, people() | {"age": ["old"] * N}, "texts.csv")
    with pytest.raises(DataError, match=r"texts\.csv: `age` has texts such as 'old', in .*people\.csv it has numbers"):
        load(tmp_path, test=texts)
    other = csv(tmp_path, people() | {"risk": ["fair"] * N}, "other.csv")
    with pytest.raises(DataError, match="`risk`: no training record has the class fair"):
        load(tmp_path, test=other)
    numbers = csv(tmp_path, people() | {"job": [7] * N}, "numbers.csv")
    assert "40 test records have a `job` that no training record has" in load(tmp_path, test=numbers).warnings[0]


def test_too_many_categories_are_refused(tmp_path: Path) -> None:
    n = 24_000
    columns = {"name": [f"n{i}" for i in range(n)], "risk": [i % 2 for i in range(n)]}
    with pytest.raises(DataError, match="the inputs would be 12,000 columns, expected 1 to 10,000; `name` alone has"):
        load(tmp_path, columns)


def test_a_file_that_changed_is_told(tmp_path: Path) -> None:
    good = load(tmp_path)
    digest = good.notes["checksum"]["people.csv"].removeprefix("sha256:")
    assert load(tmp_path, sha256={"path": digest}).train.digest == good.train.digest
    with pytest.raises(DataError, match="this file has changed"):
        load(tmp_path, people() | {"age": list(range(N))}, sha256={"path": digest})


def test_a_column_that_is_there_twice_has_a_number(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("age,age,risk\n" + "1,3,a\n2,5,b\n" * 10)
    assert load_custom(path=str(tmp_path / "a.csv"), target="risk").feature_names == ("age", "age.1")
    with pytest.raises(SettingError, match="`sensitive` must name each column once"):
        load_custom(path=str(tmp_path / "a.csv"), target="risk", sensitive=["age.1", "age.1"])
    for target, sensitive, inputs in (("age", [], None), ("risk", ["age"], None), ("risk", [], ["age"])):
        with pytest.raises(SettingError, match="several columns have the name 'age'"):
            load_custom(path=str(tmp_path / "a.csv"), target=target, sensitive=sensitive, inputs=inputs)
