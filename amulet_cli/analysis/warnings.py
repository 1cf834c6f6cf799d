"""What must be read beside a number: what its measurement warned of, and what the literature expects."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, TypeVar

from amulet.assessment.literature import expected
from amulet_cli.analysis.rows import Row, described
from amulet_cli.results.result import VICTIMS

if TYPE_CHECKING:
    from amulet.assessment.literature import Expectation

_Place = TypeVar("_Place")


def expectation_of(row: Row) -> "Expectation | None":
    """The literature's word on the defence and the risk of a row; it says nothing of two defences at once."""
    facts = row.cell.facts
    if len(facts.defenses) != 1 or row.facts.risk not in facts.risks:
        return None
    return expected(facts.defenses[0].family, facts.risks[row.facts.risk].code)


def warnings_of(row: Row) -> tuple[str, ...]:
    """A large error, and what the risk's measurement warned of, with the number of seeds it did so on."""
    found = row.large_errors
    every_value = {value for values in row.values.values() for value in values.values()}
    if row.facts.fraction and len(every_value) == 1 and (limit := every_value.pop()) in (0.0, 1.0):
        found.append(f"both victims are at {100 * limit:.0f}% on every seed: a difference in strength cannot show here")
    n, risk = len(row.cell.runs), row.facts.risk
    warned = (
        ("", text, seed)
        for seed, run in row.cell.runs.items()
        for victim in VICTIMS
        for text in described(run, risk, victim).get("warnings", ())
        if _concerns(text, row)
    )
    texts = (text if n == 1 else f"{text} ({len(seeds)} of {n} seeds)" for _, text, seeds in gathered(warned))
    return (*found, *texts)


def _concerns(text: str, row: Row) -> bool:
    """Whether a warning is about the metric: not if it names other attributes alone."""
    facts = row.cell.facts.metrics.values()
    attributes = {
        one.subject["attribute"]
        for one in facts
        if one.risk == row.facts.risk and one.decides and "attribute" in one.subject
    }
    named = {name for name in attributes if re.search(rf"\b{re.escape(name)}\b", text)}
    return not named or row.facts.subject.get("attribute") in named


def _pattern(text: str) -> str:
    """A warning without its numbers: texts that differ in these alone are one.

    >>> _pattern("the trigger is in 12.5% of 300 records")
    'the trigger is in #% of # records'
    """
    return re.sub(r"\d+(?:\.\d+)?(?:e-?\d+)?", "#", text)


def gathered(texts: Iterable[tuple[str, str, _Place]]) -> list[tuple[str, str, list[_Place]]]:
    """Texts about one thing that differ only in numbers once, in the words of the first, with all their places."""
    found: dict[tuple[str, str], tuple[str, dict[_Place, None]]] = {}
    for about, text, place in texts:
        found.setdefault((about, _pattern(text)), (text, {}))[1][place] = None
    return [(about, text, list(places)) for (about, _), (text, places) in found.items()]
