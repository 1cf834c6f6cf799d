"""From `logger=` to trackers: builds and checks them, and sends runs and sweeps; an error here never loses a result."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import write_text
from amulet_cli.base.serialize import canonical_json
from amulet_cli.config import instantiation
from amulet_cli.execution.launchers import is_installed
from amulet_cli.execution.trackers.base import Run, Sweep, Tracker
from amulet_cli.results.result import Result
from amulet_cli.results.seal import read_mapping

Warn = Callable[[str], object]
_SENT = "trackers.json"
"""The file in a result's folder that lists the trackers that have it."""
_broken: set[str] = set()
"""Trackers that failed in this process: later jobs do not wait for another failure."""


def check(config: Mapping[str, Any]) -> None:
    """Raise `UsageError` if a tracker of a configuration cannot be built or its package is missing."""
    for key, node in _nodes(config):
        made = instantiation.load(str(node["_target_"]), key)
        if not (isinstance(made, type) and issubclass(made, Tracker)):
            raise UsageError(f"`{key}._target_` must be a subclass of amulet's Tracker, got {node['_target_']}")
        instantiation.check(node, key, keywords_only=True)
        missing = [name for name in made.needs if not is_installed(name)]
        if missing:
            raise UsageError(
                f"`logger={key.partition('.')[2]}` needs the package `{missing[0]}`, which is not installed",
                try_=f"pip install 'amulet-cli[{made.extra}]'" if made.extra else f"pip install {missing[0]}",
            )
        instantiation.build(node, key, Path(config["output_dir"]))


def track(run: Run, warn: Warn, *, again: bool = True) -> None:
    """Send a run to the trackers of its configuration, or to those that do not have it; a failure is a warning."""
    for key, tracker in _trackers(run.result.config):
        if key not in _broken:
            with _guarded(key, warn):
                _send(key, tracker, run, again=again)


def track_done(result: Result, logger: Mapping[str, Any] | None, warn: Warn, sweep: str = "") -> None:
    """Send a result that was written earlier to the trackers that do not have it."""
    track(Run(replace(result, config={**result.config, "logger": logger}), sweep=sweep), warn, again=False)


class Tracking:
    """The trackers of a sweep, which receive its beginning, what they do not have yet, and its end."""

    def __init__(self, config: Mapping[str, Any], sweep: Sweep, warn: Warn) -> None:
        self.sweep, self.warn = sweep, warn
        self._logger = config.get("logger")
        self._trackers = list(_trackers(config))

    def begin(self) -> None:
        """Before the first job."""
        _broken.clear()
        for key, tracker in self._trackers:
            with _guarded(key, self.warn):
                tracker.begin(self.sweep)

    def end(self, results: Sequence[Result]) -> None:
        """After the last one: runs that were done before, or whose process could not send them, are sent now."""
        states = Counter(result.state for result in results)
        for result in results if self._trackers else ():
            if result.finished:
                track_done(result, self._logger, self.warn, self.sweep.key)
        for key, tracker in self._trackers:
            if key not in _broken:
                with _guarded(key, self.warn):
                    tracker.end(self.sweep, states)


@contextmanager
def _guarded(key: str, warn: Warn) -> Iterator[None]:
    """An error of a tracker in this block is reported, and that tracker is not used again."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - another service may fail in any way, which must not lose a result
        _broken.add(key)
        text = (str(error).strip() or type(error).__name__).splitlines()[0]
        warn(f"`{key}` failed, results are complete without it: {type(error).__name__}: {text}")


def _send(key: str, tracker: Tracker, run: Run, *, again: bool) -> None:
    file = run.result.folder / _SENT
    sent = read_mapping(file)
    stamp = (run.result.folder / "metrics.json").stat().st_mtime_ns
    entry = {"place": tracker.place, "written": stamp, **({"sweep": run.sweep} if run.sweep else {})}
    if again or not entry.items() <= sent.get(key, {}).items():
        sent[key] = {**entry, "run": tracker.log(run)}
        write_text(file, canonical_json(sent))


def _trackers(config: Mapping[str, Any]) -> Iterator[tuple[str, Tracker]]:
    for key, node in _nodes(config):
        yield key, instantiation.build(node, key, Path(config["output_dir"]))


def _nodes(config: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, node in (config.get("logger") or {}).items():
        if not isinstance(node, Mapping) or "_target_" not in node:
            raise UsageError(f"`logger.{name}` must be an option with a `_target_`", try_="amulet list logger")
        yield f"logger.{name}", cast(Mapping[str, Any], node)
