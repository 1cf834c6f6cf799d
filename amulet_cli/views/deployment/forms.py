"""The forms of a report to hand on: on the console, as a page, as PDF, as a model card."""

from collections.abc import Callable, Iterator, Mapping

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from amulet_cli.analysis.deployment.handout import Handout
from amulet_cli.views.deployment import plain
from amulet_cli.views.deployment.card import model_card
from amulet_cli.views.deployment.page import deployment_page
from amulet_cli.views.deployment.pdf import as_pdf

_STYLES = {"found": "bold red", "worse than chance": "bold red", "not found": "green", "better than chance": "green"}


def deployment_forms(
    made: Handout, *, command: str, date: str
) -> Mapping[str, Callable[[], str] | Callable[[], bytes]]:
    """By the name of the flag that writes it."""
    return {
        "html": lambda: deployment_page(made, command=command, date=date),
        "pdf": lambda: as_pdf(deployment_page(made, command=command, date=date)),
        "model-card": lambda: model_card(made, date=date),
    }


def deployment_text(made: Handout) -> RenderableType:
    """The first page, for the console."""
    return Group(*_lines(made))


def _lines(made: Handout) -> Iterator[RenderableType]:
    yield Text(plain.title(made), style="bold")
    yield Text(plain.lead(made))
    if limits := plain.limits(made):
        yield Text(f"Limits. {limits}")
    for risk in plain.plain_risks(made):
        yield Text.assemble("\n", (risk.name, "bold"), "  ", (risk.word, _STYLES.get(risk.word, "yellow")))
        for line in risk.lines:
            yield Padding(Text(plain.sentence(*line)), (0, 0, 0, 2))
        yield from (Padding(Text(one, style="dim"), (0, 0, 0, 2)) for one in risk.attackers)
    for heading, texts in (("Not tested", plain.untested(made)), ("How sure this is", plain.sureness(made))):
        yield Text(f"\n{heading}", style="bold")
        yield from (Padding(Text(text), (0, 0, 0, 2)) for text in texts)
