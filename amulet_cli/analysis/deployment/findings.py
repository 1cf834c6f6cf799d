"""What was found about the served model: every number with its interval, its budget and what it is compared with."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from amulet.core import Factory, SettingError
from amulet.core.access import Access
from amulet.core.facts import AttackFacts, RunFacts
from amulet_cli.analysis.deployment.served import ANY
from amulet_cli.analysis.deployment.words import Clause, RiskWords, words
from amulet_cli.analysis.gate.measured import Measured, about_recipe, measured
from amulet_cli.analysis.gate.subjects import numbers_of, same_settings
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import metric_title, spaced
from amulet_cli.analysis.rows import Row, RunGroup
from amulet_cli.analysis.warnings import warnings_of
from amulet_cli.base.format_numbers import number
from amulet_cli.results.result import VICTIMS, Result

Standing = Literal["worse", "not worse", "unclear", "no interval", "not measured"]
"""Where the interval lies: beyond the baseline on the side of harm, at or before it, on both sides; or why not."""
_UTILITY = "utility"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One number about the served model."""

    risk: str
    """By name; `utility` for how good the answers are."""
    plain: str
    """The risk in plain words."""
    code: str
    """Its heading in results: `S1 evasion`."""
    metric: str
    about: str
    """Its subject: an attribute."""
    what: str
    """What the number is, in plain words."""
    title: str
    """What results call it."""
    attack: str
    who: str
    """What the attacker has, in plain words; empty where nobody attacks, or where its needs are not known."""
    attacked: bool
    """Whether somebody attacks."""
    budget: str
    """What it was allowed."""
    found: Measured
    before: float
    """The undefended model's number; NaN where the served model has no defence."""
    baseline: float
    without: str
    harm: str
    unit: str
    standing: Standing
    recipe: bool
    """Whether the number is about the recipe, and not about one trained model."""
    models: int
    """Trained models that were measured."""
    good: bool
    """Whether the number speaks for the model where it is better than its baseline: utility, and proofs."""
    remarks: tuple[str, ...]
    """What its measurement warned of."""
    clauses: tuple[Clause, ...]

    @property
    def fraction(self) -> bool:
        """Whether it is a share."""
        return self.unit == "fraction"

    def value(self) -> str:
        """The number alone."""
        return f"{_short(self.found.value, fraction=self.fraction)}{self._unit}"

    def interval(self) -> str:
        """From where to where; empty without an interval."""
        low, high = self.found.low, self.found.high
        if not (math.isfinite(low) and math.isfinite(high)):
            return ""
        return f"{_short(low, fraction=self.fraction)} to {_short(high, fraction=self.fraction)}{self._unit}"

    def base(self) -> str:
        """The baseline; empty where none is known."""
        return f"{_short(self.baseline, fraction=self.fraction)}{self._unit}" if math.isfinite(self.baseline) else ""

    def undefended(self) -> str:
        """The undefended model's number; empty where the served model has no defence."""
        return f"{_short(self.before, fraction=self.fraction)}{self._unit}" if math.isfinite(self.before) else ""

    @property
    def _unit(self) -> str:
        return "" if self.fraction or not self.unit else f" {self.unit}"


def findings_of(report: Report, cells: Sequence[RunGroup], victim: str) -> list[Finding]:
    """Every measurement that decides on its risk, and how good the answers are, each once; as tables order them."""
    chosen = {id(cell) for cell in cells}
    counted = [
        row
        for row in report.rows
        if id(row.cell) in chosen and _counts(row) and (row.values[victim] or _invalid(row, victim))
    ]
    rows = {numbers_of(row, victim): row for row in reversed(counted)}.values()
    rows = [row for row in rows if not any(_is_part(row, other, victim) for other in rows)]
    rows.sort(key=lambda row: row.cell.facts.order(row.metric))
    return [_finding(row, victim, [run for run in report.missing if same_settings(run, row.cell)]) for row in rows]


def _is_part(row: Row, other: Row, victim: str) -> bool:
    """Whether another row has all numbers of this one and more: a measurement stands beside several attacks' runs."""
    return (
        row.metric == other.metric
        and len(row.values[victim]) > 0
        and (row.values[victim].items() < other.values[victim].items())
    )


def worst_of(findings: Sequence[Finding]) -> list[Finding]:
    """Of several measurements of one thing the worst for the model, for each risk, metric and subject."""
    found: dict[tuple[str, ...], Finding] = {}
    for one in findings:
        key = one.risk, one.metric, one.about
        found[key] = min(found.get(key, one), one, key=_badness)
    return list(found.values())


def _badness(one: Finding) -> tuple[int, float]:
    """The worst first: a number with an interval before one without, and that before none."""
    place = {"no interval": 1, "not measured": 2}.get(one.standing, 0)
    sign = 1 if one.harm == "lower" else -1
    return place, sign * one.found.value if math.isfinite(one.found.value) else math.inf


def _counts(row: Row) -> bool:
    facts = row.facts
    return not facts.after and (
        facts.decides or (facts.risk == _UTILITY and facts.name in words().of(_UTILITY).metrics)
    )


def _invalid(row: Row, victim: str) -> bool:
    return any(run.invalid.get(victim, {}).get(row.metric) for run in row.cell.runs.values())


def _finding(row: Row, victim: str, unfinished: Sequence[Result]) -> Finding:
    facts, run_facts = row.facts, row.cell.facts
    told = words().of(facts.risk)
    attack = run_facts.attacks.get(facts.risk)
    every = measured(ANY, row, victim, unfinished)
    sign = -1 if facts.harm == "higher" else 1
    found = min(every, key=lambda one: sign * one.value if math.isfinite(one.value) else math.inf)
    baseline = row.baseline(victim)
    if found.seed is not None:
        baseline = row.cell.runs[found.seed].baseline(victim, row.metric)
    about = _about(facts.subject, run_facts)
    return Finding(
        risk=facts.risk,
        plain=told.plain or run_facts.heading(facts.risk),
        code=run_facts.heading(facts.risk),
        metric=facts.name,
        about=about,
        what=told.metric(facts, about),
        title=metric_title(facts, run_facts),
        attack=attack.title or attack.kind.rpartition(".")[2] if attack else "",
        who=words().adversary(needs_of(attack)) if attack and told.attacked else "",
        attacked=told.attacked,
        budget=_budget(told, row, victim, found.seed) or facts.at,
        found=found,
        before=_before(row, victim, found.seed),
        baseline=baseline,
        without=told.without(facts),
        harm=facts.harm,
        unit=facts.unit,
        standing=standing(found, baseline, facts.harm),
        recipe=about_recipe(row),
        models=len(row.cell.runs),
        good=facts.risk == _UTILITY or facts.verifies,
        remarks=warnings_of(row),
        clauses=told.clauses,
    )


def standing(found: Measured, baseline: float, harm: str) -> Standing:
    """Where an interval lies beside the baseline, which is taken as known.

    >>> standing(Measured(value=0.55, low=0.51, high=0.59), 0.5, "higher")
    'worse'
    >>> standing(Measured(value=0.55, low=0.49, high=0.61), 0.5, "higher")
    'unclear'
    """
    if found.missing:
        return "not measured"
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return "no interval"
    if not math.isfinite(baseline) or harm == "none":
        return "unclear"
    sign = 1 if harm == "higher" else -1
    best, worst = sorted((sign * (found.low - baseline), sign * (found.high - baseline)))
    return "worse" if best > 0 else "not worse" if worst <= 0 else "unclear"


def needs_of(attack: AttackFacts) -> Access:
    """What an attack needs of the victim, of a suite what any of its attacks does; nothing of one that is not here."""
    members = cast(Mapping[str, Any], attack.settings.get("attacks") or {})
    kinds = [str(one["class"]) for one in members.values() if isinstance(one, Mapping)] or [attack.kind]
    needs = Access(0)
    for kind in kinds:
        try:
            needs |= getattr(Factory(kind).load(), "needs", Access(0))
        except SettingError:  # a class of somebody else's that is not here
            continue
    return needs


def _budget(told: RiskWords, row: Row, victim: str, seed: int | None) -> str:
    run = row.cell.runs[seed] if seed is not None else row.cell.first
    attack = run.facts.attacks.get(row.facts.risk)
    kept = run.manifest.get(row.facts.risk)
    part = cast(Mapping[str, Any], kept).get(victim) if isinstance(kept, Mapping) else None
    measured_with = cast(Mapping[str, Any], part) if isinstance(part, Mapping) else {}
    return told.budget({**(attack.settings if attack else {}), **measured_with})


def _before(row: Row, victim: str, seed: int | None) -> float:
    if victim == VICTIMS[0]:
        return math.nan
    if seed is not None:
        return row.values[VICTIMS[0]].get(seed, math.nan)
    return row.summaries[VICTIMS[0]].mean


def _about(subject: Mapping[str, str], run: RunFacts) -> str:
    """The attribute that a number is about; other subjects, such as a score, are no matter of plain words."""
    return spaced(subject["attribute"]) if "attribute" in subject else ""


def _short(value: float, *, fraction: bool) -> str:
    return f"{100 * value:.1f}%" if fraction and math.isfinite(value) else number(value, fraction=fraction)


def clauses_by_framework(findings: Sequence[Finding]) -> Iterator[tuple[Clause, list[str]]]:
    """Every clause that some number bears on, with the risks, in the order of the frameworks."""
    known = words()
    found: dict[Clause, list[str]] = {one: ["all of this report"] for one in known.every}
    for one in findings:
        for clause in one.clauses if not one.found.missing else ():
            its = found.setdefault(clause, [])
            if one.plain not in its:
                its.append(one.plain)
    order = list(known.frameworks)
    yield from sorted(found.items(), key=lambda item: (order.index(item[0].framework), _natural(item[0].clause)))


def _natural(clause: str) -> list[tuple[str, int]]:
    """2.3 before 2.10, as documents order their clauses.

    >>> sorted(["MEASURE 2.10", "MEASURE 2.3"], key=_natural)
    ['MEASURE 2.3', 'MEASURE 2.10']
    """
    return [(words, int(number or 0)) for words, number in re.findall(r"(\D+)(\d*)", clause)]
