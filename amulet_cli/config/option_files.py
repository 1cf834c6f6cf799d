"""The YAML files of options: read only if they are files of a sensible size, and what is wrong with them in words."""

from pathlib import Path
from typing import Any

import yaml

from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import read_bytes
from amulet_cli.base.serialize import TooMuchYaml, from_yaml

_LARGEST = 1 << 20  # bytes of an option


def read_option(file: Path) -> Any:
    """What the file of an option holds.

    Raises:
        UsageError: it is no YAML, no file, or more than an option can be.
    """
    try:
        return from_yaml(read_bytes(file, _LARGEST).decode())
    except OSError as error:
        raise UsageError(f"`{file}` cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"`{file}` cannot be read: it is no text in UTF-8", where=f"byte {error.start}") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or " ".join(str(error).split())
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
        raise UsageError(f"`{file}` cannot be read: {problem}", where=place, expected="YAML") from error


def refuse_endless(file: Path) -> None:
    """Raise `UsageError` for a file that would take all time or memory, or is none.

    Anything else that is wrong with it shows when it is used.
    """
    try:
        read_option(file)
    except UsageError as error:
        if isinstance(error.__cause__, (OSError, TooMuchYaml)):
            raise
