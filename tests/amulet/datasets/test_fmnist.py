"""Fashion-MNIST: the real files against torchvision's reader, the layouts, and every way in which files are broken."""

import gzip
import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from amulet.core import DataError, SettingError
from amulet.core.vision import import_torchvision
from amulet.datasets import AmuletDataset, fmnist
from amulet.datasets.fmnist import INFO, LABELS, load_fmnist

FILES = ("train-images", "train-labels", "t10k-images", "t10k-labels")


def names(folder: Path) -> list[Path]:
    return [folder / f"{name}-idx{3 if 'images' in name else 1}-ubyte" for name in FILES]


def idx(values: torch.Tensor) -> bytes:
    header = bytes((0, 0, 8, values.dim())) + b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + values.to(torch.uint8).numpy().tobytes()


def write(folder: Path, *, count: int = 40, packed: bool = True) -> Path:
    """Small files in the official format; the picture of record i is i everywhere, its label i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in names(folder):
        images = torch.arange(count).view(-1, 1, 1).expand(count, 28, 28)
        content = idx(images if "images" in path.name else torch.arange(count) % 10)
        if packed:
            path.with_suffix(".gz").write_bytes(gzip.compress(content))
        else:
            path.write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def real(data_folder: Path) -> AmuletDataset:
    return load_fmnist(root=str(data_folder / "fmnist"))


def test_the_real_files_are_whole_and_official(real: AmuletDataset) -> None:
    assert (len(real.train), len(real.test)) == (60_000, 10_000)
    assert (real.shape, real.num_classes, real.modality, real.attributes) == ((1, 28, 28), 10, "image", ())
    assert real.train.x.dtype == torch.uint8
    assert real.train.y.bincount().tolist() == [6_000] * 10
    assert real.test.y.bincount().tolist() == [1_000] * 10
    assert real.warnings == ()
    assert real.notes["checksum"] == INFO.files
    # The mean and the standard deviation that are published with it.
    pixels = real.train.x.float() / 255
    assert (pixels.mean().item(), pixels.std().item()) == pytest.approx((0.2860, 0.3530), abs=5e-5)


def test_the_real_records_are_those_that_torchvision_reads(
    real: AmuletDataset, data_folder: Path, tmp_path: Path
) -> None:
    import_torchvision()
    from torchvision.datasets.mnist import FashionMNIST, read_image_file, read_label_file

    for path in names(tmp_path)[1:]:
        packed = data_folder / "fmnist/FashionMNIST/raw" / f"{path.name}.gz"
        path.write_bytes(gzip.decompress(packed.read_bytes()))
        records = real.train if path.name.startswith("train") else real.test
        if "images" in path.name:
            assert torch.equal(read_image_file(str(path)), records.x.squeeze(1))
        else:
            assert torch.equal(read_label_file(str(path)), records.y)
    assert list(LABELS) == FashionMNIST.classes


def test_downloads_are_the_ones_of_torchvision(data_folder: Path) -> None:
    import_torchvision()
    from torchvision.datasets import FashionMNIST

    official = {f"FashionMNIST/raw/{name}": f"md5:{md5}" for name, md5 in FashionMNIST.resources}
    assert {download.path: download.checksum for download in INFO.downloads} == official
    for download in INFO.downloads:
        content = (data_folder / "fmnist" / download.path).read_bytes()
        assert len(content) == download.size
        assert download.checksum == f"md5:{hashlib.md5(content).hexdigest()}"
        assert download.urls[0] == f"{FashionMNIST.mirrors[0]}{Path(download.path).name}"


def test_gzip_headers_do_not_matter(real: AmuletDataset, data_folder: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(data_folder / "fmnist/FashionMNIST/raw", tmp_path / "raw")
    for file in folder.glob("*-labels-*.gz"):  # as Debian does it: the same content, compressed again
        file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()), compresslevel=1, mtime=7))
    again = load_fmnist(root=str(tmp_path))
    assert again.warnings == ()
    assert again.train.digest == real.train.digest


@pytest.mark.parametrize("layout", ["", "raw", "FashionMNIST/raw"])
@pytest.mark.parametrize("packed", [True, False])
def test_layouts_compressed_and_not(tmp_path: Path, layout: str, packed: bool) -> None:
    write(tmp_path / layout, packed=packed)
    data = load_fmnist(root=str(tmp_path))
    assert (len(data.train), len(data.test)) == (40, 40)
    for part, first in ((data.train, 0), (data.test, 40)):
        assert part.ids.tolist() == list(range(first, first + 40))
        assert part.x[:, 0, 5, 7].tolist() == list(range(40))
        assert part.y.tolist() == [i % 10 for i in range(40)]


def test_files_that_are_not_official_are_warned_of(tmp_path: Path) -> None:
    data = load_fmnist(root=str(write(tmp_path)))
    assert len(data.warnings) == 1
    assert "All files in `dataset.root` differ from the official bytes of fmnist" in data.warnings[0]


def test_limit_is_stratified_and_follows_its_seed(tmp_path: Path) -> None:
    root = str(write(tmp_path, count=60))
    few = load_fmnist(root=root, limit=20)
    assert few.train.y.bincount().tolist() == few.test.y.bincount().tolist() == [2] * 10
    assert all(int(x.float().mean()) == i for x, i in zip(few.train.x, few.train.ids, strict=True))
    again, other = load_fmnist(root=root, limit=20), load_fmnist(root=root, limit=20, split_seed=1)
    assert torch.equal(again.train.ids, few.train.ids)
    assert not torch.equal(other.train.ids, few.train.ids)
    assert len({few.train.digest, other.train.digest, few.test.digest, load_fmnist(root=root).train.digest}) == 4
    with pytest.raises(SettingError, match="`limit` must satisfy 20 <= limit, got 5"):
        load_fmnist(limit=5)


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-30])


def _rewrite(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


BROKEN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "truncated gzip": ("train-images", _truncate, r"is no whole gzip file \(Compressed file ended"),
    "a page instead of a file": (
        "train-images",
        lambda path: path.write_text("<!DOCTYPE html> quota exceeded"),
        "is no whole gzip file",
    ),
    "damaged gzip": (
        "t10k-images",
        lambda path: path.write_bytes(path.read_bytes()[:12] + b"\xff" * 20 + path.read_bytes()[32:]),
        "is no whole gzip file",
    ),
    "empty": ("train-labels", lambda path: path.write_bytes(b""), "is empty"),
    "wrong magic": (
        "train-labels",
        _rewrite(lambda content: b"\x00\x00\x08\x03" + content[4:]),
        "starts with 00000803, an idx file of these with 00000801",
    ),
    "header only": ("t10k-images", _rewrite(lambda content: content[:10]), "ends within its header, after 10 bytes"),
    "truncated content": (
        "train-images",
        _rewrite(lambda content: content[:-1]),
        "holds 31,375 bytes where 31,376 were expected for 40 records",
    ),
    "wrong shape": (
        "t10k-images",
        lambda path: path.write_bytes(gzip.compress(idx(torch.zeros(40, 32, 32)))),
        "holds pictures of 32 x 32, expected 28 x 28",
    ),
    "no records": (
        "train-images",
        lambda path: path.write_bytes(gzip.compress(idx(torch.zeros(0, 28, 28)))),
        "holds no records",
    ),
    "missing label": (
        "t10k-labels",
        lambda path: path.write_bytes(gzip.compress(idx(torch.zeros(39)))),
        "holds 39 labels, the file of images beside it 40",
    ),
    "label out of range": (
        "train-labels",
        lambda path: path.write_bytes(gzip.compress(idx(torch.arange(40) % 11))),
        "holds the label 10 at record 10, expected 0 to 9",
    ),
    "missing file": ("t10k-labels", Path.unlink, "t10k-labels-idx1-ubyte.gz not found"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_told(tmp_path: Path, what: str) -> None:
    name, breaks, message = BROKEN[what]
    write(tmp_path)
    (path,) = tmp_path.glob(f"{name}*")
    breaks(path)
    with pytest.raises(DataError, match=message) as error:
        load_fmnist(root=str(tmp_path))
    assert path.name in str(error.value)
    assert "leave out `dataset.root`" in str(error.value)


def test_the_cache_must_hold_the_official_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    write(tmp_path / "fmnist")
    with pytest.raises(DataError, match=r"damaged, or not the official file: MD5 .*`amulet data fetch fmnist`"):
        fmnist.load_fmnist()


def test_the_real_files_in_the_cache_need_no_root(
    real: AmuletDataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_folder: Path
) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    (tmp_path / "fmnist").symlink_to(data_folder / "fmnist")
    assert load_fmnist().test.digest == real.test.digest
