"""Runs, started from Python: the words of `amulet run`, composed, checked and carried out as there."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from amulet.core.errors import SettingError
from amulet_cli.base.console import err, out
from amulet_cli.config.arguments import Arguments, parse
from amulet_cli.config.composition import compose
from amulet_cli.execution.preflight import check_settings
from amulet_cli.execution.sweep import result_of, run_sweep
from amulet_cli.python.errors import told
from amulet_cli.python.results import Results

Choice = str | Sequence[str] | None


def assess(
    dataset: Choice = None,
    *,
    defense: Choice = None,
    attack: Choice = None,
    model: Choice = None,
    second_defense: Choice = None,
    metric: Sequence[str] | None = None,
    experiment: str | None = None,
    seeds: int | Sequence[int] = 1,
    settings: Mapping[str, Any] | None = None,
    output_dir: str | Path = "outputs",
    config_dir: str | Path | None = None,
    progress: bool = True,
) -> Results:
    """Train a model without and with a defence, attack both, measure: `amulet run`, from Python.

    The same command, checks, folders and numbers as on the command line. What is done already is not done again. A
    choice is the name of an option (`amulet list`), or several of them, which make a sweep.

    Args:
        dataset: an option of the group; None takes the one of `conf/config.yaml`, as everywhere here.
        defense: what protects the model.
        attack: what the adversary does; it decides which risk is measured.
        model: the architecture, or `my_module:MyNet`.
        second_defense: another defence.
        metric: the risks that are measured: ``["utility", "evasion"]``.
        experiment: whole settings by name: `smoke`.
        seeds: how many, from 0 on; or which. Verdicts need ten, limits on a recipe (`check`) five.
        settings: any other, by its key on the command line: ``{"epochs": 5, "defense.epsilon": 0.03}``.
        output_dir: the folder of the results and of the trained models.
        config_dir: a folder with options of your own.
        progress: whether progress is shown, on standard error or in the notebook.

    Returns:
        Every run of it, the refused and failed ones too (`Results.refused`, `Results.failed`).

    Raises:
        SettingError: something is wrong with the command; nothing has been trained.
    """
    groups = {"dataset": dataset, "model": model, "defense": defense, "second_defense": second_defense}
    chosen = {**groups, "attack": attack, "metric": None if metric is None else f"[{','.join(metric)}]"}
    words = [f"+experiment={experiment}"] if experiment else []
    words += words_of(chosen, seeds, {**(settings or {}), "output_dir": str(output_dir)})
    folder = [] if config_dir is None else ["--config-dir", str(config_dir)]
    return carried_out(lambda: parse(["--multirun", *folder, *words]), progress=progress)


def words_of(groups: Mapping[str, Choice], seeds: int | Sequence[int], settings: Mapping[str, Any]) -> list[str]:
    """The words of a command.

    Raises:
        SettingError: a choice names nothing, or there is no seed.
    """
    words = [f"{key}={_names(key, value)}" for key, value in groups.items() if value is not None]
    words += [f"seed={','.join(map(str, _seeds(seeds)))}"]
    return [*words, *(f"{key}={word(value)}" for key, value in settings.items())]


def carried_out(command: Callable[[], Arguments], *, progress: bool) -> Results:
    """Compose, check and run a sweep.

    Raises:
        SettingError: something is wrong with the command.
    """
    with told(), _shown(progress), _torch_as_before():
        arguments = command()
        request = compose(arguments)
        check_settings(request)
        run_sweep(request, arguments, table=False)
        return Results([result_of(job) for job in request.jobs])


def word(value: Any) -> str:
    """A value in Hydra's notation.

    >>> word(None), word(True), word(0.05), word([1, "a b"]), word({"lr": 0.1}), word("it's")
    ('null', 'true', '0.05', "[1,'a b']", '{lr:0.1}', "'it\\\\'s'")
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, Mapping):
        items = cast(Mapping[Any, Any], value).items()
        return f"{{{','.join(f'{key}:{word(item)}' for key, item in items)}}}"
    if isinstance(value, (list, tuple)):
        return f"[{','.join(word(item) for item in cast(Sequence[Any], value))}]"
    text = str(value)
    if re.fullmatch(r"[A-Za-z_][\w.:-]*", text) and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", text)
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    found = list(range(seeds)) if isinstance(seeds, int) else list(seeds)
    if not found or min(found) < 0:
        raise SettingError(f"`seeds` must be a number from 1 on, or seeds from 0 on, got {seeds!r}")
    return found


def _names(key: str, value: str | Sequence[str]) -> str:
    names = [value] if isinstance(value, str) else list(value)
    if not names or not all(isinstance(name, str) and name for name in cast(list[Any], names)):
        raise SettingError(f"`{key}` must be the name of an option, or several, got {value!r}")
    return ",".join(names)


@contextmanager
def _shown(progress: bool) -> Iterator[None]:
    before = err.quiet, out.quiet
    err.quiet, out.quiet = before[0] or not progress, True  # what was found is returned
    try:
        yield
    finally:
        err.quiet, out.quiet = before


@contextmanager
def _torch_as_before() -> Iterator[None]:
    """Leave torch's threads, determinism and random numbers as they were: this does not end with a process."""
    import torch

    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
