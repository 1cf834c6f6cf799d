"""`amulet completion`: what the Tab key offers, in bash and in zsh."""

import os
import re
from typing import TYPE_CHECKING

from amulet_cli.base.errors import UsageError
from amulet_cli.base.help import Page

if TYPE_CHECKING:
    from hydra._internal.hydra import Hydra

SUMMARY = "makes the Tab key complete commands, options and settings, in bash and zsh"
HELP = Page(
    usage="amulet completion bash|zsh",
    about="Prints a script for your shell. Evaluate it in the shell's start-up file, and Tab completes commands,\n"
    "groups, options and the settings of the options chosen before.",
    examples=(
        ("echo 'eval \"$(amulet completion bash)\"' >> ~/.bashrc", "bash"),
        ("echo 'eval \"$(amulet completion zsh)\"' >> ~/.zshrc", "zsh, after its compinit"),
    ),
    more="Then begin a new shell and try: amulet run defense=<Tab>",
)
_SHELLS = ("bash", "zsh")
_BASH = r"""_amulet_complete() {
    local line="${COMP_LINE:0:COMP_POINT}" IFS=$'\n'
    local word="${line##* }" breaks="${COMP_WORDBREAKS//[^=:@,]/}" done_part=""
    # Readline replaces only what follows the last of its word breaks: offer no more than that.
    [[ -n $breaks ]] && done_part="${word%"${word##*[$breaks]}"}"
    COMPREPLY=($(COMP_LINE="$line" amulet completion query 2>/dev/null))
    COMPREPLY=("${COMPREPLY[@]#"$done_part"}")
}
complete -o nospace -o default -F _amulet_complete amulet
"""
_ZSH = r"""_amulet_complete() {
    local -a found
    found=("${(@f)$(COMP_LINE="${(j: :)words[1,CURRENT-1]} $PREFIX" amulet completion query 2>/dev/null)}")
    found=(${found:#})
    if (( $#found )); then
        compadd -Q -S '' -- $found
    else
        _files
    fi
}
compdef _amulet_complete amulet
"""


def main(words: list[str]) -> int:
    """Print the script, or answer it: `query` reads the line so far from COMP_LINE."""
    import sys

    if words == ["query"]:
        sys.stdout.write("\n".join(candidates(os.environ.get("COMP_LINE", ""))))
        return 0
    if len(words) != 1 or words[0] not in _SHELLS:
        raise UsageError("`amulet completion` must be followed by the name of a shell", expected=" or ".join(_SHELLS))
    sys.stdout.write(_BASH if words[0] == "bash" else _ZSH)
    return 0


def candidates(line: str) -> list[str]:
    """What can stand for the last word of a command line; what is complete ends with a space.

    >>> candidates("amulet val")
    ['validate ']
    """
    from amulet_cli.commands import VERBS

    words = line.split(" ")[1:]  # as many spaces, as many empty words: the last is what is being typed
    words = [*(word for word in words[:-1] if word), *words[-1:]] or [""]
    *before, word = words
    if not before:
        return [f"{verb} " for verb in (*VERBS, "--help", "--version") if verb.startswith(word)]
    if before[0] == "completion":
        return [f"{shell} " for shell in _SHELLS if shell.startswith(word)]
    if before[0] == "list":
        from amulet_cli.commands.list import GROUPS

        return [f"{name} " for name in (*GROUPS, "--json", "--config-dir") if name.startswith(word)]
    if before[0] not in ("run", "validate", "audit") or before[-1] in ("--config-dir", "-cd"):
        return []  # the shell completes files
    if word.startswith("-"):
        flags = ("--multirun", "--config-dir", "--cfg", "--info", "--help")
        return [f"{flag} " for flag in flags if flag.startswith(word)]
    return _of_a_run(before[1:], word)


def _of_a_run(before: list[str], word: str) -> list[str]:
    """Groups, options and keys, as Hydra knows them."""
    from amulet_cli.config.arguments import parse
    from amulet_cli.config.hydra_setup import opened

    flags = [w for i, w in enumerate(before) if w.startswith("-") or (i and before[i - 1].startswith("-"))]
    arguments = parse([*flags, *(w for w in before if "=" in w and w not in flags)])
    # In a sweep the last of several values is being typed.
    head, comma, last = word.rpartition(",")
    if comma and "=" in head and "[" not in head:
        key = head.partition("=")[0]
        return [f"{head},{name.partition('=')[2]}" for name in _of_a_run(before, f"{key}={last}")]
    with opened(arguments.config_dir) as hydra:
        return _asked_of_hydra(hydra, [_first_value(w) for w in arguments.overrides], word)


def _asked_of_hydra(hydra: "Hydra", words: list[str], word: str) -> list[str]:
    from hydra._internal.core_plugins.bash_completion import BashCompletion
    from hydra.core.object_type import ObjectType
    from hydra.errors import HydraException

    plain = re.sub(r"^second_defense=", "defense=", word)
    plain = re.sub(r"^\+?(experiment=?)", r"\1", plain)
    asking = BashCompletion(hydra.config_loader)
    line = " ".join([*words, plain]) if plain else " ".join([*words, ""])
    try:
        found = asking._query(config_name="config", line=line)  # pyright: ignore[reportPrivateUsage]
    except HydraException:  # an earlier word is wrong: the groups can still be offered
        found = [f"{name}=" for name in hydra.config_loader.get_group_options("", ObjectType.GROUP)]
    offered = [name for raw in found if (name := _as_typed(raw, word))]
    lists = _lists(hydra, words) if any(name.endswith(".") for name in offered) else set[str]()
    offered = [f"{name[:-1]}=" if name[:-1] in lists else name for name in offered]
    if "=" not in word and "second_defense=".startswith(word):
        offered.append("second_defense=")
    return sorted(set(offered))


def _as_typed(name: str, word: str) -> str:
    """Hydra's suggestion in our words; empty if it is none of a user's business."""
    if name in ("hydra", "hydra.", "second_defense.") or ".about." in name or name.endswith("_target_="):
        return "hydra/" if name == "hydra" and word.startswith("h") else ""
    if name.startswith("experiment"):
        name = f"+{name}"  # added, not chosen: no run has one by default
    if word.startswith("second_defense="):
        name = re.sub(r"^defense=", "second_defense=", name)
    return name if name.endswith(("=", ".", "/")) else f"{name} "


def _lists(hydra: "Hydra", words: list[str]) -> set[str]:
    """The keys that hold lists: Hydra would offer their first element, and who wants that?"""
    from hydra.types import RunMode

    composed = hydra.compose_config("config", words, run_mode=RunMode.RUN)
    return {
        f"{group}.{key}"
        for group, node in composed.items()
        if group != "hydra" and hasattr(node, "items")
        for key, value in node.items()
        if type(value).__name__ == "ListConfig"
    }


def _first_value(word: str) -> str:
    """Of a sweep's values the first: which settings there are is asked of one job.

    >>> _first_value("defense=none,adv_training"), _first_value("metric=[utility,evasion]")
    ('defense=none', 'metric=[utility,evasion]')
    """
    key, equals, value = word.partition("=")
    return f"{key}={value.partition(',')[0]}" if equals and "[" not in value and "(" not in value else word
