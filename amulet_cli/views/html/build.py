"""Putting the page together: everything is computed here, the template only says where it stands."""

import base64
import hashlib
from collections.abc import Sequence
from itertools import groupby

from amulet import __version__
from amulet.assessment.literature import SOURCE
from amulet_cli.analysis import findings
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import named, setting_name
from amulet_cli.analysis.origins import environments
from amulet_cli.analysis.outcomes import symbol
from amulet_cli.base import format_numbers
from amulet_cli.base.console import here
from amulet_cli.results.result import Result
from amulet_cli.views.figures.catalogue import drawings
from amulet_cli.views.html import figures, provenance
from amulet_cli.views.html.glossary import glossary
from amulet_cli.views.html.rendering import asset, template
from amulet_cli.views.html.tables import sections_of
from amulet_cli.views.registry import views

_MOST_ROWS = 4000
"""Beyond these the page keeps to the metrics that decide; the CSV has them all."""
_MOST_FINDINGS, _FEW_FINDINGS = 60, 12  # in the open, of those that say that a risk moves, and of the others


def html_report(report: Report, results: Sequence[Result], *, command: str = "", date: str = "") -> str:
    """The whole page as text: one file that needs no other and asks nothing of any network.

    Args:
        report: from `aggregate`.
        results: the runs it was made from, for figures and the paper's tables.
        command: what makes this page again.
        date: when it was made; empty: not said.
    """
    from amulet.assessment.verdict import MIN_SEEDS

    every_metric = len(report.rows) <= _MOST_ROWS
    found = findings.findings(report)
    script = asset("report.js")
    sections = sections_of(report, every_metric=every_metric)
    config, others = provenance.configurations(report)
    names = report.names
    return template("report.html").render(
        version=__version__,
        question=findings.question(report),
        set_up=provenance.set_up(report),
        tally=findings.tally(found),
        findings=[(word, list(its)) for word, its in groupby(found, key=lambda one: one.outcome)],
        most_findings=_MOST_FINDINGS,
        few_findings=_FEW_FINDINGS,
        tested=report.tested,
        min_seeds=MIN_SEEDS,
        literature=findings.literature(report),
        literature_source=SOURCE,
        more=[section for view in views() if view.section and (section := view.section(results))],
        sections=sections,
        models=groupby(sections, key=lambda one: one.model),
        every_metric=every_metric,
        shown=figures.drawn(drawings(report, results), names),
        notes=report.notes,
        missing=[(run.standing, here(run.folder), run.reason) for run in report.missing],
        commands=provenance.commands(report),
        command=command,
        date=date,
        glossary=glossary(),
        versions=environments(report.runs),
        config=config,
        others=[(named(name, names), differ) for name, differ in others],
        first=named(setting_name(report.cells[0].labels), names),
        plural=format_numbers.plural,
        symbol=symbol,
        style=asset("report.css"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )
