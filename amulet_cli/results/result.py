"""Results on disk: the paths of a run's files, and how they are written, found and read."""

import hashlib
import json
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

from amulet.core.blocks import RecordBlocks
from amulet.core.facts import RunFacts
from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import located, read_bytes, write_text, write_whole
from amulet_cli.base.serialize import canonical_json, from_yaml, plain, tidy_csv
from amulet_cli.results import schema1, seal
from amulet_cli.results.shape import wrong_shape

SCHEMA = 2
"""What is written; 1, without `facts`, is read too."""
LOST = "no finite number, kept as null"
VICTIMS = ("undefended", "defended")
_OF_CHECKPOINT = ("checkpoint", "checkpoint_accuracy", "recipe")
_WITHOUT_EFFECT = {"seed", "device", "num_threads", "workers", "output_dir", "store", "force", "hydra", "logger"}
_AGAIN = "the same command again: it does what is missing"
CHOICES = ("dataset", "model", "defense", "second_defense", "attack")

Numbers = Mapping[str, Mapping[str, float]]


class OutcomeLike(Protocol):
    """The interface of an assessment's outcome; `amulet.assessment.Outcome` has it."""

    @property
    def metrics(self) -> Mapping[str, Mapping[str, float]]: ...
    @property
    def baselines(self) -> Mapping[str, Mapping[str, float]]: ...
    @property
    def intervals(self) -> Mapping[str, Mapping[str, Sequence[float]]]: ...
    @property
    def influences(self) -> Mapping[str, Mapping[str, RecordBlocks]]: ...
    @property
    def invalid(self) -> Mapping[str, Mapping[str, str]]: ...
    @property
    def manifest(self) -> Mapping[str, Any]: ...
    @property
    def warnings(self) -> Sequence[str]: ...
    @property
    def timings(self) -> Mapping[str, float]: ...
    @property
    def arrays(self) -> Mapping[str, Any]: ...
    @property
    def facts(self) -> RunFacts: ...


@dataclass(frozen=True, kw_only=True)
class Result:
    """One run, read from its folder. Numbers that were null are NaN."""

    folder: Path
    state: str
    """`done`, `failed`, `refused`, `running` (or killed since), `unreadable`; a sweep adds `skipped`."""
    seed: int = 0
    choices: Mapping[str, str] = field(default_factory=dict[str, str])
    overrides: Mapping[str, Any] = field(default_factory=dict[str, Any])
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    metrics: Numbers = field(default_factory=dict[str, Mapping[str, float]])
    baselines: Numbers = field(default_factory=dict[str, Mapping[str, float]])
    intervals: Mapping[str, Mapping[str, tuple[float, float]]] = field(
        default_factory=dict[str, Mapping[str, tuple[float, float]]]
    )
    influences: Mapping[str, Mapping[str, RecordBlocks]] = field(default_factory=dict[str, Mapping[str, RecordBlocks]])
    """How far the test records move a metric: what an interval over records needs."""
    invalid: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Why no verdict may rest on a metric."""
    manifest: Mapping[str, Any] = field(default_factory=dict[str, Any])
    warnings: tuple[str, ...] = ()
    timings: Mapping[str, float] = field(default_factory=dict[str, float])
    environment: Mapping[str, Any] = field(default_factory=dict[str, Any])
    facts: RunFacts = field(default_factory=RunFacts)
    """What its metrics are about, and its defences and attacks."""
    files: Mapping[str, str] = field(default_factory=dict[str, str])
    """The digests of its files by name (`seal`); none of a result from before there were seals."""
    reason: str = ""
    """Why it failed, was refused or cannot be read."""

    @property
    def finished(self) -> bool:
        """Whether there are numbers: done by this command or before it."""
        return self.state in ("done", "skipped")

    @property
    def log(self) -> Path:
        """The path of the run's log."""
        return self.folder / "run.log"

    @cached_property
    def hash(self) -> str:
        """The first 8 hex digits of `config_hash`; of the choices and overrides if there is no config."""
        return config_hash(self.config or {"choices": self.choices, "overrides": self.overrides})[:8]

    @property
    def setting(self) -> tuple[str, ...]:
        """Dataset, model, defence (`a+b` for two) and attack."""
        names = {**dict.fromkeys(CHOICES, ""), **self.choices}
        return names["dataset"], names["model"], _defense(names), names["attack"]


def config_hash(cfg: Mapping[str, Any]) -> str:
    """SHA-256 of what determines a result: everything but the seed, the machine, the paths of files and `about` texts.

    >>> config_hash({"epochs": 1, "seed": 0}) == config_hash({"seed": 7, "epochs": 1, "device": "cuda"})
    True
    """
    return hashlib.sha256(json.dumps(shaping(cfg), sort_keys=True, default=str).encode()).hexdigest()


def shaping(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that determines a result, except the seed; a checkpoint counts by its content."""
    kept = {key: value for key, value in cfg.items() if key not in _WITHOUT_EFFECT}
    if kept.get("checkpoint"):
        kept["checkpoint"] = kept["checkpoint"]["sha256"]
    else:  # without a checkpoint its recipe has no meaning
        kept = {key: value for key, value in kept.items() if key not in _OF_CHECKPOINT}
    return _without_about(kept)


def result_folder(cfg: Mapping[str, Any], choices: Mapping[str, str], output_dir: str | Path) -> Path:
    """``<output_dir>/<dataset>/<model>/<defense>[+<second>]/<attack>/<hash8>/seed=<n>``."""
    names = (choices["dataset"], choices["model"], _defense(choices), choices["attack"])
    parts = [re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "_" for name in names]
    return Path(output_dir).joinpath(*parts, config_hash(cfg)[:8], f"seed={cfg['seed']}")


def is_complete(folder: Path, cfg: Mapping[str, Any]) -> bool:
    """Whether `folder` has the complete result of this configuration unchanged, and the last attempt did not fail."""
    try:
        result = read_result(folder)
        seal.check(folder, result.files)
    except (UsageError, ValueError, OSError):
        return False
    return result.seed == cfg["seed"] and config_hash(result.config) == config_hash(cfg)


def write_status(folder: Path, state: str, **details: Any) -> None:
    """Write `status.json`: ``{"state": state, **details}``."""
    write_text(folder / "status.json", canonical_json(plain({"state": state, **details})))


def write_outcome(
    folder: Path,
    outcome: OutcomeLike,
    *,
    choices: Mapping[str, str],
    overrides: Mapping[str, Any],
    config: Mapping[str, Any],
    environment: Mapping[str, Any],
) -> Result:
    """Write a run's files, each in one step, sealed by `metrics.json`, which comes last; and return the result.

    Numbers that are not finite become null, and a warning names them. What is in the place of `metrics.json` and was
    not written by Amulet, or has changed since, is kept as `metrics.json.bad`.
    """
    import numpy as np
    import yaml

    from amulet_cli.results.evidence_images import png, rows_by_file

    lost: list[str] = []
    content = {
        "schema": SCHEMA,
        "seed": config["seed"],
        "choices": dict(choices),
        "overrides": plain(overrides),
        "metrics": plain(outcome.metrics, "metrics", lost),
        "baselines": plain(outcome.baselines, "baselines", lost),
        "intervals": plain(outcome.intervals, "intervals", lost),
        "influences": {
            victim: {name: blocks.as_dict() for name, blocks in rows.items()}
            for victim, rows in outcome.influences.items()
        },
        "invalid": plain(outcome.invalid),
        "manifest": plain(outcome.manifest, "manifest", lost),
        "timings": plain(outcome.timings),
        "environment": plain(environment),
        "facts": plain(outcome.facts.as_dict()),
    }
    content["warnings"] = [
        *outcome.warnings,
        *([f"{', '.join(f'`{name}`' for name in sorted(lost))}: {LOST}"] if lost else []),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    _make_way(folder)  # until the end the files may not belong together
    write_text(folder / "config.yaml", yaml.safe_dump(plain(config, finite=False), sort_keys=False))
    written = _result(folder, content, config)
    write_text(folder / "metrics.csv", tidy_csv(_table(written)))
    arrays = {name: np.asarray(value) for name, value in sorted(outcome.arrays.items())}
    save: Callable[..., None] = np.savez_compressed
    write_whole(folder / "evidence.npz", lambda file: save(file, **arrays))
    images = {f"{name}.png": png(rows) for name, rows in rows_by_file(arrays).items()}
    for name, drawn in images.items():
        write_whole(folder / name, lambda file, drawn=drawn: file.write(drawn))
    whole = seal.sealed(content, folder, ("config.yaml", "metrics.csv", "evidence.npz", *images))
    write_text(folder / "metrics.json", canonical_json(whole))
    write_status(folder, "done")
    return replace(written, files=seal.files_of(whole))


def read_result(folder: Path) -> Result:
    """The finished result in `folder`; `UsageError` if there is none, or it cannot be read."""
    path = folder / "metrics.json"
    status = _status(folder)
    if status.get("state") in ("failed", "refused"):
        raise UsageError(
            f"This run {'was refused' if status['state'] == 'refused' else 'failed'}: {_reason(status)}",
            where=str(folder),
            try_=_AGAIN,
        )
    try:
        content: Any = seal.read_json(path)
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
        files = seal.files_of(content)
        seal.check(folder, files, ("config.yaml", "metrics.csv"))
        return replace(_result(folder, content, _config(folder)), files=files)
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
    folders: dict[Path, None] = {}
    closed: list[Result] = []

    def told(error: OSError) -> None:
        reason = f"This folder cannot be read: {error.strerror}"
        closed.append(Result(folder=located(error.filename), state="unreadable", reason=reason))

    for path in map(Path, paths):
        if not _is_there(path):
            raise UsageError(
                f"There is no folder `{path}`",
                expected="folders of runs or of sweeps; they lie under `output_dir`, by default ./outputs",
            )
        start = path.parent if path.is_file() else path
        for name, inner, files in os.walk(start, onerror=told):
            inner[:] = [one for one in inner if one != "artifacts"]  # a tracker's artifacts are copies
            if "metrics.json" in files or "status.json" in files:
                folders[located(name)] = None
    found = {run.folder: run for run in (*closed, *(_found(folder) for folder in folders))}
    return [found[folder] for folder in sorted(found, key=_natural)]


def _table(result: Result) -> list[dict[str, Any]]:
    """One row per victim and metric, in the order of tables: it tells nothing of what came from the store."""
    swept = {key: value for key, value in result.overrides.items() if key not in (*CHOICES, "seed")}
    names = {name: result.choices[name] for name in CHOICES if name in result.choices}
    rows: list[dict[str, Any]] = []
    for victim, metrics in sorted(result.metrics.items(), key=lambda row: (row[0] not in VICTIMS[:1], row[0])):
        for name, value in sorted(metrics.items(), key=lambda pair: (result.facts.order(pair[0]), pair[0])):
            low, high = result.intervals.get(victim, {}).get(name, (math.nan, math.nan))
            baseline = result.baselines.get(victim, {}).get(name, math.nan)
            numbers = {"value": value, "baseline": baseline, "low": low, "high": high}
            rows.append(names | swept | {"seed": result.seed, "victim": victim, "metric": name} | numbers)
    return rows


def _defense(choices: Mapping[str, str]) -> str:
    second = choices.get("second_defense") or "none"
    return choices["defense"] if second == "none" else f"{choices['defense']}+{second}"


def _without_about(value: Any) -> Any:
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {str(key): _without_about(item) for key, item in items if key != "about"}
    if isinstance(value, (list, tuple)):
        return [_without_about(item) for item in cast(Sequence[Any], value)]
    return value


def _numbers(value: Mapping[str, Mapping[str, float | None]], named: Callable[[str], str]) -> Numbers:
    return {
        victim: {named(name): math.nan if number is None else float(number) for name, number in row.items()}
        for victim, row in value.items()
    }


def _result(folder: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> Result:
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
    )


def _status(folder: Path) -> dict[str, Any]:
    try:
        status: Any = seal.read_json(folder / "status.json")
    except (OSError, ValueError):
        return {}
    return cast(dict[str, Any], status) if isinstance(status, dict) else {}


def _is_there(path: Path) -> bool:
    try:
        path.stat()
    except PermissionError:  # then walking into it says so
        return True
    except (OSError, ValueError):
        return False
    return True


def _make_way(folder: Path) -> None:
    path = folder / "metrics.json"
    try:
        read_result(folder)
    except UsageError:
        if os.path.lexists(path):
            path.replace(path.with_name("metrics.json.bad"))
    else:
        path.unlink()


def _reason(status: Mapping[str, Any]) -> str:
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


def _found(folder: Path) -> Result:
    status = _status(folder)
    state, reason = str(status.get("state", "unreadable")), _reason(status)
    if state not in ("failed", "refused"):
        try:
            return read_result(folder)
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
