"""Trials, `--limit N`: any command with few records, few epochs and the least work of each attack and defence.

`trial=N` in the configuration stands for all of it, and marks what comes out of it.
"""

from collections.abc import Mapping
from typing import Any, cast

from amulet_cli.base.errors import UsageError

FLAG = "--limit"
LEAST = 20
"""Records that a data set can be cut down to."""
_ENOUGH = {"epochs": 8, "batch_size": 64}
"""With so little training a model of some hundred records still learns something, which attacks need to work on."""


def word(value: str) -> str:
    """The override that the flag stands for.

    Raises:
        UsageError: it is not followed by a number of records.
    """
    if not value.isdecimal() or int(value) < LEAST:
        raise UsageError(
            f"`{FLAG}` must be a number of records, at least {LEAST}; got {value}", expected=f"{FLAG} 1000"
        )
    return f"++trial={int(value)}"


def shrunk(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with the data and epochs of its trial, if it is one; components shrink when they are built."""
    most = config.get("trial")
    if not isinstance(most, int):
        return dict(config)
    changed = dict(config)
    data: Any = config.get("dataset")
    if isinstance(data, Mapping) and (limit := cast(Mapping[str, Any], data).get("limit", "")) != "":
        changed["dataset"] = {**data, "limit": min(most, limit) if isinstance(limit, int) else limit or most}
    for key, enough in _ENOUGH.items():
        if isinstance(given := config.get(key), int):
            changed[key] = min(given, enough)
    return changed


def announced(config: Mapping[str, Any]) -> str:
    """What is less than it would be, in a line; empty if nothing is."""
    if not config.get("trial"):
        return ""
    cut = "limit" in config["dataset"]
    few = f"{config['trial']:,} records" if cut else "all records, for its loader has no `limit`"
    return f"{few}, {config['epochs']} epochs, the least of each attack: it shows that a command works, and no more"
