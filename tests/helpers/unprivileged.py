"""Folders of somebody else: code that runs as a user without rights, also where the tests run as root."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Within this block, root is nobody; any other user stays itself."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def drop_rights() -> None:
    """Make root nobody, for good; any other user stays itself."""
    if os.geteuid() == 0:
        os.setresuid(_NOBODY, _NOBODY, _NOBODY)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A new folder that every user may enter and read; those of pytest may be entered by their owner alone."""
    folder = Path(tempfile.mkdtemp(prefix="amulet-test-"))
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        for path in folder.rglob("*"):  # a test may have closed some
            path.chmod(0o755)
        shutil.rmtree(folder)
