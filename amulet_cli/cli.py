"""`amulet <verb>`: finds the verb's module and hands over.

A verb is a module of `amulet_cli.commands` with a `SUMMARY` (one line), a `HELP` page and ``main(words) -> int``. To
add one, write the module, importing heavy libraries only within functions, and name it in `VERBS` there.
"""

import importlib
import os
import sys
from typing import Protocol, cast

from amulet import __version__
from amulet_cli.base import help as pages
from amulet_cli.base.errors import INTERRUPTED, MISTAKE, UsageError, alike, as_usage_error, exit_code, show
from amulet_cli.commands import VERBS


class Verb(Protocol):
    """What the module of a verb offers."""

    SUMMARY: str
    HELP: pages.Page

    def main(self, words: list[str]) -> int:
        """Carry it out; the exit code."""
        ...


def main(argv: list[str] | None = None) -> int:
    """Run one command; the exit code: 0 fine, 1 something failed, 2 the command is wrong, 130 Ctrl-C."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _dispatch(words)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `amulet list | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        known = as_usage_error(error)
        if known is None:
            raise
        show(known)
        return exit_code(error)


def _dispatch(words: list[str]) -> int:
    first = words[0] if words else "--help"
    if first in ("--help", "-h", "help"):
        if len(words) > 1 and words[1] in VERBS:
            return _dispatch([words[1], "--help"])
        pages.show(_overview())
        return 0
    if first in ("--version", "-V"):
        from amulet_cli.base.console import out

        out.print(f"amulet {__version__}")
        return 0
    if first == "--cite":
        from amulet_cli.base.console import out
        from amulet_cli.commands.cite import cite

        out.print(cite(), markup=False, highlight=False, soft_wrap=True)
        return 0
    if first not in VERBS:
        show(_unknown(first, words))
        return MISTAKE
    verb = _load(first)
    if pages.asked(words[1:]):
        pages.show(verb.HELP)
        return 0
    return verb.main(words[1:])


def _load(verb: str) -> Verb:
    return cast(Verb, importlib.import_module(f"amulet_cli.commands.{verb}"))


def _unknown(word: str, words: list[str]) -> UsageError:
    if "=" in word or word in ("-m", "--multirun"):
        return UsageError("a command begins with what to do", meant=[" ".join(["amulet run", *words])])
    near = [f"amulet {verb}" for verb in alike(word, VERBS)]
    return UsageError(f"`{word}` is not a command", expected=", ".join(VERBS), meant=near, try_="amulet --help")


def _overview() -> pages.Page:
    return pages.Page(
        usage="amulet <command> ...",
        about="Amulet measures what a machine-learning defence does to risks that it was not made for: it trains a\n"
        "model without and with the defence, attacks both, and says what changed.",
        sections=(
            ("Commands", tuple((verb, _load(verb).SUMMARY) for verb in VERBS)),
            (
                "Options",
                (
                    ("-h, --help", "this page; of a command: amulet run --help"),
                    ("--version", "the version"),
                    ("--cite", "how to cite Amulet and the paper, as BibTeX"),
                ),
            ),
        ),
        examples=(
            (
                "amulet run defense=adv_training attack=model_extraction",
                "does adversarial training make a model easier to steal? About a minute",
            ),
            ("amulet run -m defense=adv_training defense.epsilon=0.01,0.03,0.1", "a sweep: one run for each value"),
            ("amulet list", "the data sets, models, defences and attacks to choose from"),
            ("amulet report outputs", "all results so far as one table"),
        ),
        more="Tab completion: amulet completion --help",
    )


if __name__ == "__main__":
    sys.exit(main())
