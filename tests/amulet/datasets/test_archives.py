"""Archives from other people: what is wanted comes out, and nothing else happens."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from amulet.core import DataError
from amulet.datasets.fetching.archives import unpack


def _tar(path: Path, *members: tarfile.TarInfo | tuple[str, bytes], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # pyright: ignore[reportArgumentType, reportCallIssue]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path


def _zip(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "old.txt").write_bytes(b"old")
    return tmp_path / "here"


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_file_comes_out_whole(tmp_path: Path, folder: Path, mode: str) -> None:
    archive = _tar(tmp_path / "a.tar", _special("d", tarfile.DIRTYPE), ("d/1", b"one"), ("e/f/2", b"two"), mode=mode)
    unpack(archive, folder)
    assert _everything(folder) == {"old.txt": b"old", "d/1": b"one", "e/f/2": b"two"}


def test_a_zip_file_comes_out_whole(tmp_path: Path, folder: Path) -> None:
    unpack(_zip(tmp_path / "a.zip", ("d/", b""), ("d/1", b"one"), ("e/f/2", b"two")), folder)
    assert _everything(folder) == {"old.txt": b"old", "d/1": b"one", "e/f/2": b"two"}


def test_what_is_there_is_joined_and_replaced(tmp_path: Path, folder: Path) -> None:
    (folder / "d").mkdir()
    (folder / "d" / "mine").write_bytes(b"mine")
    (folder / "d" / "1").write_bytes(b"damaged")
    unpack(_tar(tmp_path / "a.tar", ("d/1", b"one"), ("d/x/2", b"two")), folder)
    assert _everything(folder) == {"old.txt": b"old", "d/mine": b"mine", "d/1": b"one", "d/x/2": b"two"}


ESCAPES = ["../out", "d/../../out", "/tmp/out", "..\\out", "C:/out", "C:\\out"]


@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_of_a_tar_file_leaves_the_folder(tmp_path: Path, folder: Path, name: str) -> None:
    archive = _tar(tmp_path / "a.tar", ("d/1", b"one"), (name, b"out"))
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(archive, folder)
    assert _everything(tmp_path) == {"here/old.txt": b"old", "a.tar": archive.read_bytes()}
    assert not Path("/tmp/out").exists()


@pytest.mark.parametrize("name", ESCAPES)
def test_no_path_of_a_zip_file_leaves_the_folder(tmp_path: Path, folder: Path, name: str) -> None:
    archive = _zip(tmp_path / "a.zip", ("d/1", b"one"), (name, b"out"))
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(archive, folder)
    assert _everything(tmp_path) == {"here/old.txt": b"old", "a.zip": archive.read_bytes()}
    assert not Path("/tmp/out").exists()


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/passwd"),
        (tarfile.SYMTYPE, "d"),
        (tarfile.LNKTYPE, "/etc/passwd"),
        (tarfile.CHRTYPE, ""),
        (tarfile.FIFOTYPE, ""),
    ],
)
def test_links_and_devices_are_refused(tmp_path: Path, folder: Path, kind: bytes, target: str) -> None:
    archive = _tar(tmp_path / "a.tar", ("d/1", b"one"), _special("odd", kind, target), ("odd/2", b"two"))
    with pytest.raises(DataError, match="'odd' is a link, a device or encrypted"):
        unpack(archive, folder)
    assert _everything(folder) == {"old.txt": b"old"}


def test_links_in_a_zip_file_are_refused(tmp_path: Path, folder: Path) -> None:
    link = zipfile.ZipInfo("odd")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    archive = _zip(tmp_path / "a.zip", (link, b"/etc/passwd"))
    with pytest.raises(DataError, match="'odd' is a link"):
        unpack(archive, folder)
    assert _everything(folder) == {"old.txt": b"old"}


def test_an_encrypted_zip_file_is_refused(tmp_path: Path, folder: Path) -> None:
    archive = _zip(tmp_path / "a.zip", ("secret", b"?"))
    content = bytearray(archive.read_bytes())
    content[6] |= 1  # the flag, in the file's own header and in the list at the end
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        unpack(archive, folder)


def test_no_bomb_goes_off(tmp_path: Path, folder: Path) -> None:
    zeros = bytes(2_000_000)
    for archive in (_zip(tmp_path / "a.zip", ("zeros", zeros)), _tar(tmp_path / "a.tgz", ("zeros", zeros))):
        assert archive.stat().st_size < 10_000
        with pytest.raises(DataError, match="holds far more than a data set of its size would"):
            unpack(archive, folder, most_bytes=1_000_000)
        assert _everything(folder) == {"old.txt": b"old"}
        unpack(archive, folder, most_bytes=2_000_000)
        (folder / "zeros").unlink()


@pytest.mark.parametrize(
    "content",
    [b"", b"<html>no archive</html>", b"PK\x03\x04 and then nothing", b"\x1f\x8b\x08 and then nothing"],
)
def test_what_is_no_archive_is_said_to_be_none(tmp_path: Path, folder: Path, content: bytes) -> None:
    archive = tmp_path / "a.tgz"
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.tgz: damaged, or no tar or zip file"):
        unpack(archive, folder)
    assert _everything(folder) == {"old.txt": b"old"}


@pytest.mark.parametrize("left", [0.3, 0.6, 0.95])
def test_a_truncated_archive_leaves_nothing(tmp_path: Path, folder: Path, left: float) -> None:
    noise = bytes(range(256)) * 40
    archives = [
        _tar(tmp_path / "a.tgz", ("1", noise), ("2", noise[::-1])),
        _zip(tmp_path / "a.zip", ("1", noise), ("2", noise[::-1])),
    ]
    for archive in archives:
        archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * left)])
        with pytest.raises(DataError, match="damaged"):
            unpack(archive, folder)
        assert _everything(folder) == {"old.txt": b"old"}


def test_a_zip_file_with_changed_bytes_is_damaged(tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as opened:
        opened.writestr("1", b"the true pixels")
    archive.write_bytes(archive.read_bytes().replace(b"true", b"fake"))
    with pytest.raises(DataError, match="damaged"):
        unpack(archive, folder)


def test_the_same_path_twice_is_refused(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(DataError, match="damaged"):
        unpack(_tar(tmp_path / "a.tar", ("1", b"one"), ("1", b"two")), folder)
    with pytest.raises(DataError, match="damaged"):
        unpack(_tar(tmp_path / "b.tar", ("1", b"one"), ("1/2", b"two")), folder)
    assert _everything(folder) == {"old.txt": b"old"}
