"""CIFAR-10: the real batches against a plain reading, what their pickles may hold, and how files are broken."""

import hashlib
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from amulet.core import DataError
from amulet.core.vision import import_torchvision
from amulet.datasets import inert_pickle
from amulet.datasets.cifar10 import INFO, LABELS, load_cifar10

BATCHES = tuple(Path(name).name for name in INFO.files)
COUNT = 20


def batch(number: int = 0) -> dict[Any, Any]:
    """Record i of batch b is 20 b + i everywhere in its red channel, its label i % 10."""
    data = np.zeros((COUNT, 3072), np.uint8)
    data[:, :1024] = (COUNT * number + np.arange(COUNT))[:, None]
    return {"batch_label": f"part {number}", "labels": [i % 10 for i in range(COUNT)], "data": data, "filenames": []}


def write(folder: Path, protocol: int = 4) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(BATCHES):
        (folder / name).write_bytes(pickle.dumps(batch(number), protocol))
    return folder


def official_style(content: dict[str, Any]) -> bytes:
    """A batch as Python 2 and the numpy of its day pickled it: protocol 2, texts as bytes, the old module's name."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    data: np.ndarray = content["data"]
    rows, columns = (b"M" + size.to_bytes(2, "little") for size in data.shape)
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85" + text(b"b") + b"\x87R"
    dtype = b"cnumpy\ndtype\n" + text(b"u1") + b"K\x00K\x01\x87R(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ"
    dtype += b"\xff\xff\xff\xffK\x00tb"
    state = b"(K\x01" + rows + columns + b"\x86" + dtype + b"\x89" + text(data.tobytes()) + b"tb"
    labels = b"](" + b"".join(b"K" + bytes([label]) for label in content["labels"]) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + state + text(b"labels") + labels + b"u."


def test_the_real_batches_are_read_as_they_are(data_folder: Path) -> None:
    data = load_cifar10(root=str(data_folder / "cifar10"))
    assert (len(data.train), len(data.test), data.shape) == (50_000, 10_000, (3, 32, 32))
    assert (data.num_classes, data.modality, data.attributes) == (10, "image", ())
    assert data.train.x.dtype == torch.uint8
    assert data.train.y.bincount().tolist() == [5_000] * 10
    assert data.test.y.bincount().tolist() == [1_000] * 10
    for name, part, start in (("data_batch_4", data.train, 30_000), ("test_batch", data.test, 0)):
        with (data_folder / "cifar10/cifar-10-batches-py" / name).open("rb") as file:
            plain = pickle.load(file)  # noqa: S301 - what the loader is compared with
        place = slice(start, start + 10_000)
        assert torch.equal(part.x[place].flatten(1), torch.from_numpy(plain["data"]))
        assert part.y[place].tolist() == plain["labels"]
    # The copy at hand went through JPEG.
    assert "All files in `dataset.root` differ from the official bytes of cifar10" in data.warnings[0]


def test_checksums_and_names_are_those_of_torchvision() -> None:
    import_torchvision()
    from torchvision.datasets import CIFAR10

    listed = [*CIFAR10.train_list, *CIFAR10.test_list]
    assert {f"{CIFAR10.base_folder}/{name}": f"md5:{md5}" for name, md5 in listed} == INFO.files
    (archive,) = INFO.downloads
    assert (archive.urls[0], archive.checksum) == (CIFAR10.url, f"md5:{CIFAR10.tgz_md5}")
    assert archive.path == CIFAR10.filename
    assert archive.archive


@pytest.mark.parametrize("layout", ["", "cifar-10-batches-py"])
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_layouts_and_ways_to_pickle(tmp_path: Path, layout: str, protocol: int) -> None:
    write(tmp_path / layout, protocol)
    data = load_cifar10(root=str(tmp_path))
    assert (len(data.train), len(data.test)) == (5 * COUNT, COUNT)
    for part in (data.train, data.test):
        assert part.x[:, 0, 3, 4].tolist() == part.ids.tolist()
        assert not part.x[:, 1:].any()
        assert part.y.tolist() == [i % 10 for i in range(COUNT)] * (len(part) // COUNT)


def test_batches_of_python_2_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path)
    content = official_style(batch(0))
    plain = pickle.loads(content, encoding="bytes")  # noqa: S301 - is it a pickle that numpy reads?
    assert np.array_equal(plain[b"data"], batch(0)["data"])
    before = load_cifar10(root=str(tmp_path))
    (folder / "data_batch_1").write_bytes(content)
    assert torch.equal(load_cifar10(root=str(tmp_path)).train.x, before.train.x)


def test_columns_in_fortran_order_are_read(tmp_path: Path) -> None:
    folder = write(tmp_path)
    before = load_cifar10(root=str(tmp_path))
    for protocol in (4, 5):
        content = {**batch(2), "data": np.asfortranarray(batch(2)["data"])}
        (folder / "data_batch_3").write_bytes(pickle.dumps(content, protocol))
        assert torch.equal(load_cifar10(root=str(tmp_path)).train.x, before.train.x)


def test_limit_is_stratified(tmp_path: Path) -> None:
    few = load_cifar10(root=str(write(tmp_path)), limit=20)
    assert (len(few.train), len(few.test)) == (20, 20)
    assert few.train.y.bincount().tolist() == [2] * 10
    assert few.train.x[:, 0, 0, 0].tolist() == few.train.ids.tolist()


class _Call:
    """Pickles as a call of a function."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.function, self.arguments


def _dangers(mark: Path) -> dict[str, bytes]:
    """Pickles that leave `mark` behind where they are loaded as any pickle is."""
    command = f"touch {mark}"
    nested = b"\x80\x04\x8c\x05numpy\x8c\x0dcore.os.mkdir\x93\x8c" + bytes([len(str(mark))]) + str(mark).encode()
    return {
        "a command": pickle.dumps({**batch(), "filenames": _Call(os.system, command)}),
        "eval": pickle.dumps(_Call(eval, f"__import__('os').mkdir({str(mark)!r})")),
        "old protocol": f"cos\nsystem\n(S'{command}'\ntR.".encode(),
        "an old class": f"(S'{command}'\nios\nsystem\n.".encode(),
        "a dotted name": nested + b"\x85R.",
        "getattr": pickle.dumps(_Call(getattr, "", "format")),
        "numpy's own loader": pickle.dumps(_Call(np.load, str(mark), None, True)),
    }


@pytest.mark.parametrize("danger", list(_dangers(Path("mark"))))
def test_a_pickle_that_names_anything_else_is_refused_and_nothing_is_run(tmp_path: Path, danger: str) -> None:
    mark = tmp_path / "mark"
    folder = write(tmp_path / "data")
    content = _dangers(mark)[danger]
    (folder / "data_batch_2").write_bytes(content)
    with pytest.raises(DataError, match="data_batch_2: refused, because it names") as error:
        load_cifar10(root=str(folder))
    assert "could run code" in str(error.value)
    assert not mark.exists()
    if danger in ("a command", "eval", "old protocol", "an old class"):
        pickle.loads(content)  # noqa: S301 - the danger is real
        assert mark.exists()


def test_what_a_pickle_sets_on_its_stand_ins_is_gone_with_it() -> None:
    # BUILD with a state of two sets attributes on whatever is named.
    poison = b"\x80\x04\x8c\x05numpy\x8c\x05dtype\x93}}\x8c\x0c__defaults__\x8c\x01x\x85s\x86b."
    inert_pickle.read(poison)
    assert inert_pickle.read(pickle.dumps(batch()))["data"].bytes_of().shape == (COUNT, 3072)


def _entry(key: str, value: Any) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps({**batch(), key: value}))


def _without(key: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(pickle.dumps({k: v for k, v in batch().items() if k != key}))


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (lambda p: p.write_bytes(p.read_bytes()[:-100]), "cannot be read as a batch of CIFAR-10"),
    "a page instead of a file": (lambda p: p.write_text("<!DOCTYPE html>quota"), "cannot be read as a batch"),
    "empty": (lambda p: p.write_bytes(b""), r"cannot be read as a batch of CIFAR-10 \(EOFError"),
    "no batch": (lambda p: p.write_bytes(pickle.dumps([1])), "holds a list instead of a batch"),
    "no pixels": (_without("data"), "has no `data`"),
    "no labels": (_without("labels"), "has no `labels`"),
    "pixels that are no array": (_entry("data", [[1]]), "`data` must be an array, got list"),
    "floats": (_entry("data", np.zeros((COUNT, 3072))), "an array of type b?'f8' instead of bytes"),
    "wrong shape": (
        _entry("data", np.zeros((COUNT, 784), np.uint8)),
        "`data` must be 1 to 10,000 pictures of 3,072 bytes, got 20 x 784",
    ),
    "no records": (_entry("data", np.zeros((0, 3072), np.uint8)), "got 0 x 3072"),
    "missing label": (_entry("labels", [1] * 19), "`labels` must be a list of 20 numbers as `data`, got 19"),
    "labels of another kind": (_entry("labels", "abc"), "`labels` must be a list of 20 numbers as `data`, got a str"),
    "label out of range": (_entry("labels", [0] * 19 + [10]), "holds the label 10 at record 19, expected 0 to 9"),
    "label that is no number": (_entry("labels", [0] * 19 + ["cat"]), "holds the label b?'cat' at record 19"),
    "missing file": (Path.unlink, "cifar-10-batches-py/data_batch_3 not found"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_broken_files_are_told(tmp_path: Path, what: str) -> None:
    breaks, message = BROKEN[what]
    write(tmp_path)
    breaks(tmp_path / "data_batch_3")
    with pytest.raises(DataError, match=message) as error:
        load_cifar10(root=str(tmp_path))
    assert "data_batch_3" in str(error.value)
    assert "leave out `dataset.root`" in str(error.value)


def test_the_cache_must_hold_the_official_bytes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AMULET_DATA", str(tmp_path))
    write(tmp_path / "cifar10/cifar-10-batches-py")
    with pytest.raises(DataError, match=r"damaged, or not the official file: MD5 .*`amulet data fetch cifar10`"):
        load_cifar10()


def test_official_bytes_carry_no_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path)
    sums = {name: hashlib.md5((folder / Path(name).name).read_bytes()).hexdigest() for name in INFO.files}
    for name, value in sums.items():
        monkeypatch.setitem(INFO.files, name, f"md5:{value}")
    assert load_cifar10(root=str(tmp_path)).warnings == ()
    monkeypatch.setitem(INFO.files, "cifar-10-batches-py/test_batch", "md5:0")
    (warning,) = load_cifar10(root=str(tmp_path)).warnings
    assert warning.startswith("test_batch in `dataset.root` differ")
    assert len(LABELS) == 10
