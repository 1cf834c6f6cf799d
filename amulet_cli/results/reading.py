"""Results are read from their folders, and found below others."""

import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

from amulet.core.blocks import RecordBlocks
from amulet.core.facts import RunFacts
from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import located, read_bytes
from amulet_cli.base.serialize import from_yaml
from amulet_cli.results import schema1, seal
from amulet_cli.results.result import SCHEMA, Numbers, Result, config_hash
from amulet_cli.results.shape import wrong_shape

_AGAIN = "the same command again: it does what is missing"


def read_result(folder: Path) -> Result:
    """The finished result in `folder`; `UsageError` if there is none, or it cannot be read."""
    return _finished(folder, seal.read_mapping(folder / "status.json"))


def _finished(folder: Path, status: Mapping[str, Any]) -> Result:
    path = folder / "metrics.json"
    if status.get("state") in ("failed", "refused"):
        raise UsageError(
            f"This run {'was refused' if status['state'] == 'refused' else 'failed'}: {reason_of(status)}",
            where=str(folder),
            try_=_AGAIN,
        )
    try:
        text = read_bytes(path)
        content: Any = seal.parsed(text)
    except FileNotFoundError:
        raise UsageError(
            "No finished result here: `metrics.json` is missing",
            where=str(folder),
            expected="the folder of one run, named seed=<n>",
        ) from None
    except OSError as error:
        raise UsageError(f"This result cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise UsageError(f"This result is damaged: {error}", where=str(path), try_=_AGAIN) from error
    if not isinstance(content, dict) or "schema" not in content:
        raise UsageError("Not a result of Amulet: `schema` is missing", where=str(path))
    content = cast(dict[str, Any], content)
    if content["schema"] not in (1, SCHEMA):
        raise UsageError(
            f"This result was written by another version of Amulet: `schema` {content['schema']!r}",
            where=str(path),
            expected=f"`schema` {SCHEMA}",
            try_=_AGAIN,
        )
    try:
        if wrong := wrong_shape(content):
            raise ValueError(wrong)
        as_written = seal.is_as_written(content, text)
        files = seal.files_of(content, compared=as_written)
        seal.check(folder, files, ("config.yaml", "metrics.csv"))
        config = seal.config_in(content) if as_written else _config(folder)
        return from_content(folder, content, config, files)
    except OSError as error:
        raise UsageError(f"This result cannot be read: {error.strerror}", where=str(error.filename)) from error
    except (ArithmeticError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f"This result is damaged: {error}", where=str(path), try_=_AGAIN) from error


def find_results(paths: Iterable[str | Path]) -> list[Result]:
    """Every run at or below `paths`, in the order of the folders; including unfinished and unreadable ones.

    A folder that this user may not read counts as a run that is unreadable.

    Raises:
        UsageError: a path does not exist.
    """
    folders, closed = find_folders(paths)
    found = {run.folder: run for run in (*closed, *map(result_in, folders))}
    return [found[folder] for folder in sorted(found, key=_natural)]


def find_folders(paths: Iterable[str | Path]) -> tuple[list[Path], list[Result]]:
    """The folders of all runs at or below `paths` in order, unread; and unreadable results for folders that are closed.

    Raises:
        UsageError: a path does not exist.
    """
    folders: dict[Path, None] = {}
    closed: list[Result] = []

    def told(error: OSError) -> None:
        reason = f"This folder cannot be read: {error.strerror}"
        closed.append(Result(folder=located(error.filename), state="unreadable", reason=reason))

    for path in map(Path, paths):
        check_there(path)
        start = located(path.parent if path.is_file() else path)
        for name, inner, files in os.walk(start, onerror=told):  # follows no link, so that each name is located too
            inner[:] = [one for one in inner if one != "artifacts"]  # a tracker's artifacts are copies
            if "metrics.json" in files or "status.json" in files:
                folders[Path(name)] = None
    return sorted(folders, key=_natural), closed


def check_there(path: Path) -> None:
    """Raise `UsageError` if a path, in which runs are to be found, does not exist."""
    if not _is_there(path):
        raise UsageError(
            f"There is no folder `{path}`",
            expected="folders of runs or of sweeps; they lie under `output_dir`, by default ./outputs",
        )


def is_complete(folder: Path, cfg: Mapping[str, Any]) -> bool:
    """Whether `folder` has the complete result of this configuration unchanged, and the last attempt did not fail."""
    try:
        result = read_result(folder)
        seal.check(folder, result.files)
    except (UsageError, ValueError, OSError):
        return False
    return result.seed == cfg["seed"] and config_hash(result.config) == config_hash(cfg)


def from_content(
    folder: Path, content: Mapping[str, Any], config: Mapping[str, Any], files: Mapping[str, str] = MappingProxyType({})
) -> Result:
    """The finished result of what a `metrics.json` and a `config.yaml` hold, with the digests of its files."""
    old = content["schema"] == 1
    named: Callable[[str], str] = schema1.renamed if old else str
    numbers = [_numbers(content.get(part, {}), named) for part in ("metrics", "baselines")]
    intervals = {
        victim: {
            named(name): cast(tuple[float, float], tuple(math.nan if end is None else float(end) for end in pair))
            for name, pair in row.items()
        }
        for victim, row in content.get("intervals", {}).items()
    }
    names = (name for row in numbers[0].values() for name in row)
    return Result(
        folder=folder,
        state="done",
        seed=content["seed"],
        choices=content["choices"],
        overrides=content["overrides"],
        config=config,
        metrics=numbers[0],
        baselines=numbers[1],
        intervals=intervals,
        influences={
            victim: {name: RecordBlocks.from_dict(blocks) for name, blocks in row.items()}
            for victim, row in content.get("influences", {}).items()
        },
        invalid=content.get("invalid", {}),
        manifest=content.get("manifest", {}),
        warnings=tuple(content.get("warnings", ())),
        timings=content.get("timings", {}),
        environment=content.get("environment", {}),
        facts=schema1.facts_of(names, config) if old else RunFacts.from_dict(content.get("facts", {})),
        files=files,
    )


def _numbers(value: Mapping[str, Mapping[str, float | None]], named: Callable[[str], str]) -> Numbers:
    return {
        victim: {named(name): math.nan if number is None else float(number) for name, number in row.items()}
        for victim, row in value.items()
    }


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:  # then walking into it says so
        return True
    except (OSError, ValueError):
        return False
    return True


def reason_of(status: Mapping[str, Any]) -> str:
    """Why a run has no result, as its `status.json` says."""
    return str(status.get("error") or status.get("reason") or "")


def _config(folder: Path) -> dict[str, Any]:
    """The configuration beside a result; none where there is no file.

    Raises:
        ValueError: it is not one.
        OSError: it cannot be read.
    """
    import yaml

    try:
        config: Any = from_yaml(read_bytes(folder / "config.yaml").decode())
    except FileNotFoundError:
        return {}
    except yaml.YAMLError as error:
        raise ValueError(f"`config.yaml`: {' '.join(str(error).split())}") from error
    if not isinstance(config, dict):
        raise ValueError("`config.yaml` is no mapping")
    return cast(dict[str, Any], config)


def result_in(folder: Path) -> Result:
    """The run in a folder, in whatever state it is: one that is damaged says why, and is no error."""
    status = seal.read_mapping(folder / "status.json")
    state, reason = str(status.get("state", "unreadable")), reason_of(status)
    if state not in ("failed", "refused"):
        try:
            return _finished(folder, status)
        except UsageError as error:
            if os.path.lexists(folder / "metrics.json") or state in ("done", "unreadable"):
                state, reason = "unreadable", str(error)
    try:
        config = _config(folder)
    except (ValueError, OSError):
        config = {}
    names: dict[str, str] = dict(zip(("dataset", "model", "defense", "attack"), folder.parts[-6:-2], strict=False))
    seed = folder.name.removeprefix("seed=")
    run = Result(
        folder=folder,
        state=state,
        seed=int(seed) if re.fullmatch(r"[0-9]{1,18}", seed) else 0,
        choices=names if folder.name.startswith("seed=") else {},
        config=config,
        reason=reason,
    )
    told = {key: status[key] for key in ("choices", "overrides", "facts") if key in status}
    try:
        if wrong_shape(told, needed=()):
            return run
        facts = RunFacts.from_dict(told["facts"]) if "facts" in told else schema1.facts_of((), config)
    except (ArithmeticError, ValueError, TypeError, KeyError, AttributeError):
        return run
    return replace(run, choices=told.get("choices", run.choices), overrides=told.get("overrides", {}), facts=facts)


def _natural(path: Path) -> list[tuple[int, str]]:
    pieces = re.split(r"(\d+)", str(path))
    return [(int(piece), "") if piece.isdigit() else (-1, piece) for piece in pieces]
