"""A feed that follows folders of results as long as somebody asks for it."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from amulet import __version__
from amulet_cli.base.console import here
from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import located
from amulet_cli.results.following import Following
from amulet_cli.results.reading import check_there
from amulet_cli.views.viewer.feed import Feed
from amulet_cli.views.viewer.kept import Kept
from amulet_cli.views.viewer.readers import Readers

_PAUSE, _PER_LOOK = 0.5, 4.0  # seconds between two looks: at least; and times as long as a look took
_ALONE = 15.0  # seconds without a question after which nobody is there to look for


class Live:
    """What is below some folders, as of now.

    Args:
        paths: folders of runs or of sweeps.

    Raises:
        UsageError: one does not exist.
    """

    def __init__(self, paths: Sequence[str | Path]) -> None:
        for path in paths:
            check_there(Path(path))
        self.roots = [located(path) for path in paths]
        self._feed, self._kept = Feed(), Kept(self.roots)
        self._following = Following(self.roots, Readers(self.roots).rows, self._kept.restore(self._feed))
        self._unsaved = False
        self._over, self._wanted = threading.Event(), threading.Event()
        self._asked = time.monotonic()
        self._trouble, self._first = "", True

    @property
    def feed(self) -> Feed:
        """The rows of all runs, as they are known so far."""
        return self._feed

    def start(self) -> None:
        """Begin to look, in a thread of its own."""
        threading.Thread(target=self._follow, daemon=True).start()

    def stop(self) -> None:
        """Look no more."""
        self._over.set()
        self._wanted.set()
        if not self._first:
            self._save()

    def since(self, revision: int) -> str:
        """What changed after a revision, as `Feed.since` has it, and how far reading is."""
        self._asked = time.monotonic()
        self._wanted.set()
        return self._feed.since(
            revision,
            version=__version__,
            folders=[here(root) for root in self.roots],
            read=self._following.read,
            total=self._following.total,
            reading=self._first,
            trouble=self._trouble,
        )

    def _save(self) -> None:
        if self._unsaved:
            self._unsaved = False
            self._kept.save(self._feed, self._following.signatures)

    def _follow(self) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                for folder, row in self._following.changes():
                    self._feed.keep(folder, row)
                    self._unsaved = True
                    if self._over.is_set():
                        return
                if self._first:
                    self._save()
                self._trouble, self._first = "", False
            except UsageError as error:  # the folder is gone; it may come again
                self._trouble = str(error)
            self._over.wait(max(_PAUSE, 0 if self._first else _PER_LOOK * (time.monotonic() - began)))
            if time.monotonic() - self._asked > _ALONE:
                self._wanted.clear()
                self._wanted.wait()
