"""Images decoded once into an array on disk, and attributes looked up by name."""

import hashlib
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from PIL import Image, UnidentifiedImageError

from amulet.core.errors import DataError, SettingError
from amulet.core.reporting import current_reporter
from amulet.datasets.locations import cache_folder

Pixels = npt.NDArray[np.uint8]
_CHUNK = 256  # images that one thread decodes before it passes them on
_CHANNELS = 3


def prepared(name: str, source: str, content: str, fill: Callable[[Path], None]) -> Path:
    """A folder of the cache that `fill` has written, in this call or an earlier one.

    It appears complete or not at all; if several processes need it at once, one fills it and the others wait.

    Args:
        name: of the data set.
        source: what is prepared, and how. When its content has changed, the folders of the old content are deleted.
        content: determines what `fill` writes; equal text, equal result.
        fill: writes into the folder that it gets.

    Raises:
        DataError: the cache cannot be written to.
    """
    parent = cache_folder() / name
    first = f"prepared-{_short(source)}"
    folder = parent / f"{first}-{_short(content)}"
    if folder.is_dir():
        return folder
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _locked(parent / f"{first}.lock", name):
            if folder.is_dir():
                return folder
            halves = parent / f".{first}"
            shutil.rmtree(halves, ignore_errors=True)  # left by a process that was killed: we hold the lock
            halves.mkdir()
            try:
                fill(halves)
                halves.rename(folder)
            finally:
                shutil.rmtree(halves, ignore_errors=True)
            for old in parent.glob(f"{first}-*"):
                if old != folder:
                    shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise DataError(
            f"{parent}: what is prepared from the pictures cannot be kept there ({error.strerror or error}); make "
            "room, or let the environment variable AMULET_DATA name another folder"
        ) from error
    return folder


def decode(
    paths: Sequence[str], file: Path, size: tuple[int, int], frame: Callable[[Image.Image], Image.Image], name: str
) -> str:
    """Write images into an `.npy` file as one uint8 array (n, 3, height, width), in the order of `paths`.

    In threads (Pillow releases Python's lock), some hundred images at a time, so the array is never in memory.

    Args:
        paths: the files.
        file: what to write.
        size: height and width.
        frame: crops and scales an RGB image to `size`; raises `ValueError` if it is not as expected.
        name: of the data set, for the progress.

    Returns:
        SHA-256 of the array's bytes.

    Raises:
        DataError: an image cannot be read; the message names it. Or there is not enough disk space.
    """
    import joblib

    shape = (len(paths), _CHANNELS, *size)
    needed, free = int(np.prod(shape)), shutil.disk_usage(file.parent).free
    if needed > free:
        raise DataError(
            f"{file.parent.parent}: the pictures of {name} need {needed / 1e9:.1f} GB there, {free / 1e9:.1f} GB are "
            "free; make room, or let the environment variable AMULET_DATA name another folder"
        )
    sha = hashlib.sha256()
    chunks = (paths[start : start + _CHUNK] for start in range(0, len(paths), _CHUNK))
    threads = joblib.cpu_count()
    with (
        current_reporter().stage(f"prepare {name}", len(paths), "picture") as stage,
        ThreadPoolExecutor(threads) as pool,
        file.open("wb") as out,
    ):
        np.lib.format.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
        jobs = (pool.submit(_decoded, chunk, size, frame) for chunk in chunks)
        for pixels in _in_order(jobs, 2 * threads):
            out.write(pixels.data)
            sha.update(pixels.data)
            stage.advance(len(pixels))
        out.flush()
        os.fsync(out.fileno())
    return sha.hexdigest()


def mapped(file: Path) -> Pixels:
    """The array of an `.npy` file, memory-mapped; what a process writes into it is not written to the file."""
    try:
        return np.load(file, mmap_mode="c", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: damaged; delete the folder {file.parent} to have it made again") from error


def pick(setting: str, name: str, known: Sequence[str]) -> str:
    """The attribute that `name` means; case, spaces and underscores do not matter.

    >>> pick("target", "wavy hair", ["Smiling", "Wavy_Hair"])
    'Wavy_Hair'

    Raises:
        SettingError: there is none; the message has similar names, or else all.
    """
    plain = {_plain(one): one for one in known}
    if (found := plain.get(_plain(name))) is not None:
        return found
    near = [plain[word] for word in get_close_matches(_plain(name), plain, n=3)]
    hint = f"did you mean {' or '.join(near)}?" if near else f"expected one of {', '.join(known)}"
    raise SettingError(f"`{setting}` has no attribute {name}; {hint}")


def pick_all(setting: str, names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Like `pick`, for a list without repetitions."""
    chosen = [pick(setting, name, known) for name in names]
    for name in chosen:
        if chosen.count(name) > 1:
            raise SettingError(f"`{setting}` must name each attribute once, got {name} {chosen.count(name)} times")
    return chosen


def also_sensitive(target: str, sensitive: Sequence[str]) -> tuple[str, ...]:
    """The warning if the target is one of the sensitive attributes."""
    if target not in sensitive:
        return ()
    text = (
        f"`{target}` is the target and a sensitive attribute at once: inferring it only reads the model's answer; "
        "leave it out of `dataset.sensitive` where that is not the question."
    )
    return (text,)


def check_both_occur(values: npt.NDArray[np.integer], name: str, where: str) -> None:
    """Raise `DataError` if a target has the same value in all records."""
    if len(values) and values.min() == values.max():
        raise DataError(
            f"{where}: `{name}` is {values.min()} for all {len(values):,} pictures, so there is nothing to learn; "
            "choose another `dataset.target`, or add pictures"
        )


@contextmanager
def _locked(file: Path, name: str) -> Iterator[None]:
    lock = FileLock(file)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        current_reporter().note(f"another process prepares the pictures of {name}: waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _decoded(paths: Sequence[str], size: tuple[int, int], frame: Callable[[Image.Image], Image.Image]) -> Pixels:
    pixels = np.empty((len(paths), _CHANNELS, *size), np.uint8)
    for row, path in zip(pixels, paths, strict=True):
        try:
            with Image.open(path) as image:
                row[:] = np.asarray(frame(image.convert("RGB"))).transpose(2, 0, 1)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            why = "no picture in a known format" if isinstance(error, UnidentifiedImageError) else str(error)
            raise DataError(
                f"{path}: this picture cannot be used: {why}; get it again, or delete it to go on without it"
            ) from error
    return pixels


def _in_order(jobs: Iterator[Future[Pixels]], ahead: int) -> Iterator[Pixels]:
    """Results in the order of the jobs; at most `ahead` jobs are in progress at once."""
    waiting: deque[Future[Pixels]] = deque()
    try:
        for job in jobs:
            waiting.append(job)
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for job in waiting:
            job.cancel()


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
