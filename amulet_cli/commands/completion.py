"""`amulet completion`: the Tab key in bash, zsh and fish."""

import os
import shlex
import sys
from pathlib import Path

from amulet_cli.base.errors import UsageError
from amulet_cli.base.flags import CommandLine
from amulet_cli.commands import VERBS, load, overview

_SHELLS = ("bash", "zsh", "fish")


def command_line() -> CommandLine:
    """A shell."""
    return CommandLine(
        """
        amulet completion [bash | zsh | fish]

        Prints a script for your shell. Evaluate it in the shell's start-up file, and Tab completes commands, groups,
        options and the settings of the options chosen before.

        Examples:
        echo 'eval "$(amulet completion bash)"' >> ~/.bashrc  bash
        echo 'eval "$(amulet completion zsh)"' >> ~/.zshrc  zsh, after its compinit
        echo 'amulet completion fish | source' >> ~/.config/fish/config.fish  fish

        Then begin a new shell and try: amulet run defense=<Tab>
        """,
        words=_SHELLS,
    )


def main(words: list[str]) -> int:
    """Print the script, or answer it: `query` reads the line so far from COMP_LINE."""
    if words == ["query"]:
        sys.stdout.write("".join(f"{found}\n" for found in candidates(os.environ.get("COMP_LINE", ""))))
        return 0
    shells, _ = command_line().parse(words)
    if len(shells) != 1 or shells[0] not in _SHELLS:
        expected = ", ".join(_SHELLS)
        raise UsageError("`amulet completion` must be followed by the name of a shell", expected=expected)
    sys.stdout.write(Path(__file__).with_name("shells").joinpath(f"amulet.{shells[0]}").read_text("utf-8"))
    return 0


def candidates(line: str) -> list[str]:
    """What can stand for the last word of a command line; what is complete ends with a space.

    >>> candidates("amulet val")
    ['validate ']
    """
    typed, _, word = line.rpartition(" ")
    try:
        before = shlex.split(typed)[1:]
    except ValueError:  # a quotation mark that is still open
        before = typed.split()[1:]
    if not before:
        return overview().candidates(before, word)
    return load(before[0]).command_line().candidates(before[1:], word) if before[0] in VERBS else []
