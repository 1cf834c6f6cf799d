"""Where data sets are looked for, in which order, and what is said when they are nowhere."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from amulet.core import DataError
from amulet.core.vision import import_torchvision
from amulet.datasets import CATALOG, DatasetInfo
from amulet.datasets.fetching import download
from amulet.datasets.fetching.integrity import check, digest, matches
from amulet.datasets.folder import Place, missing
from amulet.datasets.locations import cache_folder, find, locate

INFO = DatasetInfo(
    name="toy",
    title="Toy",
    licence="none",
    source="a shelf",
    size="1 KB",
    files={"a/b/one.gz": "", "two.txt": "", "a/pictures/": ""},
    by_hand="the shop on the corner has them",
)


def _lay_out(folder: Path, *names: str) -> Path:
    for name in names or ("a/b/one.gz", "two.txt", "a/pictures/1.jpg"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return folder


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path / "cache"))
    return tmp_path / "cache" / "toy"


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.setenv("AMULET_DATA", "~/data")
    assert cache_folder() == Path.home() / "data"
    monkeypatch.delenv("AMULET_DATA")
    assert "amulet" in cache_folder().parts


def test_the_folder_that_the_user_names_comes_first(cache: Path, tmp_path: Path) -> None:
    _lay_out(cache)
    root = _lay_out(tmp_path / "mine")
    assert find(INFO, str(root)) == Place(root, "root")
    assert find(INFO) == Place(cache, "cache")


def test_the_systems_folder_is_used_where_the_cache_lacks_something(cache: Path, tmp_path: Path) -> None:
    system = _lay_out(tmp_path / "usr", "one.gz", "two.txt", "pictures/1.jpg")
    info = dataclasses.replace(INFO, system=(str(tmp_path / "nothing"), str(system)))
    _lay_out(cache, "two.txt")
    place = find(info)
    assert place == Place(system, "system")
    assert place.file("a/b/one.gz") == system / "one.gz"
    assert place.file("a/pictures/") == system / "pictures"
    _lay_out(cache)
    assert find(info).origin == "cache"


def test_what_is_nowhere_is_downloaded_into_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Path] = []

    def fetch(info: DatasetInfo, folder: Path) -> None:
        asked.append(folder)
        _lay_out(folder)

    monkeypatch.setattr(download, "fetch", fetch)
    assert locate(INFO) is None
    assert find(INFO) == Place(cache, "download")
    assert find(INFO) == Place(cache, "cache")
    assert asked == [cache]


def test_a_download_that_lacks_a_file_says_which(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "fetch", lambda info, folder: _lay_out(folder, "two.txt"))  # pyright: ignore[reportUnknownLambdaType]
    with pytest.raises(DataError) as error:
        find(INFO)
    assert str(error.value).startswith(f"a/b/one.gz, a/pictures/ of toy can be put into {cache} by hand: the shop")


@pytest.mark.parametrize("name", ["a/b/one.gz", "b/one.gz", "one.gz", "a/b/one", "b/one", "one"])
def test_folders_above_a_file_and_gz_may_be_missing(tmp_path: Path, name: str) -> None:
    root = _lay_out(tmp_path, name, "two.txt", "pictures/1.jpg")
    place = find(INFO, str(root))
    assert place.file("a/b/one.gz") == root / name


def test_an_empty_folder_of_pictures_is_missing(tmp_path: Path) -> None:
    root = _lay_out(tmp_path, "one.gz", "two.txt")
    (root / "pictures").mkdir()
    assert missing(INFO, root) == ["a/pictures/"]


def test_a_users_folder_that_lacks_files_is_never_filled(tmp_path: Path) -> None:
    root = _lay_out(tmp_path / "mine", "two.txt")
    with pytest.raises(DataError) as error:
        find(INFO, str(root))
    message = str(error.value)
    assert message.startswith(f"a/b/one.gz, a/pictures/ not found in {root}, which `dataset.root` names")
    assert "leave out `dataset.root`" in message
    assert [path.name for path in root.iterdir()] == ["two.txt"]


def test_a_users_folder_must_be_one(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`dataset\.root` must be a folder with the files of toy, got .*nowhere"):
        find(INFO, str(tmp_path / "nowhere"))


def test_many_missing_files_are_counted(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO, files={f"file{i}": "" for i in range(9)})
    with pytest.raises(DataError, match="file0, file1, file2 and 6 more not found"):
        find(info, str(tmp_path))


def test_a_file_that_vanishes_between_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"two\.txt: not found"):
        Place(tmp_path, "root").file("two.txt")


@pytest.mark.parametrize("name", ["fmnist", "cifar10", "lfw"])
def test_the_real_layouts_are_found(data_folder: Path, name: str) -> None:
    place = find(CATALOG[name], str(data_folder / name))
    assert all(place.file(file).exists() for file in CATALOG[name].files)


def test_contents_are_compared_whatever_they_are_compressed_with(tmp_path: Path) -> None:
    import gzip
    import lzma

    content = b"records" * 1000
    names = {"plain": content, "once.gz": gzip.compress(content, 1), "twice.gz": gzip.compress(content, 9)}
    names["other.xz"] = lzma.compress(content)
    for name, data in names.items():
        path = tmp_path / name
        path.write_bytes(data)
        for algorithm in ("md5", "sha256"):
            expected = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
            assert matches(path, expected, unpacked=True)
            assert matches(path, expected) == (name == "plain")
    assert digest(tmp_path / "plain", "md5") == hashlib.md5(content).hexdigest()


def test_damaged_files_are_told_from_other_and_from_unchecked_ones(tmp_path: Path) -> None:
    import gzip

    md5 = f"md5:{hashlib.md5(b'right').hexdigest()}"
    contents = {
        "right": b"right",
        "wrong": b"wrong",
        "cut.gz": gzip.compress(b"right" * 999)[:-9],
        "no.gz": b"no gzip file",
        "free": b"?",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    info = dataclasses.replace(INFO, files={**dict.fromkeys(contents, md5), "free": "", "gone": md5})
    assert check(info, Place(tmp_path, "cache")) == {
        "right": "official",
        "wrong": "unlike the official one",
        "cut.gz": "unreadable",
        "no.gz": "unreadable",
        "free": "unchecked",
        "gone": "unreadable",
    }


def test_what_ships_with_the_package_is_whole() -> None:
    place = locate(CATALOG["census"])
    assert place is not None
    assert place.origin == "package"
    assert set(check(CATALOG["census"], place).values()) == {"official"}
    assert find(CATALOG["census"]) == place


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_every_data_set_can_be_fetched_or_ships_with_the_package(name: str) -> None:
    info = CATALOG[name]
    assert info.name == name
    assert info.files
    for checksum in (*info.files.values(), *(d.checksum for d in info.downloads)):
        algorithm, _, digits = (checksum or "").partition(":")
        assert len(digits) == {"": 0, "md5": 32, "sha256": 64}[algorithm]
    if info.embedded:
        return
    assert info.by_hand
    brought: set[str] = set()
    for one in info.downloads:
        assert one.urls
        assert all(url.startswith(("http://", "https://")) for url in one.urls)
        assert one.checksum or not all(url.startswith("http://") for url in one.urls)
        brought |= download.brings(info, one)
    assert brought == set(info.files)


def _published(info: DatasetInfo) -> dict[str, str | None]:
    return {one.path.rpartition("/")[2]: one.checksum for one in info.downloads}


def test_fashion_mnist_is_what_torchvision_downloads() -> None:
    theirs = import_torchvision().datasets.FashionMNIST
    assert _published(CATALOG["fmnist"]) == {name: f"md5:{md5}" for name, md5 in theirs.resources}
    for one in CATALOG["fmnist"].downloads:
        assert one.urls[0] == f"{theirs.mirrors[0]}{one.path.rpartition('/')[2]}"


def test_cifar10_is_what_torchvision_downloads() -> None:
    theirs = import_torchvision().datasets.CIFAR10
    info = CATALOG["cifar10"]
    assert _published(info) == {theirs.filename: f"md5:{theirs.tgz_md5}"}
    assert info.downloads[0].urls[0] == theirs.url
    expected = {f"{theirs.base_folder}/{name}": f"md5:{md5}" for name, md5 in theirs.train_list + theirs.test_list}
    assert info.files == expected


def test_celeba_is_what_torchvision_downloads() -> None:
    theirs = {name: (number, md5) for number, md5, name in import_torchvision().datasets.CelebA.file_list}
    for one in CATALOG["celeba"].downloads:
        number, md5 = theirs[one.path.rpartition("/")[2]]
        assert one.checksum == f"md5:{md5}"
        assert one.urls[0].endswith(f"id={number}")


def test_lfw_is_what_scikit_learn_downloads() -> None:
    from sklearn.datasets import _lfw

    theirs = _lfw.FUNNELED_ARCHIVE
    [one] = [one for one in CATALOG["lfw"].downloads if one.archive]
    assert (one.path.rpartition("/")[2], one.checksum) == (theirs.filename, f"sha256:{theirs.checksum}")
    assert one.urls[0] == theirs.url
