"""The command line after `run`, `validate`, `audit` or `matrix`: Hydra's flags and overrides."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.files import is_file, is_folder, located
from amulet_cli.base.flags import CommandLine
from amulet_cli.config import trial
from amulet_cli.config.schema import SETTINGS

CONFIG_DIR = "--config-dir, -cd DIR  the options in your own folder can be chosen too"
COMPOSE_FLAGS = f"""
    -m, --multirun  a sweep: every combination of values with commas, ranges: 'seed=range(0,10)'
    {CONFIG_DIR}
    {trial.FLAG} N  a trial: at most N records, few epochs, the least of each attack; marked, and kept apart
    --config-name, -cn NAME  another configuration to begin with
    --json  for a program to read, on the standard output, instead of tables
""".strip()
"""Lines of a page: what Hydra's flags mean here, and those that any command of runs has."""
SWEEP_FLAGS = f"""
    {COMPOSE_FLAGS}
    --dry-run  no run: how many jobs there are, the trainings they share, and their time as earlier runs took
    --max-time TIME  a sweep begins no more runs after 90m, 1h30m, 2d; the same command resumes; exit code 124
""".strip()
"""The same for what can be run. An audit and a matrix are sweeps anyway."""
RUN_FLAGS = f"""
    {SWEEP_FLAGS}
    --cfg, -c WHAT     print the configuration instead of running it
    --package, -p KEY  with --cfg: this part of it only, such as attack
    --resolve          with --cfg: references filled in
    --info, -i WHAT    print where the configuration comes from
    --hydra-help       the flags of Hydra, which composes the configuration
""".strip()
SHOWN = {
    "--cfg": ("job", "hydra", "all"),
    "--info": ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath"),
}
"""What flags of a run can show."""
_OURS = ("--json", "--dry-run", "--max-time")
"""Flags that Hydra does not know."""
_SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
_ASKING = ("--cfg", "--info", "--hydra-help")
EXPERIMENT, QUICK = "+experiment=", "+paper_size=quick"


@dataclass(frozen=True)
class Arguments:
    """Flags by their long names, and overrides in Hydra's form."""

    flags: dict[str, str]
    overrides: tuple[str, ...]

    @property
    def asking(self) -> bool:
        """Whether Hydra should show something instead of running anything."""
        return any(flag in self.flags for flag in _ASKING)

    @property
    def json(self) -> bool:
        """Whether a program reads the standard output."""
        return "--json" in self.flags

    @property
    def max_seconds(self) -> float:
        """After how long a sweep begins no more runs."""
        return seconds(self.flags["--max-time"]) if "--max-time" in self.flags else math.inf

    @property
    def config_dir(self) -> Path | None:
        """The user's folder of options."""
        return Path(self.flags["--config-dir"]) if "--config-dir" in self.flags else None

    @property
    def config_name(self) -> str:
        """The name of the root configuration."""
        return self.flags.get("--config-name", "config")

    def as_sweep(self, *before: str) -> "Arguments":
        """The same as a sweep, with more overrides before its own."""
        return replace(self, flags={**self.flags, "--multirun": ""}, overrides=(*before, *self.overrides))

    def for_hydra(self) -> list[str]:
        """Flags first: Hydra's parser needs all overrides together."""
        flags = [
            word
            for flag, value in self.flags.items()
            if flag not in _OURS
            for word in ((flag, value) if value else (flag,))
        ]
        return [*flags, *self.overrides]


def key_of(word: str) -> str:
    """What an override sets: `defense.epsilon`, `second_defense`.

    >>> key_of("+experiment=table7"), key_of("defense@second_defense=none")
    ('experiment', 'second_defense')
    """
    return word.lstrip("+~").partition("=")[0].rpartition("@")[2]


def parse(words: Sequence[str], line: CommandLine | None = None) -> Arguments:
    """Sort the words of a command, those of `amulet run` by default.

    Raises:
        UsageError: one is neither a flag of it nor an override.
    """
    run = CommandLine(f"amulet run\n\nFlags:\n{RUN_FLAGS}", SHOWN)
    line = line or run
    for word in words:
        name, _, value = word.partition("=")
        if (key := name.lstrip("-").replace("-", "_")) in SETTINGS and name.startswith("-"):
            what = f"`{word}` is no flag: settings are given as key=value"
            raise UsageError(what, meant=[f"{key}={value or '...'}"])
        if any(name in flag.names and flag.name in _ASKING for flag in run.flags if flag not in line.flags):
            raise UsageError(f"`{name}` shows one run: ask `amulet run`", try_=f"amulet run {name} ...")
    overrides, flags = line.parse(words)
    asking = [flag for flag in flags if flag in _ASKING]
    if len(asking) > 1 or (asking and "--multirun" in flags):
        others = [flag for flag in flags if flag in (*_ASKING, "--multirun") and flag != asking[0]]
        raise UsageError(f"`{asking[0]}` shows one run and runs nothing: give it without `{others[0]}`")
    if (alone := [flag for flag in ("--package", "--resolve") if flag in flags]) and "--cfg" not in flags:
        raise UsageError(f"`{alone[0]}` is about what is shown", expected=f"--cfg job {alone[0]} ...")
    if "--config-dir" in flags:
        flags["--config-dir"] = str(user_folder(flags["--config-dir"]))
    if "--max-time" in flags:
        seconds(flags["--max-time"])
    if trial.FLAG in flags:
        overrides.append(trial.word(flags.pop(trial.FLAG)))
    return Arguments(flags, tuple(_sized(_own_model([_rewritten(word) for word in overrides]))))


def seconds(text: str) -> float:
    """A time span in seconds.

    >>> seconds("1h30m"), seconds("90s"), seconds("0.5h")
    (5400.0, 90.0, 1800.0)

    Raises:
        UsageError: it is none.
    """
    number = r"(?:\d+(?:\.\d*)?)"
    parts = re.fullmatch("".join(f"(?:({number}){unit})?" for unit in _SECONDS), text.replace(" ", ""))
    found = (
        [float(value) * each for value, each in zip(parts.groups(), _SECONDS.values(), strict=True) if value]
        if parts
        else []
    )
    if not sum(found):
        raise UsageError(f"`--max-time` must be a time with its unit, got {text}", expected="90m, 1h30m, 2d or 45s")
    return sum(found)


def user_folder(name: str) -> Path:
    """The folder that `--config-dir` names; `UsageError` if there is none."""
    folder = located(name)
    if is_folder(folder):
        return folder
    near = [p.name for p in folder.parent.glob("*/")] if is_folder(folder.parent) else []
    raise UsageError(
        f"`--config-dir` must be a folder, {name} is {'a file' if is_file(folder) else 'not there'}",
        where=str(folder),
        meant=[f"--config-dir {other}" for other in similar(folder.name, near)],
    )


def _sized(words: Sequence[str]) -> list[str]:
    """`+paper_size=quick` as the option for the experiment: each experiment has one, which comes after it.

    >>> _sized(["+paper_size=quick", "+experiment=table7_census", "seed=0"])
    ['+experiment=table7_census', 'seed=0', '+paper_size=quick/table7_census']
    """
    words = sorted(words, key=lambda word: word.startswith("+paper_size="))  # Hydra adds options in the order given
    if QUICK not in words:
        return words
    names = [word.removeprefix(EXPERIMENT) for word in words if word.startswith(EXPERIMENT)]
    if not names or "," in names[-1]:
        raise UsageError(
            f"`{QUICK}` cuts down one experiment of the paper", expected="+experiment=table7_census beside it"
        )
    return [f"{QUICK}/{names[-1]}" if word == QUICK else word for word in words]


def _own_model(words: Sequence[str]) -> list[str]:
    """`model=my_module:MyNet`, which Hydra rejects, as the option `custom` with the settings of the class.

    >>> _own_model(["model=my_nets:Wide", "model.width=64", "seed=1"])
    ['model=custom', 'model._target_=my_nets.Wide', '++model.width=64', 'seed=1']
    """
    if not any(re.match(r"model=[^\[{(]*:", word) for word in words):
        return list(words)
    found: list[str] = []
    for word in words:
        key, _, value = word.partition("=")
        if key == "model":
            paths = [_path_of(one.strip()) for one in value.split(",")]
            found += ["model=custom", f"model._target_={','.join(paths)}"]
        else:
            found.append(re.sub(r"^model\.", "++model.", word))
    return found


def _path_of(name: str) -> str:
    """`my_module:MyNet` as the path of a class."""
    module, _, kind = name.partition(":")
    if re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*", name) and not module.endswith(".py"):
        return name.replace(":", ".")
    path = module.removeprefix("./").removesuffix(".py").replace("/", ".")
    raise UsageError(
        f"`{name}` is not module:Class",
        where=f"`model={name}`",
        expected="model=my_module:MyNet, for a class or function in my_module.py where the command is given",
        meant=[f"model={path}:{kind}"] if kind and f"{path}:{kind}" != name else [],
    )


def _rewritten(word: str) -> str:
    """Rewrites shorter forms that Hydra does not accept.

    >>> _rewritten("second_defense=watermark"), _rewritten("optimizer.momentum=0.9")
    ('defense@second_defense=watermark', '++optimizer.momentum=0.9')
    """
    word = re.sub(r"^second_defense=", "defense@second_defense=", word)
    word = re.sub(r"^metric\.every\.(?!among\b)", "++metric.every.", word)  # an attack's settings, by its risk
    return re.sub(
        r"^optimizer\.", "++optimizer.", word
    )  # another optimizer has other settings: `components` checks them
