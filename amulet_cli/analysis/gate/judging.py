"""Runs judged by a policy: each limit passes, fails, is inconclusive or not measured."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Literal

from amulet.core.facts import MetricFacts
from amulet_cli.analysis.gate.measured import Measured, measured
from amulet_cli.analysis.gate.policy import Policy, Rule
from amulet_cli.analysis.gate.subjects import (
    Place,
    holds,
    is_about,
    is_attacked,
    nobody,
    numbers_of,
    place_of,
    rows_about,
    unfinished,
    victim_of,
    victims_of,
    why_not_measured,
)
from amulet_cli.analysis.gate.words import found_words
from amulet_cli.analysis.groups import Report, aggregate
from amulet_cli.analysis.names import row_title
from amulet_cli.analysis.rows import Row
from amulet_cli.base.errors import UsageError
from amulet_cli.results.result import Result

Outcome = Literal["pass", "fail", "inconclusive", "not measured"]
OUTCOMES: tuple[Outcome, ...] = ("fail", "not measured", "inconclusive", "pass")
"""The worst first."""
FAILED, UNDECIDED = 3, 4
"""Exit codes: a limit is broken; a limit could not be decided."""
_ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """One rule, held against one measurement of one victim."""

    rule: Rule
    outcome: Outcome
    reason: str
    """In words: the number, and why it passes or does not."""
    subject: str = ""
    """Which victim: `census · linearnet · adversarial training, defended`; empty where there is none."""
    setting: Mapping[str, str]
    """Dataset, model, defence and attack, and what was swept; empty where there is none."""
    metric: str = ""
    """Its whole name: `race.auc`."""
    title: str = ""
    victim: str = ""
    found: Measured
    fraction: bool = True
    blocks: bool
    """Whether it stands against a release: no warning, and nothing that the policy lets pass."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """All judgements of a policy."""

    policy: Policy
    judgements: tuple[Judgement, ...]

    @property
    def count(self) -> Mapping[str, int]:
        """Judgements by outcome, the worst first."""
        counted = Counter(one.outcome for one in self.judgements)
        return {outcome: counted[outcome] for outcome in OUTCOMES if counted[outcome]}

    @property
    def exit_code(self) -> int:
        """0 all pass, 3 a limit is broken, 4 one could not be decided."""
        blocking = {one.outcome for one in self.judgements if one.blocks}
        return FAILED if "fail" in blocking else UNDECIDED if blocking else 0


def judge_policy(policy: Policy, results: Sequence[Result]) -> Gate:
    """Hold every rule against every victim among some runs, finished or not.

    An interval within the limit passes, also where it touches it; one wholly beyond it fails; any other is
    inconclusive, and so is a number without an interval. Several models of one setting are judged one by one, and the
    worst counts. Trials (`--limit`) measure nothing.

    Raises:
        UsageError: a limit is no value that its metric can have.
    """
    report = aggregate([result for result in results if not result.trial])
    found = [one for rule in policy.rules for one in _judgements(policy, rule, report)]
    return Gate(policy=policy, judgements=tuple(found))


def within(rule: Rule, low: float, high: float) -> Outcome:
    """Where an interval lies.

    >>> within(Rule(id="a", metric="auc", at_most=0.6), 0.5, 0.6)
    'pass'
    >>> within(Rule(id="a", metric="auc", at_most=0.6), 0.55, 0.61)
    'inconclusive'
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return "inconclusive"
    sign = 1 if rule.at_most is not None else -1
    best, worst = sorted((sign * (low - rule.limit), sign * (high - rule.limit)))
    return "pass" if worst <= _ROUNDING else "fail" if best > _ROUNDING else "inconclusive"


def _judgements(policy: Policy, rule: Rule, report: Report) -> Iterator[Judgement]:
    victims = [cells for cells in victims_of(rule, report) if is_about(rule, cells)]
    rows_of = {cell: rows_about(rule, list(its)) for cell, its in groupby(report.rows, key=lambda row: id(row.cell))}
    if not victims:
        yield _judged(policy, rule, nobody(rule, report))
    for cells in victims:
        rows = [row for cell in cells for row in rows_of[id(cell)]]
        once: dict[str, Row] = {}
        for row in filter(partial(holds, rule), rows):
            once.setdefault(numbers_of(row, victim_of(rule, row.cell)), row)
        for row in once.values():
            _check_limit(rule, row.facts)
            yield _worst(policy, rule, row, report)
        if not once:
            place = place_of(cells[0], victim_of(rule, cells[0]), report, attack=False)
            yield _judged(policy, rule, Measured(missing=why_not_measured(rule, rows, cells, report)), place=place)


def _worst(policy: Policy, rule: Rule, row: Row, report: Report) -> Judgement:
    victim = victim_of(rule, row.cell)
    found = measured(rule, row, victim, unfinished(row.cell, report))
    place = place_of(row.cell, victim, report, attack=is_attacked(row))
    every = [_judged(policy, rule, one, row=row, place=place, models=len(found)) for one in found]
    sign = -1 if rule.at_most is not None else 1

    def badness(one: Judgement) -> tuple[int, float]:
        value = one.found.value
        return OUTCOMES.index(one.outcome), sign * value if math.isfinite(value) else -math.inf

    return min(every, key=badness)


def _judged(
    policy: Policy,
    rule: Rule,
    found: Measured,
    *,
    row: Row | None = None,
    place: Place = ("", {}, ""),
    models: int = 1,
) -> Judgement:
    outcome: Outcome = "not measured" if found.missing else within(rule, found.low, found.high)
    subject, setting, victim = place
    fraction = row.facts.fraction if row else True
    lenient = outcome == "inconclusive" and policy.on_inconclusive == "pass"
    return Judgement(
        rule=rule,
        outcome=outcome,
        reason=_reason(rule, outcome, found, fraction=fraction, models=models),
        subject=subject,
        setting=setting,
        metric=row.metric if row else rule.metric,
        title=row_title(row) if row else rule.metric,
        victim=victim,
        found=found,
        fraction=fraction,
        blocks=outcome != "pass" and rule.severity == "error" and not lenient,
    )


def _reason(rule: Rule, outcome: Outcome, found: Measured, *, fraction: bool, models: int) -> str:
    if outcome == "not measured":
        return found.missing
    number = found_words(rule, found, fraction=fraction)
    over = f"over {found.over}" if not found.lacks else found.lacks
    where = {"pass": "within", "fail": "beyond", "inconclusive": "on both sides of"}[outcome]
    text = f"{number}, {over}"
    if not found.lacks:
        text += f": {where} the limit"
    return f"{text} (seed {found.seed}, the worst of {models})" if models > 1 else text


def _check_limit(rule: Rule, facts: MetricFacts) -> None:
    if facts.range is None or not facts.fraction:
        return
    low, high = facts.range
    if rule.relative_to:
        low, high = low - high, high - low
    if not low <= rule.limit <= high:
        raise UsageError(
            f"The limit of rule `{rule.id}` must lie between {low:g} and {high:g}, got {rule.limit:g}",
            expected=f"{rule.metric} is a share: 0.8 stands for 80%",
        )
