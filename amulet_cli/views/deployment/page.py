"""A report to hand on as one HTML file that prints well."""

from amulet import __version__
from amulet_cli.analysis.deployment.handout import Handout
from amulet_cli.analysis.deployment.words import words
from amulet_cli.base.format_numbers import number
from amulet_cli.views.deployment import plain
from amulet_cli.views.gate.table import verdicts
from amulet_cli.views.html.glossary import glossary
from amulet_cli.views.html.rendering import asset, template


def deployment_page(made: Handout, *, command: str = "", date: str = "") -> str:
    """The page as text. It loads nothing, and its first page has no word of code.

    Args:
        made: what it says.
        command: what makes this page again.
        date: when it was made; empty: not said.
    """
    return template("deployment.html").render(
        version=__version__,
        made=made,
        title=plain.title(made),
        lead=plain.lead(made),
        limits=plain.limits(made),
        tested=list(plain.tested(made)),
        risks=plain.plain_risks(made),
        attackers=list(plain.attackers(made)),
        untested=list(plain.untested(made)),
        sureness=list(plain.sureness(made)),
        verdicts=verdicts(made.gate) if made.gate else None,
        frameworks=words().frameworks,
        share=number,
        capital=plain.capital,
        terms=[(term, meaning) for name, its in glossary() if name != "Verdicts" for term, meaning in its],
        command=command,
        date=date,
        style=asset("deployment.css"),
    )
