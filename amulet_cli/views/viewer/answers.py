"""What the page asks for beside the feed: runs side by side, their evidence, figures and files."""

import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from amulet_cli.analysis.groups import aggregate
from amulet_cli.base.errors import UsageError
from amulet_cli.base.serialize import plain
from amulet_cli.results.evidence import described
from amulet_cli.results.reading import result_in
from amulet_cli.results.result import Result
from amulet_cli.views.viewer import files
from amulet_cli.views.viewer.details import side_by_side, subject_of
from amulet_cli.views.viewer.live import Live

if TYPE_CHECKING:
    from amulet_cli.views.figures.drawing import Drawing

_JSON = "application/json; charset=utf-8"
_MOST = 12  # runs or cells side by side
Query = Mapping[str, str]


@dataclass(frozen=True)
class Answer:
    """What is sent."""

    kind: str
    content: bytes | BinaryIO
    """A file is sent piece by piece."""
    save_as: str = ""
    """The name under which a browser saves what it must not show."""

    @property
    def length(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else os.fstat(self.content.fileno()).st_size


class Answers:
    """By the last part of an address, what answers it."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._drawing = threading.Lock()  # matplotlib draws one figure at a time
        self._by_name: Mapping[str, Callable[[Query], Answer]] = {
            "feed": self._feed,
            "details": self._details,
            "evidence": self._evidence,
            "figures": self._figures,
            "figure": self._figure,
            "file": self._file,
        }

    def to(self, name: str, asked: Query) -> Answer:
        """The answer to one question.

        Raises:
            LookupError: there is no such question, run or figure.
            FileNotFoundError: there is no such file.
            ValueError: the question is malformed, or what it is about is damaged.
        """
        return self._by_name[name](asked)

    def _feed(self, asked: Query) -> Answer:
        return Answer(_JSON, self._live.since(int(asked.get("since", "0"))).encode())

    def _runs(self, name: str) -> list[Result]:
        return [result_in(folder) for folder in self._live.feed.folders(name)]

    def _details(self, asked: Query) -> Answer:
        names = list(dict.fromkeys(asked["of"].split(",")))
        if len(names) > _MOST:
            raise UsageError(f"At most {_MOST} runs or cells fit side by side, got {len(names)}")
        runs = {name: self._runs(name) for name in names}
        found = side_by_side({name: subject_of(its) for name, its in runs.items()})
        first, *others = [run for its in runs.values() for run in its]
        if not others:
            found |= {"files": files.listed(first.folder), "log": files.tail(first.folder, "run.log")}
            found |= {"timings": first.timings, "environment": first.environment}
        return _json(found)

    def _evidence(self, asked: Query) -> Answer:
        return _json([vars(one) for one in described(self._runs(asked["of"])[0])])

    def _drawings(self, asked: Query) -> "Sequence[Drawing]":
        from amulet_cli.views.figures.catalogue import drawings

        runs = [run for run in self._runs(asked["of"]) if run.finished]
        return drawings(aggregate(runs), runs) if runs else []

    def _figures(self, asked: Query) -> Answer:
        with self._drawing:
            offered = self._drawings(asked)
        return _json([{"title": one.title, "about": one.description, "kind": one.kind} for one in offered])

    def _figure(self, asked: Query) -> Answer:
        from amulet_cli.views.figures.style import as_svg

        with self._drawing:
            one = self._drawings(asked)[int(asked["n"])]
            return Answer("image/svg+xml", as_svg(one.draw(), one.title, one.description).encode())

    def _file(self, asked: Query) -> Answer:
        (folder, *others), name = self._live.feed.folders(asked["of"]), asked["name"]
        if others:
            raise UsageError("The files of one run can be had, not those of a cell")
        kind = files.TYPES.get(Path(name).suffix, "")
        return Answer(kind or "application/octet-stream", files.open_in(folder, name), "" if kind else name)


def _json(value: Any) -> Answer:
    return Answer(_JSON, json.dumps(plain(value), ensure_ascii=False, allow_nan=False).encode())
