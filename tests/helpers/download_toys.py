"""A data set of one file, and ears for what its download says."""

import dataclasses
import hashlib
from pathlib import Path

import pytest

from amulet.core import DataError
from amulet.core.reporting import Reporter, Stage
from amulet.datasets import DatasetInfo, Download
from amulet.datasets.fetching.download import fetch
from amulet.datasets.fetching.transfer import RetryPolicy
from tests.helpers.misbehaving import Mood

CONTENT = b"".join(hashlib.sha256(bytes([i])).digest() for i in range(256)) * 25  # 200 KB that gzip cannot shrink
SIZE = len(CONTENT)
MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"
HASTY = RetryPolicy(tries=3, connect=5.0, silence=1.5, first_wait=0.0)
"""Impatient, but not with a busy machine: a server of the test that is slow to answer is not yet silent."""
GOOD = Mood()
QUOTA = Mood(page="<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title></head><p>Sorry</p></html>")
WRONG = Mood(content=CONTENT[::-1])


def toy(*addresses: str, path: str = "raw/toy.bin", **changes: object) -> DatasetInfo:
    """A data set of one file that these addresses offer."""
    one = Download(path=path, urls=addresses, checksum=MD5, size=SIZE)
    return DatasetInfo(
        name="toy",
        title="Toy",
        licence="none",
        source="a shelf",
        size="200 KB",
        files={path: MD5},
        downloads=(dataclasses.replace(one, **changes),),
        by_hand="the shop on the corner has it",
    )


def refused(info: DatasetInfo, folder: Path, patience: RetryPolicy = HASTY) -> str:
    """Fetch in vain; what is said."""
    with pytest.raises(DataError) as error:
        fetch(info, folder, patience=patience)
    assert not (folder / "raw" / "toy.bin").exists()
    return str(error.value)


class Ear(Reporter):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.stages: list[Counting] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def stage(self, name: str, total: int | None = None, unit: str = "") -> Stage:
        self.stages.append(Counting(name, total, unit))
        return self.stages[-1]


class Counting(Stage):
    """Counts its steps."""

    done = 0

    def advance(self, steps: int = 1, **figures: float) -> None:
        self.done += steps
