"""What an owner's table is in [0, 1], and back: every value and type as it was."""

import numpy as np
import pandas as pd
import pytest

from amulet.core import DataError
from amulet.victims import OwnTable, encoded


def table(n: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "gain": rng.normal(0, 1e6, n),
            "year": np.full(n, 1994),
            "job": rng.choice(np.array(["a=b", "clerk", None], dtype=object), n),
            "rank": pd.Categorical(rng.choice(["low", "high"], n), categories=["low", "mid", "high"], ordered=True),
            "married": rng.random(n) < 0.5,
            "code": rng.integers(0, 2**40, n),
            "nothing": [None] * n,
            "small": rng.random(n).astype(np.float32),
        }
    )
    return frame.astype({"age": "Int64"})


def test_unchanged_records_come_back_as_they_were() -> None:
    frame = table()
    inputs, view = encoded(frame)
    assert inputs.x.min() >= 0
    assert inputs.x.max() <= 1
    pd.testing.assert_frame_equal(view(inputs.x), frame)
    pd.testing.assert_frame_equal(view(inputs.x[3:5]).reset_index(drop=True), frame.iloc[3:5].reset_index(drop=True))
    for start, end in inputs.groups:
        assert (inputs.x[:, start:end].sum(axis=1) == 1).all()


def test_a_changed_record_is_one_that_can_exist() -> None:
    frame = table()
    inputs, view = encoded(frame)
    rng = np.random.default_rng(1)
    changed = view((inputs.x + rng.normal(0, 0.2, inputs.x.shape)).clip(0, 1).astype(np.float32))
    assert list(changed.dtypes) == list(frame.dtypes)
    assert changed["age"].between(17, 89).all()
    assert (changed["age"] != frame["age"]).any()
    assert set(changed["job"].dropna()) <= {"a=b", "clerk"}
    assert (changed["year"] == 1994).all()
    gain = inputs.names.index("gain")
    moved = inputs.x.copy()
    moved[:, gain] = 0.25
    low, high = frame["gain"].min(), frame["gain"].max()
    assert view(moved)["gain"].to_numpy() == pytest.approx(low + 0.25 * (high - low))
    pd.testing.assert_frame_equal(view(moved).drop(columns="gain"), frame.drop(columns="gain"))


def test_arrays_come_back_as_arrays() -> None:
    values = np.random.default_rng(0).random((50, 3))
    inputs, view = encoded(pd.DataFrame(values), array=values.dtype)
    assert isinstance(view, OwnTable)
    np.testing.assert_array_equal(view(inputs.x), values)


def test_missing_numbers_stay_missing() -> None:
    frame = table()
    rng = np.random.default_rng(2)
    for name in ("age", "gain", "year", "small"):
        frame[name] = frame[name].mask(rng.random(len(frame)) < 0.2)
    frame["empty"] = np.nan
    inputs, view = encoded(frame)
    pd.testing.assert_frame_equal(view(inputs.x), frame)
    at = inputs.names.index("age is=missing")
    assert dict(inputs.groups)[at - 1] == at + 1
    assert len(np.unique(inputs.x[frame["age"].isna(), inputs.names.index("age")])) == 1
    given = inputs.x.copy()
    given[:, at - 1], given[:, at] = 1, 0
    filled = view(given)["age"]
    assert filled.dtype == "Int64"
    assert filled[frame["age"].isna()].nunique() == 1
    assert filled[frame["age"].isna()].isin(frame["age"]).all()
    pd.testing.assert_series_equal(filled[frame["age"].notna()], frame["age"].dropna())


def test_infinite_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="`age` has 1 numbers that are infinite"):
        encoded(pd.DataFrame({"age": [1.0, np.inf], "b": [1, 2]}))
