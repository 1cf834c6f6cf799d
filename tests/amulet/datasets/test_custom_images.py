"""A user's own pictures: a folder that a CSV names, or an array of an NPZ file."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from amulet.core import DataError, Reporter, SettingError, Stage
from amulet.core.reporting import reporting_to
from amulet.datasets import AmuletDataset, load_custom
from amulet.datasets.locations import cache_folder

N = 24


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path_factory.mktemp("cache")))


def picture(number: int, *, grey: bool = False, size: tuple[int, int] = (12, 16)) -> Image.Image:
    """Red is ten times its number, green 7, blue 255; as wide as `size` says first."""
    if grey:
        return Image.new("L", size, 10 * number)
    return Image.new("RGB", size, (10 * number, 7, 255))


def album(folder: Path, make: Callable[[int], Image.Image] = picture, suffix: str = "png") -> str:
    """Pictures in a folder of their own, not in the order of the table."""
    (folder / "faces").mkdir()
    for i in range(N):
        make(i).save(folder / "faces" / f"{i * 7 % N:02}.{suffix}")
    table = {
        "file": [f"{i * 7 % N:02}.{suffix}" for i in range(N)],
        "smiles": ["yes" if i % 2 else "no" for i in range(N)],
        "hat": [i % 3 for i in range(N)],
    }
    pd.DataFrame(table).to_csv(folder / "faces.csv", index=False)
    return str(folder / "faces.csv")


def load(path: str, **settings: Any) -> AmuletDataset:
    folder = str(Path(path).parent / "faces")
    chosen: dict[str, Any] = {
        "target": "smiles",
        "sensitive": ["hat"],
        "image_column": "file",
        "images": folder,
        **settings,
    }
    return load_custom(path=path, **chosen)


def numbers(data: AmuletDataset) -> list[tuple[int, int]]:
    """Which record, and which number its picture has."""
    parts = (data.train, data.test)
    return [(int(i), int(x[0, 0, 0]) // 10) for part in parts for i, x in zip(part.ids, part.x, strict=True)]


def test_pictures_labels_and_attributes_belong_together(tmp_path: Path) -> None:
    data = load(album(tmp_path))
    assert (data.modality, data.shape, data.num_classes, data.attributes) == ("image", (3, 16, 12), 2, ("hat",))
    assert data.train.x.dtype == torch.uint8
    assert sorted(numbers(data)) == [(i, i) for i in range(N)]
    for part in (data.train, data.test):
        assert part.y.tolist() == [i % 2 for i in part.ids.tolist()]
        assert part.attribute("hat").tolist() == [i % 3 for i in part.ids.tolist()]
        assert (part.x[:, 1] == 7).all()
        assert (part.x[:, 2] == 255).all()
    assert data.feature_names == ()


def test_grey_pictures_have_one_channel(tmp_path: Path) -> None:
    data = load(album(tmp_path, lambda i: picture(i, grey=True)))
    assert data.shape == (1, 16, 12)
    assert sorted(numbers(data)) == [(i, i) for i in range(N)]
    assert data.train.x.is_contiguous()


def test_pictures_of_many_sizes_are_scaled(tmp_path: Path) -> None:
    path = album(tmp_path, lambda i: picture(i, size=(10 + i, 20)))
    with pytest.raises(DataError, match=r"it is 20 x 11, the first 20 x 10; dataset\.image_size=64 scales"):
        load(path)
    data = load(path, image_size=8)
    assert data.shape == (3, 8, 8)
    assert sorted(numbers(data)) == [(i, i) for i in range(N)]
    with pytest.raises(SettingError, match="`image_size` must satisfy 1 <= image_size, got 0"):
        load(path, image_size=0)


def test_pictures_are_turned_as_the_camera_was(tmp_path: Path) -> None:
    path = album(tmp_path, suffix="jpg")
    turned = Image.Exif()
    turned[0x0112] = 6  # turn by 90 degrees
    for file in (tmp_path / "faces").iterdir():
        with Image.open(file) as image:
            image.resize((16, 12)).save(file, exif=turned)
    assert load(path).shape == (3, 16, 12)


class _Stages(Reporter):
    def __init__(self) -> None:
        self.names: list[str] = []

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        self.names.append(name)
        return super().stage(name, total, unit)


def test_pictures_are_decoded_once_until_one_changes(tmp_path: Path) -> None:
    path = album(tmp_path)
    stages = _Stages()
    with reporting_to(stages):
        first = load(path)
        again = load(path, split_seed=1)
        assert len(stages.names) == 1
        assert again.train.digest != first.train.digest
        file = tmp_path / "faces" / "07.png"  # of record 1
        picture(20).save(file)
        os.utime(file, ns=(time.time_ns(), time.time_ns() + 10**9))
        changed = load(path)
    assert len(stages.names) == 2
    assert dict(numbers(changed)) == {**{i: i for i in range(N)}, 1: 20}
    assert changed.train.digest != first.train.digest
    assert len(list((cache_folder() / "custom").glob("prepared-*/pictures.npy"))) == 1


def test_a_test_table_names_pictures_of_the_same_folder(tmp_path: Path) -> None:
    path = album(tmp_path)
    rows = pd.read_csv(path)
    rows[:16].to_csv(tmp_path / "train.csv", index=False)
    rows[16:].to_csv(tmp_path / "test.csv", index=False)
    data = load(str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))
    assert (len(data.train), len(data.test)) == (16, N - 16)
    assert numbers(data) == [(i, i) for i in range(N)]
    assert data.warnings == ()
    rows[10:].to_csv(tmp_path / "test.csv", index=False)
    leaking = load(str(tmp_path / "train.csv"), test=str(tmp_path / "test.csv"))
    assert "6 test records are pictures that training records name too" in leaking.warnings[0]


def test_the_folder_of_the_table_is_the_default(tmp_path: Path) -> None:
    path = album(tmp_path)
    beside = tmp_path / "faces" / "faces.csv"
    Path(path).rename(beside)
    assert load(str(beside), images=None).shape == (3, 16, 12)


def test_broken_pictures_are_told(tmp_path: Path) -> None:
    path = album(tmp_path)
    with pytest.raises(
        DataError, match=r"nothere.00\.png: not found, nor 23 more of the 24 pictures that `file` names"
    ):
        load(path, images=str(tmp_path / "nothere"))
    broken = tmp_path / "faces" / "07.png"
    whole = broken.read_bytes()
    for content, why in ((b"<html>", "no picture in a known format"), (whole[:-30], "this picture cannot be used")):
        broken.write_bytes(content)
        with pytest.raises(DataError, match=rf"07\.png: .*{why}"):
            load(path)
    (tmp_path / "faces" / "00.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"00\.png: this picture cannot be used"):
        load(path)
    assert not list((cache_folder() / "custom").glob("prepared-*/"))


@pytest.mark.parametrize("settings", [{"inputs": ["hat"]}, {"drop": ["hat"]}, {"sensitive_as_input": True}])
def test_settings_for_tables_are_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=f"`{next(iter(settings))}` is for tables: here pictures are the input"):
        load(album(tmp_path), **settings)


@pytest.mark.parametrize("layout", ["nhw", "nchw", "nhwc"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_arrays_of_pictures(tmp_path: Path, layout: str, dtype: type) -> None:
    pixels = np.zeros((N, 3, 4, 5))
    pixels[:] = np.arange(N)[:, None, None, None] * (10 if dtype is np.uint8 else 0.01)
    array = {"nhw": pixels[:, 0], "nchw": pixels, "nhwc": pixels.transpose(0, 2, 3, 1)}[layout].astype(dtype)
    np.savez(tmp_path / "a.npz", x=array, y=np.arange(N) % 2, z=np.arange(N) % 3)
    data = load_custom(path=str(tmp_path / "a.npz"), target="y", sensitive=["z"])
    assert (data.modality, data.shape) == ("image", (1 if layout == "nhw" else 3, 4, 5))
    assert data.train.x.dtype == (torch.uint8 if dtype is np.uint8 else torch.float32)
    expected = data.train.ids * 10 if dtype is np.uint8 else data.train.ids * 0.01
    assert torch.allclose(data.train.x.flatten(1).amin(dim=1).double(), expected.double())
    assert data.train.attribute("z").tolist() == (data.train.ids % 3).tolist()
    test = load_custom(path=str(tmp_path / "a.npz"), target="y", test=str(tmp_path / "a.npz"), missing="drop")
    assert (len(test.train), len(test.test)) == (N, N)


def test_records_without_a_label_lose_their_picture_too(tmp_path: Path) -> None:
    pixels = np.arange(N, dtype=np.uint8)[:, None, None].repeat(4, axis=1)
    labels = np.where(np.arange(N) % 6, np.arange(N) % 2, np.nan)
    np.savez(tmp_path / "a.npz", x=pixels, y=labels)
    data = load_custom(path=str(tmp_path / "a.npz"), target="y", missing="drop", test_fraction=0.25)
    for part in (data.train, data.test):
        assert part.y.tolist() == (part.x[:, 0, 0, 0] % 2).tolist()
        assert (part.x[:, 0, 0, 0] % 6 != 0).all()


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((N, 2, 4, 4), np.uint8)}, "pictures must be n x height x width, .* got 24 x 2 x 4 x 4"),
        ({"x": np.full((N, 4, 4), 7.0)}, r"must be bytes \(uint8\) or numbers from 0 to 1, got float64"),
        ({"x": np.full((N, 4, 4), np.nan)}, "numbers from 0 to 1, got float64"),
        ({"x": np.zeros((N, 4, 4), np.int64)}, "numbers from 0 to 1, got int64"),
    ],
)
def test_arrays_that_are_no_pictures_are_told(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "a.npz", y=np.arange(N) % 2, **arrays)
    with pytest.raises(DataError, match=message):
        load_custom(path=str(tmp_path / "a.npz"), target="y")


def test_several_arrays_of_pictures_need_a_choice(tmp_path: Path) -> None:
    small, large = np.zeros((N, 4, 4), np.uint8), np.zeros((N, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", y=np.arange(N) % 2, small=small, large=large)
    path = str(tmp_path / "a.npz")
    with pytest.raises(SettingError, match="`inputs` must be one array of pictures, got small, large"):
        load_custom(path=path, target="y")
    assert load_custom(path=path, target="y", inputs=["large"]).shape == (1, 8, 8)
    assert load_custom(path=path, target="y", drop=["large"]).shape == (1, 4, 4)
    np.savez(tmp_path / "test.npz", y=np.arange(N) % 2, small=large)
    with pytest.raises(DataError, match=r"`small` must be pictures of shape \(1, 4, 4\)"):
        load_custom(path=path, target="y", inputs=["small"], test=str(tmp_path / "test.npz"))
    with pytest.raises(DataError, match="has no array large of pictures"):
        load_custom(path=path, target="y", inputs=["large"], test=str(tmp_path / "test.npz"))
    with pytest.raises(SettingError, match="`image_size` needs `image_column`"):
        load_custom(path=path, target="y", inputs=["large"], image_size=4)


def test_one_lost_picture_is_named_alone(tmp_path: Path) -> None:
    path = album(tmp_path)
    (tmp_path / "faces" / "03.png").unlink()
    with pytest.raises(DataError, match=r"03\.png: not found; `dataset\.images` must be the folder"):
        load(path)
