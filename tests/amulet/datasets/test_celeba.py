"""CelebA: made-up files in the official format; pictures scaled once and mapped, lists joined by name."""

import hashlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from amulet.core.errors import DataError, SettingError
from amulet.core.reporting import Reporter, Stage, reporting_to
from amulet.core.vision import import_torchvision
from amulet.datasets import AmuletDataset, load_celeba
from amulet.datasets.locations import cache_folder
from amulet.datasets.pictures import prepared
from tests.helpers.face_toys import CELEBA_COLUMNS, SHOWN, make_celeba, paint, seen

OFFICIAL = {"train": 162_770, "valid": 19_867, "test": 19_962}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_celeba(tmp_path_factory.mktemp("celeba"))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return make_celeba(tmp_path, 10)


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache"


def shown(data: AmuletDataset) -> tuple[np.ndarray, np.ndarray]:
    """What the pictures show, and label and sensitive attributes, of training and test records."""
    parts = (data.train, data.test)
    values = np.concatenate([torch.cat([part.y.unsqueeze(1), part.z], dim=1).numpy() for part in parts])
    return np.concatenate([seen(part.x.numpy()) for part in parts]), values


def test_every_picture_has_its_own_label_and_attributes(made: Path) -> None:
    data = load_celeba(root=str(made), target="Smiling", sensitive=["Male", "Young"])
    pictures, values = shown(data)
    assert (pictures == values).all()
    assert (pictures != np.roll(values, 1, axis=0)).mean() > 0.3  # a shift by one row would be seen
    assert data.train.x.shape == (36, 3, 64, 64)
    assert data.train.x.dtype == torch.uint8
    assert len(data.test) == 12
    assert data.attributes == ("Male", "Young")
    assert not any("were found" in warning for warning in data.warnings)


@pytest.mark.parametrize(("validation", "sizes"), [("unused", (36, 12)), ("train", (48, 12)), ("test", (36, 24))])
def test_the_official_parts(made: Path, validation: Any, sizes: tuple[int, int]) -> None:
    parts = dict(line.split() for line in (made / "celeba" / "list_eval_partition.txt").read_text().splitlines())
    data = load_celeba(root=str(made), sensitive=SHOWN[1:], validation=validation)
    assert (len(data.train), len(data.test)) == sizes
    pictures, values = shown(data)
    assert (pictures == values).all()
    wanted = {"unused": "0", "train": "01", "test": "0"}[validation]
    names = [name for name, part in parts.items() if part in wanted]
    sums = sorted(hashlib.sha256(reference(made, name).tobytes()).hexdigest() for name in names)
    assert sorted(hashlib.sha256(x.numpy().tobytes()).hexdigest() for x in data.train.x) == sums


def reference(root: Path, name: str, side: int = 64) -> np.ndarray:
    """A picture as torchvision cuts and scales it."""
    import_torchvision()
    from torchvision.transforms import CenterCrop, Compose, Resize

    with Image.open(root / "celeba" / "img_align_celeba" / name) as picture:
        both = Compose([CenterCrop(min(picture.size)), Resize((side, side))])
        return np.asarray(both(picture.convert("RGB"))).transpose(2, 0, 1)


@pytest.mark.parametrize("side", [16, 64])
def test_pictures_are_cut_and_scaled_as_by_torchvision(tmp_path: Path, side: int) -> None:
    root = make_celeba(tmp_path, 10, sizes=((178, 218), (250, 250), (47, 62), (99, 40)))
    noise = np.random.default_rng(0)
    for file in sorted((root / "celeba" / "img_align_celeba").iterdir()):
        with Image.open(file) as old:
            width, height = old.size
        Image.fromarray(noise.integers(0, 256, (height, width, 3), np.uint8)).save(file, quality=95)
    data = load_celeba(root=str(root), image_size=side)
    ours = {x.numpy().tobytes() for part in (data.train, data.test) for x in part.x}
    parts = dict(line.split() for line in (root / "celeba" / "list_eval_partition.txt").read_text().splitlines())
    assert ours == {reference(root, name, side).tobytes() for name, part in parts.items() if part != "1"}


@pytest.mark.parametrize("home", [".", "celeba"])
def test_the_folder_or_the_one_above_can_be_named(tmp_path: Path, made: Path, home: str) -> None:
    root = make_celeba(tmp_path, home=home)
    first, second = load_celeba(root=str(made)), load_celeba(root=str(root))
    assert (first.train.x == second.train.x).all()
    assert first.train.digest == second.train.digest  # of the content, not of where it lies


def test_grey_pictures_and_a_folder_within_the_folder_do(copy: Path) -> None:
    folder = copy / "celeba" / "img_align_celeba"
    inner = folder / "img_align_celeba"
    inner.mkdir()
    for file in folder.glob("*.jpg"):
        file.rename(inner / file.name)
    Image.new("L", (178, 218), 77).save(inner / "000001.jpg")
    data = load_celeba(root=str(copy))
    assert any(((x.float() - 77).abs() < 2).all() for x in data.train.x)
    assert data.notes["pictures"] == {"found": 10, "listed": 10, "not_listed": 0}


def test_the_pictures_stay_on_the_disk(made: Path) -> None:
    data = load_celeba(root=str(made))
    whole = 60 * 3 * 64 * 64
    assert data.train.x.untyped_storage().nbytes() == whole == data.test.x.untyped_storage().nbytes()
    if sys.platform == "linux":
        spans = [
            line.split()[0].split("-")
            for line in Path("/proc/self/maps").read_text().splitlines()
            if "pixels.npy" in line
        ]
        address = data.train.x.data_ptr()
        assert any(int(low, 16) <= address < int(high, 16) for low, high in spans)


def test_what_is_written_into_the_records_stays_in_this_process(made: Path) -> None:
    data = load_celeba(root=str(made))
    before = data.train.x[0].clone()
    data.train.x[0] = 255 - before
    assert (load_celeba(root=str(made)).train.x[0] == before).all()


def test_a_part_of_the_pictures_will_do_with_a_warning(copy: Path) -> None:
    folder = copy / "celeba" / "img_align_celeba"
    (folder / "000001.jpg").unlink()
    (folder / "000005.jpg").rename(folder / "notes.jpg")
    data = load_celeba(root=str(copy), sensitive=SHOWN[1:])
    pictures, values = shown(data)
    assert (pictures == values).all()
    assert (len(data.train), len(data.test)) == (5, 1)
    assert data.notes["pictures"] == {"found": 8, "listed": 10, "not_listed": 1}
    assert any(warning.startswith("8 of 10 pictures of CelebA were found") for warning in data.warnings)


def test_lists_of_ones_own_folder_may_differ_from_the_official_ones_with_a_warning(made: Path, own_cache: Path) -> None:
    [warning] = load_celeba(root=str(made)).warnings
    assert "list_attr_celeba.txt, list_eval_partition.txt" in warning
    assert "differ from the official bytes" in warning
    shutil.copytree(made / "celeba", own_cache / "celeba" / "celeba")
    with pytest.raises(DataError, match=r"list_attr_celeba\.txt: damaged, or not the official file: MD5"):
        load_celeba()


def names_below(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*")} if folder.exists() else set()


def test_a_second_load_decodes_nothing_until_the_folder_changes(
    copy: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load_celeba(root=str(copy))
    kept = names_below(own_cache / "celeba")
    with monkeypatch.context() as patch:
        patch.setattr("amulet.datasets.celeba.decode", None)
        load_celeba(root=str(copy), target="Young", sensitive=["Wavy_Hair"])
    (copy / "celeba" / "img_align_celeba" / "000002.jpg").unlink()
    second = load_celeba(root=str(copy))
    assert len(second.train) == len(first.train) - 1
    assert len(first.train.x) == 6  # what has been mapped stays readable
    now = names_below(own_cache / "celeba")
    assert len(now) == len(kept) == 2  # the lock, and the one prepared copy: the old one is gone
    assert now != kept
    load_celeba(root=str(copy), image_size=8)
    assert len(names_below(own_cache / "celeba")) == 4


def test_preparation_reports_its_progress(copy: Path, own_cache: Path) -> None:
    stages: list[tuple[str, int | None, str]] = []
    steps: list[int] = []

    class Counting(Stage):
        def advance(self, steps: int = 1, **figures: float) -> None:
            done.append(steps)

    done = steps

    class Watching(Reporter):
        def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
            stages.append((name, total, unit))
            return Counting(name, total, unit)

    with reporting_to(Watching()):
        load_celeba(root=str(copy))
    assert stages == [("prepare celeba", 10, "picture")]
    assert sum(steps) == 10
    assert own_cache.exists()


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (KeyboardInterrupt(), KeyboardInterrupt, None),
        (OSError(28, "No space left on device"), DataError, r"\(No space left on device\); make room"),
    ],
)
def test_an_interrupted_preparation_leaves_nothing(
    copy: Path,
    own_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    expected: type[BaseException],
    message: str | None,
) -> None:
    def fails(*given: Any) -> str:
        Path(given[1]).write_bytes(b"half")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr("amulet.datasets.celeba.decode", fails)
        with pytest.raises(expected, match=message):
            load_celeba(root=str(copy))
    assert [name for name in names_below(own_cache / "celeba") if not name.endswith(".lock")] == []
    assert len(load_celeba(root=str(copy)).train) == 6


def test_what_a_killed_process_left_is_cleared_away(copy: Path, own_cache: Path) -> None:
    load_celeba(root=str(copy))
    [kept] = (own_cache / "celeba").glob("prepared-*-*")
    half = kept.with_name(f".{kept.name.rpartition('-')[0]}")
    kept.rename(half)  # as it is before its last step
    (half / "pixels.npy").write_bytes(b"half")
    assert len(load_celeba(root=str(copy)).train) == 6
    assert not half.exists()


def test_of_two_at_once_one_prepares_and_the_other_waits(own_cache: Path) -> None:
    begun, said, calls = threading.Event(), list[str](), list[str]()

    class Listening(Reporter):
        def note(self, text: str) -> None:
            said.append(text)

    def fill(folder: Path) -> None:
        calls.append("fill")
        begun.set()
        time.sleep(0.3)
        (folder / "done").touch()

    first = threading.Thread(target=prepared, args=("toy", "here", "1", fill))
    first.start()
    assert begun.wait(5)
    with reporting_to(Listening()):
        folder = prepared("toy", "here", "1", fill)
    first.join()
    assert calls == ["fill"]
    assert (folder / "done").exists()
    assert said == ["another process prepares the pictures of toy: waiting for it"]
    assert folder.parent == own_cache / "toy"


def test_too_little_room_is_told_before_the_work(copy: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nearly_full(folder: Path) -> SimpleNamespace:
        return SimpleNamespace(free=1000)

    monkeypatch.setattr("amulet.datasets.pictures.shutil.disk_usage", nearly_full)
    with pytest.raises(DataError, match=r"the pictures of celeba need 0\.0 GB there.*AMULET_DATA"):
        load_celeba(root=str(copy))
    assert cache_folder() == own_cache


def test_a_cache_that_cannot_be_written_is_told(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("AMULET_DATA", str(tmp_path / "file"))
    with pytest.raises(DataError, match=r"cannot be kept there.*AMULET_DATA"):
        load_celeba(root=str(copy))


def test_a_damaged_prepared_copy_is_told(copy: Path, own_cache: Path) -> None:
    load_celeba(root=str(copy))
    [file] = own_cache.rglob("pixels.npy")
    os.truncate(file, 500)
    with pytest.raises(DataError, match=r"pixels.npy: damaged; delete the folder .*prepared-"):
        load_celeba(root=str(copy))


def edit(name: str, old: str, new: str, root: Path, count: int = 1) -> None:
    file = root / "celeba" / name
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, count))


def drop_lines(name: str, start: int, stop: int | None, root: Path) -> None:
    file = root / "celeba" / name
    lines = file.read_text().splitlines()
    del lines[start:stop]
    file.write_text("\n".join(lines))


def picture(root: Path) -> Path:
    return root / "celeba" / "img_align_celeba" / "000007.jpg"


ATTRIBUTES, PARTS = "list_attr_celeba.txt", "list_eval_partition.txt"
BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no count": (lambda root: drop_lines(ATTRIBUTES, 0, 1, root), r"line 1: expected the number of pictures, got '5_o"),
    "an empty list": (lambda root: drop_lines(ATTRIBUTES, 0, None, root), r"line 1: expected the number of pictures"),
    "no names": (lambda root: drop_lines(ATTRIBUTES, 1, 2, root), r"line 2: expected the names of the attributes"),
    "a list cut off": (lambda root: drop_lines(ATTRIBUTES, 8, None, root), r"line 1: announces 10 pictures, 6 follow"),
    "a column too many": (lambda root: edit(ATTRIBUTES, ".jpg  1", ".jpg  1 1", root), r"has 7 columns, expected 6"),
    "a line cut off": (lambda root: edit(ATTRIBUTES, " Young", "", root), r"line 3: has 6 columns, expected 5"),
    "a value that is none": (lambda root: edit(ATTRIBUTES, "-1", " 0", root), r"has the value 0, expected 1 or -1"),
    "a picture listed twice": (lambda root: edit(ATTRIBUTES, "000003", "000004", root), r"has 000004.jpg twice"),
    "bytes that are no text": (
        lambda root: (root / "celeba" / ATTRIBUTES).write_bytes(b"10\n\xff\xfe"),
        r"list_attr_celeba.txt: is no list of CelebA",
    ),
    "no list of attributes": (
        lambda root: (root / "celeba" / ATTRIBUTES).unlink(),
        r"list_attr_celeba.txt not found in .*`dataset.root`",
    ),
    "no list of parts": (
        lambda root: (root / "celeba" / PARTS).unlink(),
        r"list_eval_partition.txt not found in .*`dataset.root`",
    ),
    "a picture without part": (lambda root: drop_lines(PARTS, 0, 2, root), r"has no part for 0000..\.jpg and 1 more"),
    "a part that is none": (lambda root: edit(PARTS, ".jpg 0", ".jpg 3", root), r"a picture's name and 0, 1 or 2, got"),
    "an empty folder": (
        lambda root: [file.unlink() for file in root.rglob("*.jpg")],
        r"img_align_celeba/ not found in",
    ),
    "other pictures": (
        lambda root: [file.rename(file.with_suffix(".jpeg")) for file in root.rglob("*.jpg")],
        r"img_align_celeba: holds none of the 10 pictures",
    ),
    "no test pictures": (
        lambda root: edit(PARTS, ".jpg 2", ".jpg 0", root, 9),
        r"none of the 10 pictures found there is one of the official test pictures \(8 training, 2 validation, 0 test",
    ),
    "a truncated picture": (
        lambda root: picture(root).write_bytes(picture(root).read_bytes()[:500]),
        r"000007.jpg: this picture cannot be used: .*; get it again, or delete it",
    ),
    "a page for a picture": (
        lambda root: picture(root).write_text("<html>quota</html>"),
        r"000007.jpg: this picture cannot be used: no picture in a known format",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_data_gives_one_message(copy: Path, name: str) -> None:
    damage, message = BROKEN[name]
    damage(copy)
    with pytest.raises(DataError, match=message):
        load_celeba(root=str(copy))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "Smilling"}, "`target` has no attribute Smilling; did you mean Smiling"),
        ({"target": "zzz"}, "`target` has no attribute zzz; expected one of 5_o_Clock_Shadow, Male"),
        ({"sensitive": ["Male", "male"]}, "`sensitive` must name each attribute once, got Male 2 times"),
        ({"image_size": 4}, "`image_size` must satisfy 8 <= image_size, got 4"),
        ({"validation": "some"}, "`validation` must be one of unused, train, test; got some"),
    ],
)
def test_wrong_settings_are_told(made: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        load_celeba(root=str(made), **settings)


def test_all_attributes_can_be_named_in_any_spelling(made: Path) -> None:
    for column in CELEBA_COLUMNS:
        data = load_celeba(root=str(made), target=column.lower().replace("_", " "), sensitive=[column.upper()])
        assert data.attributes == (column,)
        assert data.notes["target"] == column
        assert (data.train.y == data.train.z[:, 0]).all()


def test_a_target_with_one_value_is_refused(tmp_path: Path) -> None:
    root = make_celeba(tmp_path, 10)
    lines = (root / "celeba" / ATTRIBUTES).read_text().splitlines()
    same = [f"{line.split()[0]} 1 1 1 1 1" for line in lines[2:]]
    (root / "celeba" / ATTRIBUTES).write_text("\n".join(lines[:2] + same))
    with pytest.raises(DataError, match="`Smiling` is 1 for all 10 pictures"):
        load_celeba(root=str(root))


@pytest.mark.parametrize("what", ["no test pictures", "one value"])
def test_data_that_cannot_be_used_are_refused_before_pictures_are_decoded(
    copy: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    for line in (copy / "celeba" / "list_eval_partition.txt").read_text().splitlines():
        if what == "no test pictures" and line.endswith("2"):
            (copy / "celeba" / "img_align_celeba" / line.split()[0]).unlink()
    if what == "one value":
        table = copy / "celeba" / "list_attr_celeba.txt"
        table.write_text(table.read_text().replace("-1", " 1"))

    def decodes(*_: object) -> None:
        pytest.fail("decoded")

    monkeypatch.setattr("amulet.datasets.celeba.decode", decodes)
    with pytest.raises(DataError, match=r"is one of the official test pictures|so there is nothing to learn"):
        load_celeba(root=str(copy))
    assert not list(own_cache.rglob("prepared-*-*"))


def test_the_limit_is_stratified_and_seeded(tmp_path: Path) -> None:
    root = make_celeba(tmp_path, 600, sizes=((20, 20),))  # several chunks
    first, again, other = (load_celeba(root=str(root), limit=30, split_seed=seed, image_size=8) for seed in (0, 0, 1))
    assert (len(first.train), len(first.test)) == (30, 30)
    assert first.train.ids.tolist() == again.train.ids.tolist() != other.train.ids.tolist()
    pictures, values = shown(load_celeba(root=str(root), limit=30, sensitive=SHOWN[1:], image_size=8))
    assert (pictures == values).all()


def test_pictures_of_any_size_show_their_colours(tmp_path: Path) -> None:
    root = make_celeba(tmp_path, 20, sizes=((178, 218), (20, 90), (300, 100)))
    paint(root / "celeba" / "img_align_celeba" / "unlisted.jpg", (1, 1, 1), (9, 9))
    data = load_celeba(root=str(root), sensitive=SHOWN[1:], image_size=32)
    pictures, values = shown(data)
    assert (pictures == values).all()
    assert data.shape == (3, 32, 32)
