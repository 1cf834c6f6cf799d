"""Command lines of the verbs that take folders and flags; mistakes become panels."""

import argparse
import re
from typing import NoReturn

from amulet_cli.base.errors import UsageError, alike


class Options(argparse.ArgumentParser):
    """An argument parser without pages and exits of its own: `help.Page` and `UsageError` do that better."""

    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"amulet {verb}", add_help=False, allow_abbrev=False)
        self.verb = verb

    def error(self, message: str) -> NoReturn:
        """Raise what the dispatcher shows."""
        unknown = re.match(r"unrecognized arguments: (\S+)", message)
        flags = [flag for action in self._actions for flag in action.option_strings]
        try_ = f"amulet {self.verb} --help"
        if unknown:
            word = unknown[1]
            raise UsageError(f"`{word}` is no flag of `{self.prog}`", meant=alike(word, flags), try_=try_)
        wrong = re.match(r"argument (\S+?): (.*)", message)
        text = f"`{wrong[1].split('/')[0]}`: {wrong[2]}" if wrong else message
        raise UsageError(text, try_=try_)
