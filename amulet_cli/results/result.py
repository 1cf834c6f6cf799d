"""A result: what one run found, what its configuration is known by, and the folder that it has."""

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from amulet.core.blocks import RecordBlocks
from amulet.core.facts import RunFacts
from amulet_cli.base.format_numbers import plural
from amulet_cli.base.serialize import plain

SCHEMA = 2
"""What is written; 1, without `facts`, is read too."""
LOST = "no finite number, kept as null"
VICTIMS = ("undefended", "defended")
_OF_CHECKPOINT = ("checkpoint", "checkpoint_accuracy", "recipe")
_WITHOUT_EFFECT = {"seed", "device", "num_threads", "workers", "output_dir", "store", "force", "hydra", "logger"}
_ADDED = {"trial": None, "members": "unknown"}
"""What settings were before they existed: results from that time are found again."""
CHOICES = ("dataset", "model", "defense", "second_defense", "attack")

Numbers = Mapping[str, Mapping[str, float]]


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
    def trial(self) -> int:
        """The number of records of a trial (`--limit`); 0 of a run whose numbers count."""
        return self.config.get("trial") or 0

    @property
    def standing(self) -> str:
        """Its state in words: one that is not over is unfinished."""
        return "unfinished" if self.state == "running" else self.state

    @property
    def names(self) -> list[str]:
        """Its metrics, of whichever victim."""
        return list(dict.fromkeys(name for row in self.metrics.values() for name in row))

    def value(self, victim: str, metric: str) -> float:
        """A metric of a victim; NaN if there is none."""
        return self.metrics.get(victim, {}).get(metric, math.nan)

    def baseline(self, victim: str, metric: str) -> float:
        """What a metric of a victim would be without the attack or the model; NaN if that is not known."""
        return self.baselines.get(victim, {}).get(metric, math.nan)

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
        """Dataset, which a trial adds itself to, model, defence (`a+b` for two) and attack."""
        dataset, *others = setting_of({**dict.fromkeys(CHOICES, ""), **self.choices})
        model, defense, attack = others
        return f"{dataset} (trial of {self.trial})" if self.trial else dataset, model, defense, attack


def config_hash(cfg: Mapping[str, Any]) -> str:
    """SHA-256 of what determines a result: everything but the seed, the machine, the paths of files and `about` texts.

    >>> config_hash({"epochs": 1, "seed": 0}) == config_hash({"seed": 7, "epochs": 1, "device": "cuda"})
    True
    """
    return hashlib.sha256(json.dumps(plain(shaping(cfg), finite=False), sort_keys=True).encode()).hexdigest()


def shaping(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a configuration that determines a result, except the seed; a checkpoint counts by its content."""
    kept = {key: value for key, value in cfg.items() if key not in _WITHOUT_EFFECT}
    if kept.get("checkpoint"):
        kept["checkpoint"] = kept["checkpoint"]["sha256"]
    else:  # without a checkpoint its recipe has no meaning
        kept = {key: value for key, value in kept.items() if key not in _OF_CHECKPOINT}
    for key, usual in _ADDED.items():  # as results from before there were these
        if kept.get(key, "") == usual:
            del kept[key]
    return without_about(kept)


def result_folder(cfg: Mapping[str, Any], choices: Mapping[str, str], output_dir: str | Path) -> Path:
    """``<output_dir>/<dataset>/<model>/<defense>[+<second>]/<attack>/<hash8>/seed=<n>``."""
    parts = [re.sub(r"[^\w.+-]", "_", name).lstrip(".") or "_" for name in setting_of(choices)]
    return Path(output_dir).joinpath(*parts, config_hash(cfg)[:8], f"seed={cfg['seed']}")


def without_trials(results: Sequence[Result]) -> tuple[list[Result], str]:
    """The runs whose numbers count, and a word on the trials beside them; trials alone are all kept."""
    real = [result for result in results if not result.trial]
    if not any(result.finished for result in real) or len(real) == len(results):
        return list(results), ""
    count = len(results) - len(real)
    return real, f"{plural(count, 'trial')} with --limit {'is' if count == 1 else 'are'} left out: not runs that count"


def setting_of(choices: Mapping[str, str]) -> tuple[str, str, str, str]:
    """Dataset, model, defence (`a+b` for two) and attack."""
    second = choices.get("second_defense") or "none"
    defense = choices["defense"] if second == "none" else f"{choices['defense']}+{second}"
    return choices["dataset"], choices["model"], defense, choices["attack"]


def without_about(value: Any) -> Any:
    """A part of a configuration without the texts that describe its options."""
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return {key: without_about(item) for key, item in items if key != "about"}
    if isinstance(value, (list, tuple)):
        return [without_about(item) for item in cast(Sequence[Any], value)]
    return value
