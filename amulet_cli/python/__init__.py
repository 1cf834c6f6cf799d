"""Amulet in three lines of Python: the code of the command line, with objects instead of tables.

The library cannot import the runner, and a run in three lines needs its options, checks, store and views. So this is a
part of the runner, above its verbs. The bare package `amulet` names these functions, and imports them on first use.
"""

from amulet_cli.python.auditing import audit
from amulet_cli.python.results import Refused, Results, load_results
from amulet_cli.python.running import assess

__all__ = ["Refused", "Results", "assess", "audit", "load_results"]
