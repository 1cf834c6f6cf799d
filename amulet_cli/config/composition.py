"""From the command line to configurations: one for a run, many for a sweep, all before anything is run."""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from amulet_cli.base.errors import UsageError
from amulet_cli.config import suites, trial
from amulet_cli.config.arguments import Arguments, key_of
from amulet_cli.config.checkpoint import stamped
from amulet_cli.config.file_digest import with_digests
from amulet_cli.config.hydra_errors import explained
from amulet_cli.config.hydra_setup import find_user_modules, opened
from amulet_cli.config.schema import ADDED, GROUPS, SETTINGS
from amulet_cli.config.series import parts
from amulet_cli.config.sweeps import check_size
from amulet_cli.results.reading import is_complete
from amulet_cli.results.result import result_folder, without_about

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra
    from omegaconf import DictConfig

_NOT_TOLD = {"seed", "device", "output_dir", "store", "num_threads", "workers", "force", "logger"}
"""Overrides that do not change the result, or that are in the name of the result anyway."""


@dataclass(frozen=True, eq=False)
class Job:
    """One composed run."""

    config: dict[str, Any]
    """The resolved configuration, without Hydra's part and without the `about` texts."""
    choices: dict[str, str]
    overrides: dict[str, Any]
    """What was set beyond the options: ``{"defense.epsilon": 0.05}``."""
    words: tuple[str, ...]
    """The overrides as Hydra got them."""

    @property
    def folder(self) -> Path:
        """The folder of its result."""
        return result_folder(self.config, self.choices, Path(self.config["output_dir"]))

    @property
    def done(self) -> bool:
        """Whether its complete result exists."""
        return is_complete(self.folder, self.config)

    @property
    def to_do(self) -> bool:
        """Whether it is to be run: it is not done, or is to be done again."""
        return self.config["force"] or not self.done

    def differing(self, keys: Iterable[str]) -> dict[str, str]:
        """What distinguishes this job from the others of its sweep: the value of each of `keys`, as typed."""
        known = {**self.config, "second_defense": "none", **self.choices, **self.overrides}
        return {key: as_typed(known.get(key, "")) for key in keys}

    def label(self, keys: Iterable[str]) -> str:
        """The same in one line."""
        return " ".join(f"{key}={value}" for key, value in self.differing(keys).items())


@dataclass(frozen=True)
class RunRequest:
    """The jobs that one command requests."""

    jobs: tuple[Job, ...]
    sweep: bool
    launcher: str
    swept: tuple[str, ...] = ()
    """The keys that differ between the jobs."""
    parts: "tuple[Arguments, ...]" = ()
    """The commands for Hydra, one after the other; several for an experiment that is a series."""
    sizes: tuple[int, ...] = ()
    """The number of jobs of each."""
    launcher_settings: Mapping[str, Any] = field(default_factory=dict[str, Any])


def as_typed(value: Any) -> str:
    """A value as on the command line.

    >>> as_typed(0.05), as_typed("census"), as_typed(None)
    ('0.05', 'census', 'null')
    """
    return value if isinstance(value, str) else json.dumps(value)


def compose(arguments: Arguments) -> RunRequest:
    """Compose every job of a command; raise `UsageError` on the first that cannot be composed."""
    find_user_modules()
    commands = parts(arguments)
    composed = [_composed(command) for command in commands]
    if len(composed) == 1:
        return composed[0]
    jobs = tuple(job for request in composed for job in request.jobs)
    # Members of a series differ in options that none of them sweeps.
    varying = [key for key in GROUPS if len({job.choices.get(key) for job in jobs}) > 1]
    swept = dict.fromkeys((*varying, *(key for request in composed for key in request.swept)))
    return RunRequest(
        jobs,
        sweep=True,
        launcher=composed[0].launcher,
        launcher_settings=composed[0].launcher_settings,
        swept=tuple(swept),
        parts=tuple(commands),
        sizes=tuple(len(request.jobs) for request in composed),
    )


def _composed(arguments: Arguments) -> RunRequest:
    with opened(arguments.config_dir) as hydra:
        with explained(hydra, arguments.overrides, arguments.config_name):
            jobs, swept, (launcher, settings) = _expanded(hydra, arguments)
        composer = _Composer(hydra, arguments, swept or ())
        composed: list[Job] = []
        for words in jobs:
            with explained(hydra, words, arguments.config_name, typed=arguments.overrides):
                composed.append(composer.job(words))
        return RunRequest(
            tuple(composed),
            sweep=swept is not None,
            launcher=launcher,
            swept=swept or (),
            launcher_settings=settings,
        )


def _expanded(
    hydra: "Hydra", arguments: Arguments
) -> tuple[list[list[str]], tuple[str, ...] | None, tuple[str, dict[str, Any]]]:
    """The words of each job, the swept keys (None if it is a single run), the launcher and its settings."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.types import RunMode
    from omegaconf import OmegaConf

    parser = OverridesParser.create(config_loader=hydra.config_loader)
    parsed = parser.parse_overrides(list(arguments.overrides))
    check_size(parsed)
    # The mode and the launcher can come from an experiment: look at the configuration of any job.
    sample = [_first(override) for override in parsed]
    probe = hydra.compose_config(arguments.config_name, sample, run_mode=RunMode.MULTIRUN)
    settings_of_it = cast(dict[str, Any], OmegaConf.to_container(probe.hydra.launcher))
    launcher = str(probe.hydra.runtime.choices["hydra/launcher"]), settings_of_it
    if "--multirun" not in arguments.flags and probe.hydra.mode != RunMode.MULTIRUN:
        return [list(arguments.overrides)], None, launcher
    sweeper = probe.hydra.runtime.choices["hydra/sweeper"]
    if sweeper != "basic":
        raise UsageError(f"`hydra/sweeper` must be basic, got {sweeper}", where=f"`hydra/sweeper={sweeper}`")
    params = [f"{key}={value}" for key, value in (probe.hydra.sweeper.params or {}).items()]
    sweeping = parser.parse_overrides(params) + [o for o in parsed if not o.is_hydra_override()]
    settings = [o.input_line or "" for o in parsed if o.is_hydra_override()]
    # If a key is given twice, the last one counts, as in the sweeper.
    latest = {o.get_key_element(): o for o in sweeping}
    check_size(list(latest.values()))
    swept = tuple(key_of(k) for k, o in latest.items() if o.is_sweep_override())
    batches = BasicSweeper.split_arguments(sweeping, max_batch_size=None)
    return [[*settings, *job] for batch in batches for job in batch], swept, launcher


def _first(override: Any) -> str:
    if override.is_sweep_override() and override.is_discrete_sweep():
        return f"{override.get_key_element()}={next(override.sweep_string_iterator(), '')}"
    return override.input_line


class _Composer:
    """Composes jobs. Those that differ only in values, not in options, share the slow part of it."""

    def __init__(self, hydra: "Hydra", arguments: Arguments, swept: Sequence[str]) -> None:
        from hydra.core.override_parser.overrides_parser import OverridesParser

        self.hydra, self.config_name, self.config_dir = hydra, arguments.config_name, arguments.config_dir
        self.values = {key for key in swept if "." in key or key in SETTINGS}
        parser = OverridesParser.create(config_loader=hydra.config_loader)

        @cache
        def parsed(word: str) -> Any:
            return parser.parse_overrides([word])[0]

        self.parsed = parsed
        self.bases: dict[tuple[str, ...], tuple[DictConfig, dict[str, str]]] = {}

    def job(self, words: Sequence[str]) -> Job:
        """The job for these overrides."""
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException

        overrides = [self.parsed(word) for word in words]
        values = [o for o in overrides if o.get_key_element() in self.values]
        base, choices = self._base(tuple(w for w, o in zip(words, overrides, strict=True) if o not in values))
        config = copy.deepcopy(base)
        try:
            for override in values:  # like Hydra
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        except OmegaConfBaseException:  # Hydra reports the error
            config, choices = self._base(tuple(words))
        said = shaping_overrides(overrides)
        return Job(resolved(config, self.config_dir, said), choices, said, tuple(words))

    def _base(self, words: tuple[str, ...]) -> "tuple[DictConfig, dict[str, str]]":
        from hydra.types import RunMode
        from omegaconf import open_dict

        if words not in self.bases:
            composed = self.hydra.compose_config(self.config_name, list(words), run_mode=RunMode.RUN)
            choices = chosen(composed.hydra.runtime.choices)
            with open_dict(composed):
                del composed["hydra"]
            self.bases[words] = composed, choices
        return self.bases[words]


def resolved(
    composed: "DictConfig", config_dir: Path | None = None, said: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Interpolations resolved, `about` texts dropped, files by their content: what is run, hashed and stored.

    Args:
        composed: by Hydra.
        config_dir: a folder of the user's own options.
        said: by key what the command line says; it stands before what a suite's strength states.
    """
    from omegaconf import OmegaConf

    plain = cast(dict[str, Any], OmegaConf.to_container(composed, resolve=True, throw_on_missing=True))
    if "checkpoint" in plain:
        plain["checkpoint"] = stamped(plain["checkpoint"])
    for key in ("dataset", "model"):
        if key in plain:
            plain[key] = with_digests(plain[key], key)
    attack, plain = plain.get("attack"), without_about(plain)
    if suites.is_suite(attack):
        node = cast(dict[str, Any], attack)
        plain["attack"] = suites.expanded(node, config_dir)
        plain["metric"] = suites.without_strengths_own(plain.get("metric") or {}, node, said or {}, config_dir)
    return trial.shrunk(plain)


def chosen(choices: Mapping[str, Any]) -> dict[str, str]:
    """The options in the name of a result, from Hydra's list of all."""
    names = {group: str(choices[group]) for group in ("dataset", "model", "defense", "attack")}
    second = str(choices.get("defense@second_defense", "none"))
    return names if second == "none" else {**names, "second_defense": second}


def shaping_overrides(parsed: Sequence[Any]) -> dict[str, Any]:
    """Those of Hydra's parsed overrides that determine the result and do not choose an option."""
    shaping_overrides: dict[str, Any] = {}
    for override in parsed:
        key = str(override.key_or_group)
        group = override.package is not None or (key in GROUPS and key != "metric")
        if not (group or override.is_hydra_override() or key.split(".")[0] in _NOT_TOLD):
            shaping_overrides[f"+{key}" if key in ADDED else key] = override.value()
    return shaping_overrides
