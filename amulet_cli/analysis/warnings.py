"""What must be read beside a number: what its measurement warned of, and what the literature expects."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from amulet.assessment.literature import expected
from amulet_cli.analysis.rows import Row
from amulet_cli.results.result import VICTIMS, Result

if TYPE_CHECKING:
    from amulet.assessment.literature import Expectation


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
    runs = list(row.cell.runs.values())
    return (*found, *_counted([[text for text in _warned(run, row) if _concerns(text, row)] for run in runs]))


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


def _warned(run: Result, row: Row) -> Iterator[str]:
    """What the measurement of the row's risk warned of."""
    kept = run.manifest.get(row.facts.risk)
    for victim in VICTIMS:
        part = cast(Mapping[str, Any], kept).get(victim) if isinstance(kept, Mapping) else None
        if isinstance(part, Mapping):
            yield from cast(Mapping[str, Any], part).get("warnings", ())


def pattern(text: str) -> str:
    """A warning without its numbers: texts that differ in these alone are one.

    >>> pattern("the trigger is in 12.5% of 300 records")
    'the trigger is in #% of # records'
    """
    return re.sub(r"\d+(?:\.\d+)?(?:e-?\d+)?", "#", text)


def _counted(warnings: Sequence[Sequence[str]]) -> Iterator[str]:
    """Texts that differ only in numbers once, with how many of the runs have them."""
    seen: dict[str, tuple[str, int]] = {}
    for of_run in warnings:
        for kind, text in {pattern(text): text for text in of_run}.items():
            first, count = seen.get(kind, (text, 0))
            seen[kind] = first, count + 1
    for text, count in seen.values():
        yield text if len(warnings) == 1 else f"{text} ({count} of {len(warnings)} seeds)"
