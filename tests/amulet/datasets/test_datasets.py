"""Census against an independent reading of the files; records; splits."""

import lzma
from collections import Counter
from importlib import resources
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, TensorDataset

from amulet.core import DataError, SettingError
from amulet.datasets import AmuletDataset, Records, load_census, stratified_split


@pytest.fixture(scope="module")
def census() -> AmuletDataset:
    return load_census()


def _rows() -> list[list[str]]:
    rows: list[list[str]] = []
    for name in ("adult.data", "adult.test"):
        text = lzma.decompress((resources.files("amulet.datasets") / "_files" / f"{name}.xz").read_bytes()).decode()
        rows += [
            [field.strip(" .") for field in line.split(",")] for line in text.splitlines() if line.count(",") == 14
        ]
    return [row for row in rows if row[8] in ("White", "Black")]


def test_census_has_the_papers_sizes_and_columns(census: AmuletDataset) -> None:
    assert (len(census.train), len(census.test), census.shape) == (23_223, 23_224, (42,))
    groups = Counter(name.split("=")[0] for name in census.feature_names)
    assert (groups["workclass"], groups["marital-status"]) == (9, 7)
    assert (groups["occupation"], groups["relationship"]) == (15, 6)
    assert not torch.isin(census.train.ids, census.test.ids).any()
    assert census.train.y.float().mean() == pytest.approx(census.test.y.float().mean().item(), abs=1e-4)


def test_every_census_record_is_the_one_of_the_file(census: AmuletDataset) -> None:
    rows = _rows()
    assert len(rows) == 46_447
    for part in (census.train, census.test):
        for i in range(0, len(part), 97):
            row = rows[int(part.ids[i])]
            assert int(part.y[i]) == (row[14] == ">50K")
            assert part.z[i].tolist() == [row[8] == "White", row[9] == "Male"]
            on = {census.feature_names[c] for c in part.x[i, 5:].nonzero().flatten() + 5}
            assert on == {
                f"{n}={row[c]}"
                for n, c in (("workclass", 1), ("marital-status", 5), ("occupation", 6), ("relationship", 7))
            }
            assert part.x[i, 1].item() == pytest.approx((float(row[4]) - 1) / 15)


def test_census_is_scaled_on_the_training_part_and_in_range(census: AmuletDataset) -> None:
    assert census.train.x.min() == 0
    assert census.train.x.max() == 1
    assert census.test.x.min() >= 0
    assert census.test.x.max() <= 1
    assert torch.equal(census.train.x[:, :5].amax(dim=0), torch.ones(5))
    for start, end in census.groups:
        assert torch.equal(census.train.x[:, start:end].sum(dim=1), torch.ones(len(census.train)))


def test_census_options(census: AmuletDataset) -> None:
    assert load_census(encoding="full", limit=100).shape == (99,)
    few = load_census(limit=500)
    assert (len(few.train), len(few.test)) == (500, 500)
    assert torch.isin(few.train.ids, census.train.ids).all()
    assert few.train.y.float().mean() == pytest.approx(census.train.y.float().mean().item(), abs=0.003)
    assert load_census(sensitive=["sex"], limit=100).attributes == ("sex",)
    other = load_census(split_seed=1)
    assert not torch.equal(other.train.ids, census.train.ids)
    with pytest.raises(SettingError, match="`encoding` must be one of paper, full; got all"):
        load_census(encoding="all")  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="limit"):
        load_census(limit=3)


def test_damaged_census_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"adult\.data: cannot be read"):
        load_census(root=str(tmp_path))
    for name in ("adult.data", "adult.test"):
        (tmp_path / name).write_bytes(
            lzma.decompress((resources.files("amulet.datasets") / "_files" / f"{name}.xz").read_bytes())
        )
    assert load_census(root=str(tmp_path), limit=100).train.digest == load_census(limit=100).train.digest
    content = bytearray((tmp_path / "adult.test").read_bytes())
    content[5000] ^= 1
    (tmp_path / "adult.test").write_bytes(content)
    with pytest.raises(DataError, match="damaged, or not the official file"):
        load_census(root=str(tmp_path))


@given(
    labels=st.lists(st.integers(0, 3), min_size=2, max_size=60),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**31),
)
def test_stratified_split_is_exact_disjoint_and_proportional(labels: list[int], share: float, seed: int) -> None:
    y = torch.tensor(labels)
    first = round(share * len(y))
    sizes = [first, (len(y) - first) // 2]
    parts = stratified_split(y, sizes, torch.Generator().manual_seed(seed))
    assert [len(p) for p in parts] == sizes
    assert len(torch.cat(parts).unique()) == sum(sizes)
    for label in range(4):
        n = int((y == label).sum())
        assert abs(int((y[parts[0]] == label).sum()) - n * sizes[0] / len(y)) < 1 + 1e-9


def test_records_digest_follows_the_content() -> None:
    x, y = torch.rand(6, 3), torch.tensor([0, 1, 0, 1, 0, 1])
    records = Records.of(x, y)
    assert records.digest == Records.of(x.clone(), y.clone()).digest
    assert records.digest != Records.of(x + 1e-7, y).digest
    assert records.digest != Records.of(x, 1 - y).digest
    taken = records.take(torch.tensor([3, 1]))
    assert torch.equal(taken.x, x[[3, 1]])
    assert taken.ids.tolist() == [3, 1]
    assert len({taken.digest, records.digest, records.take(torch.tensor([1, 3])).digest}) == 3
    assert records.take(torch.tensor([True, False, False, True, False, False])).ids.tolist() == [0, 3]
    assert records.replace(y=1 - y).digest not in {records.digest, Records.of(x, y).digest}
    both = records.concat(taken)
    assert (len(both), both.ids.tolist()[-2:]) == (8, [3, 1])


def test_records_scale_bytes_and_feed_a_loader() -> None:
    x = torch.arange(12, dtype=torch.uint8).reshape(3, 1, 2, 2) * 20
    records = Records.of(x, torch.tensor([0, 1, 0]))
    assert torch.equal(records.inputs(), x.float() / 255)
    assert torch.equal(records.x, x), "scaling must not write into the stored bytes"
    loader: DataLoader[object] = DataLoader(records, batch_size=2)
    batch = next(iter(loader))
    assert torch.equal(batch[0], x[:2].float() / 255)
    assert Records.from_loader(loader) is records
    pairs = TensorDataset(torch.rand(4, 2), torch.tensor([0, 1, 1, 0]))
    assert torch.equal(Records.from_loader(DataLoader(pairs, 2, shuffle=True)).x, pairs.tensors[0])


def test_records_and_data_sets_refuse_what_does_not_belong_together() -> None:
    with pytest.raises(ValueError, match="`y` must have one entry for each of 3 records"):
        Records.of(torch.rand(3, 2), torch.tensor([0, 1]))
    records = Records.of(torch.rand(4, 2), torch.tensor([0, 1, 2, 1]))
    with pytest.raises(ValueError, match="share records"):
        AmuletDataset(name="a", modality="tabular", train=records, test=records, num_classes=3)
    with pytest.raises(ValueError, match=r"labels of `train` must be in \[0, 2\)"):
        AmuletDataset(name="a", modality="tabular", train=records, test=records, num_classes=2)
    with pytest.raises(ValueError, match="`sex` must be one of no attributes"):
        records.attribute("sex")


def test_a_data_set_is_shown_in_one_line() -> None:
    data = load_census(limit=200)
    assert repr(data) == "AmuletDataset(census: tabular (42,), 2 classes, 200 training and 200 test records, race, sex)"
    assert repr(data.train.take(torch.arange(3))) == "Records(3 of shape (42,), torch.float32, race, sex)"
