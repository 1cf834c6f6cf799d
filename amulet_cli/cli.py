"""`amulet <verb>`: finds the verb's module and hands over. To add a verb, see `amulet_cli.commands`."""

import os
import sys

from amulet import __version__
from amulet_cli.base import help as pages
from amulet_cli.base.console import Unwritable, abandon, out, steady
from amulet_cli.base.errors import (
    FAILURE,
    INTERRUPTED,
    MISTAKE,
    TRACEBACK,
    UsageError,
    as_usage_error,
    exit_code,
    show,
    similar,
    unexpected,
)
from amulet_cli.commands import VERBS, load, overview


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code: 0 fine, 1 something failed, 2 the command is wrong, 130 Ctrl-C.

    `amulet gate` adds 3, a limit is broken, and 4, a limit could not be decided.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    steady()
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `amulet list | head`: the reader has seen enough
        abandon(sys.stdout.fileno())
        return 0
    except Unwritable as error:
        return _full(str(error))
    except Exception as error:
        if isinstance(error, OSError) and not _flushes():
            return _full(error.strerror or str(error))
        known = as_usage_error(error)
        if (known is None or known.code) and os.environ.get(TRACEBACK):
            raise
        show(known or unexpected(error))
        return exit_code(error)


def _flushes() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _full(why: str) -> int:
    """Standard output takes no more: say so once, and let the rest go nowhere."""
    show(UsageError(f"standard output cannot be written: {why}", title="This cannot be shown"))
    abandon(sys.stdout.fileno())
    return FAILURE


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        if len(words) > 1:
            return _dispatch([words[1], "--help"])
        pages.show(overview())
        return 0
    if first in ("--version", "-V"):
        out.print(f"amulet {__version__}")
        return 0
    if first == "--cite":
        from amulet_cli.commands.cite import cite

        out.print(cite(), markup=False, highlight=False, soft_wrap=True)
        return 0
    if first not in VERBS:
        show(_unknown(first, words))
        return MISTAKE
    verb = load(first)
    if {"--help", "-h"}.intersection(words):
        pages.show(verb.command_line())
        return 0
    return verb.main(words[1:])


def _unknown(word: str, words: list[str]) -> UsageError:
    if "=" in word or word in ("-m", "--multirun"):
        return UsageError("a command begins with what to do", meant=[" ".join(["amulet run", *words])])
    near = [f"amulet {verb}" for verb in similar(word, VERBS)]
    return UsageError(f"`{word}` is not a command", expected=", ".join(VERBS), meant=near, try_="amulet --help")


if __name__ == "__main__":
    sys.exit(main())
