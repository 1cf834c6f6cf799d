"""The one model that a report to hand on is about."""

from collections.abc import Sequence

from amulet_cli.analysis.gate.policy import Rule
from amulet_cli.analysis.gate.subjects import place_of, served, victims_of
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import option_names
from amulet_cli.analysis.rows import RunGroup
from amulet_cli.base.errors import UsageError

ANY = Rule(id="", metric="")
"""A limit on nothing: whichever victim would be served, and its numbers as they are."""


def served_model(report: Report) -> tuple[Sequence[RunGroup], str]:
    """The groups of runs that measured the model which would be served, and which victim it is in them.

    Raises:
        UsageError: the runs are about several models.
    """
    found = list(victims_of(ANY, report).values())
    if len(found) != 1:
        names = option_names(row.cell for row in report.rows)
        told = [place_of(cells[0], served(cells[0]), report, names, attack=False)[0] for cells in found]
        folders = [str(cells[0].first.folder.parents[2]) for cells in found]
        raise UsageError(
            f"A report to hand on is about one model, these runs are about {len(found)}: {'; '.join(told)}",
            expected="the folder of one model",
            meant=list(dict.fromkeys(folders))[:3],
        )
    return found[0], served(found[0][0])
