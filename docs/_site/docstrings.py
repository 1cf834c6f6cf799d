"""How the reference shows docstrings: a doctest as code, wherever in the docstring it stands."""

import re
from typing import Any

import griffe

DOCTEST = re.compile(r"^>>> .*\n?(?:^.+\n?)*", re.MULTILINE)


class Doctests(griffe.Extension):
    """Fences every doctest; outside a section of examples Markdown takes `>>>` for quotations."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for every module, class, function and attribute that is loaded."""
        if obj.docstring:
            obj.docstring.value = DOCTEST.sub(
                lambda found: f"```pycon\n{found[0].rstrip()}\n```\n", obj.docstring.value
            )
