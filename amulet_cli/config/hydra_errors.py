"""Hydra's errors, rewritten to say what to type instead."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from yaml import MarkedYAMLError, YAMLError

from amulet_cli.base.errors import UsageError, similar
from amulet_cli.config.arguments import key_of
from amulet_cli.config.hydra_setup import settings
from amulet_cli.config.option_files import read_option
from amulet_cli.config.schema import CHOICES

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

_READABLE = 16  # options that a message lists
_REFERENCE = "${key}, with the key of another setting; quotes around it where it is no reference"


@contextmanager
def explained(
    hydra: "Hydra", words: Sequence[str], config_name: str = "config", typed: Sequence[str] | None = None
) -> Iterator[None]:
    """Turn every exception in this block into a `UsageError` about the overrides `words`.

    Those that are not among `typed` come from an experiment's sweep; None: all were typed.

    All that is composed here comes from the command and from files, and Hydra has no error of its own for much of what
    can be wrong with them.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise _Explanation(hydra, words, config_name, words if typed is None else typed).of(error) from error


class _Explanation:
    def __init__(self, hydra: "Hydra", words: Sequence[str], config_name: str, typed: Sequence[str]) -> None:
        self.hydra, self.words, self.config_name = hydra, list(words), config_name
        self.typed = {key_of(word) for word in typed}

    def of(self, error: Exception) -> UsageError:
        from hydra.errors import MissingConfigException, OverrideParseException
        from omegaconf.errors import GrammarParseError, InterpolationKeyError, MissingMandatoryValue

        if isinstance(error, OverrideParseException):
            return self._unreadable(error.override)
        if isinstance(error, MissingConfigException) and error.missing_cfg_file:
            return self._no_such_option(error.missing_cfg_file, error.options)
        if isinstance(error, MissingMandatoryValue):
            return UsageError(f"`{error.full_key}` must be given: {error.full_key}=...")
        if isinstance(error, InterpolationKeyError):
            return UsageError(f"`{error.full_key}` refers to a key that does not exist: {_first_line(error)}")
        if isinstance(error, GrammarParseError) or isinstance(error.__cause__, GrammarParseError):
            what = "a reference to another setting cannot be read"
            return UsageError(what, where=self._with(r"\$\{"), expected=_REFERENCE)
        if isinstance(error, RecursionError):
            return UsageError(
                "options refer to each other in a circle, or are nested too deeply", where=" ".join(self.words) or None
            )
        text = str(error) or str(error.__cause__ or "")
        for pattern, say in (
            (r"Ambiguous value for argument '(.+?)'", self._sweep_without_m),
            (r"Sweep parameters '(.+?)' requires", self._sweep_without_m),
            (r"Could not override '(.+?)'", self._no_such_key),
            (r"looks like a config group.*'(.+?)' does not", self._no_such_key),
            (r"Could not append to config. An item is already at '(.+?)'", self._already_there),
            (r"Could not delete.*?'(.+?)'", self._no_such_key),
            (r"^Config group override must be a string or a list. Got (\w+)", self._no_option),
            (r"^Exceeds the limit \((\d+) digits\)", self._too_long),
        ):
            found = re.search(pattern, text, re.DOTALL)
            if found:
                return say(found[1])
        if isinstance(error, (OSError, YAMLError, UnicodeError)):
            self._read_again()
        if isinstance(error, MarkedYAMLError) and (mark := error.problem_mark):
            place = f"line {mark.line + 1}, column {mark.column + 1}"
            return UsageError(f"`{mark.name}` cannot be read: {error.problem}", where=place)
        cause = f": {_first_line(error.__cause__)}" if error.__cause__ and str(error) else ""
        return UsageError(f"{_first_line(error)}{cause}", where=" ".join(self.words) or None)

    def _read_again(self) -> None:
        """Raise what is wrong with the file of an option, those that the words name first."""
        files = [
            file
            for source in self.hydra.config_loader.get_sources()
            if source.scheme() == "file"
            for file in sorted(Path(source.path).rglob("*.yaml"))
        ]
        words = " ".join(self.words)
        for file in sorted(files, key=lambda file: file.stem not in words):
            content = read_option(file)
            if not isinstance(content, (Mapping, type(None))):
                raise UsageError(f"`{file}` must hold settings by name, got {type(content).__name__}")

    def _with(self, pattern: str) -> str | None:
        return next((f"`{word}`" for word in self.words if re.search(pattern, word)), None)

    def _no_option(self, kind: str) -> UsageError:
        """`attack=null`, `metric=1`: something else than the name of an option."""
        odd = re.compile(r"[~+]*(?P<key>[^=]*)=\s*(?P<value>null|true|false|[-+.\d].*)?\s*", re.IGNORECASE)
        matches = (match for word in self.words if (match := odd.fullmatch(word)))
        found = next((match for match in matches if self._chooses(match["key"])), None)
        group = found["key"].rpartition("@")[2] if found else ""
        return UsageError(
            f"`{group or 'an option'}` must be chosen by its name, got {found['value'] if found else kind}",
            where=f"`{found[0]}`" if found else " ".join(self.words),
            expected=f"{group}=none for none" if group in ("attack", "defense", "second_defense") else None,
            try_=f"amulet list {group}" if group in CHOICES else "amulet list",
        )

    def _chooses(self, key: str) -> bool:
        group = key.partition("@")[0]
        return not group or group == "hydra" or bool(self.hydra.config_loader.get_group_options(group))

    def _too_long(self, digits: str) -> UsageError:
        return UsageError(f"a number of more than {digits} digits cannot be read", where=self._with(rf"\d{{{digits}}}"))

    def _unreadable(self, word: str) -> UsageError:
        if "=" not in word and not word.startswith("~"):
            options = list(self._options())
            names = similar(word, [option for _, option in options])
            near = [f"{group}={option}" for name in names for group, option in options if option == name][:3]
            return UsageError(f"`{word}` is no override", expected="key=value", meant=near, try_="amulet list")
        key, _, value = word.partition("=")
        how = f"quotes around special characters: {key}='\"{value}\"'" if value else "key=value"
        return UsageError(f"`{word}` cannot be read", where=f"the override `{word}`", expected=how)

    def _no_such_option(self, path: str, options: Sequence[str] | None) -> UsageError:
        group, _, name = path.rpartition("/")
        if not group:
            return UsageError(f"there is no configuration `{path}`", where="`--config-name`")
        word = next((w for w in self.words if name in re.split(r"[=\[\],'\"]", w)[1:]), f"{group}={name}")
        if group == "hydra/launcher" and name in ("joblib", "submitit_slurm", "submitit_local"):
            extra = f"'amulet-cli[{'parallel' if name == 'joblib' else 'slurm'}]'"
            what = f"the launcher `{name}` is not installed"
            return UsageError(what, where=f"`{word}`", expected="an extra package", try_=f"pip install {extra}")
        known = list(options or self.hydra.config_loader.get_group_options(group))
        return UsageError(
            f"there is no {group.replace('/', ' ')} `{name}`",
            where=f"`{word}`",
            expected=_one_of(known, group),
            meant=[word.replace(name, other) for other in similar(name, known)],
            try_=None if group.startswith("hydra/") else f"amulet list {group}",
        )

    def _sweep_without_m(self, word: str) -> UsageError:
        key, _, value = word.partition("=")
        as_list = f"; a list is written {key}=[{value}]" if re.fullmatch(r"[^()\[\]{}]+", value) else ""
        return UsageError(
            f"`{word}` asks for several runs, but this is a single one",
            where=f"`{word}`",
            expected=f"-m for a sweep{as_list}",
            meant=[f"-m {word}"],
        )

    def _no_such_key(self, key: str) -> UsageError:
        word = next((w for w in self.words if w.lstrip("+~").partition("=")[0].partition("@")[0] == key), key)
        groups = self._groups()
        if key in groups:  # a group that no default mentions
            return UsageError(f"`{key}` is added to a run with a plus", where=f"`{word}`", meant=[f"+{word}"])
        parent, _, last = key.rpartition(".")
        option = next((w for w in reversed(self.words) if key_of(w) == parent), None)
        if key_of(word) not in self.typed:
            return self._not_of_the_experiment(key, option)
        without = [other for other in self.words if other != word]
        value = word.partition("=")[2]
        keys = list(settings(self.hydra, without, self.config_name))
        near = [k for k in keys if k.rpartition(".")[0] == parent and similar(last, [k.rpartition(".")[2]])]
        # A wrong name is usually similar to another one at the same level; otherwise its last part occurs elsewhere.
        near = near or [k for k in keys if k.rpartition(".")[2] == last]
        ranked = similar(key, near) or near[:3] or similar(key, [*keys, *groups])
        beside = [k.rpartition(".")[2] for k in keys if k.rpartition(".")[0] == parent]
        return UsageError(
            f"`{option}` has no setting `{last}`" if option else f"there is no `{key}` in this configuration",
            where=f"`{word}`",
            expected=f"one of {', '.join(beside)}" if parent and beside else None,
            meant=[f"{'+' if k == 'experiment' else ''}{k}={value}" if value else k for k in ranked],
            try_="amulet list" if not parent else f"amulet list {parent.partition('.')[0]}",
        )

    def _not_of_the_experiment(self, key: str, option: str | None) -> UsageError:
        """An experiment sweeps over a setting of its own option, and another was chosen."""
        experiment = next((w for w in self.words if key_of(w) == "experiment"), None)
        lacking = f"`{option}` lacks" if option else "is not in this configuration"
        return UsageError(
            f"`{experiment or 'the sweep'}` sweeps over `{key}`, which {lacking}",
            where=f"`{option}`" if option else None,
            expected="the options that the experiment is about, or an experiment file of your own: docs/experiments.md",
        )

    def _already_there(self, key: str) -> UsageError:
        word = next((w for w in self.words if w.startswith(f"+{key}=")), f"+{key}=")
        return UsageError(f"`{key}` is there already: no plus", where=f"`{word}`", meant=[word.lstrip("+")])

    def _groups(self) -> list[str]:
        from hydra.core.object_type import ObjectType

        groups = self.hydra.config_loader.get_group_options("", results_filter=ObjectType.GROUP)
        return [group for group in groups if group != "hydra"]

    def _options(self) -> Iterator[tuple[str, str]]:
        for group in self._groups():
            for option in self.hydra.config_loader.get_group_options(group):
                yield ("+experiment" if group == "experiment" else group), option


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _one_of(known: Sequence[str], group: str) -> str:
    """The options, unless there are too many to read: the panel says how to list them."""
    if not known or len(known) > _READABLE:
        return f"one of the {len(known)} options of `{group}`" if known else f"an option of `{group}`"
    return f"one of {', '.join(known)}"
