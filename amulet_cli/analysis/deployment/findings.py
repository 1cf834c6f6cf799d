"""What was found about the served model: every number with its interval, its budget and what it is compared with."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from amulet.core import Factory, SettingError
from amulet.core.access import Access
from amulet.core.facts import AttackFacts
from amulet_cli.analysis.deployment.words import Clause, words
from amulet_cli.analysis.gate.measured import Measured, about_recipe, measured
from amulet_cli.analysis.gate.policy import Rule
from amulet_cli.analysis.gate.subjects import numbers_of, unfinished
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import metric_title, spaced
from amulet_cli.analysis.rows import Row, RunGroup, described
from amulet_cli.analysis.warnings import warnings_of
from amulet_cli.base.format_numbers import number
from amulet_cli.results.result import VICTIMS

Standing = Literal["worse", "not worse", "unclear", "no interval", "not measured"]
"""Where the interval lies: beyond the baseline on the side of harm, at or before it, on both sides; or why not."""
ANY = Rule(id="", metric="")
"""A limit on nothing: whichever victim would be served, and its numbers as they are."""
UTILITY = "utility"


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

    def shown(self, *values: float) -> str:
        """Such a number, or from where to where; empty where one of them is not known."""
        if not all(map(math.isfinite, values)):
            return ""
        texts = (f"{100 * value:.1f}%" if self.fraction else number(value, fraction=False) for value in values)
        return " to ".join(texts) + ("" if self.fraction or not self.unit else f" {self.unit}")

    def value(self) -> str:
        """The number alone; empty where it was not measured."""
        return self.shown(self.found.value)

    def interval(self) -> str:
        """From where to where; empty without an interval."""
        return self.shown(self.found.low, self.found.high)

    def base(self) -> str:
        """The baseline; empty where none is known."""
        return self.shown(self.baseline)


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
    return [_finding(row, victim, measured(ANY, row, victim, unfinished(row.cell, report))) for row in rows]


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
    return not facts.after and (facts.decides or (facts.risk == UTILITY and facts.name in words().of(UTILITY).metrics))


def _invalid(row: Row, victim: str) -> bool:
    return any(run.invalid.get(victim, {}).get(row.metric) for run in row.cell.runs.values())


def _finding(row: Row, victim: str, every: Sequence[Measured]) -> Finding:
    facts, run_facts = row.facts, row.cell.facts
    told = words().of(facts.risk)
    attack = run_facts.attacks.get(facts.risk)
    sign = -1 if facts.harm == "higher" else 1
    found = min(every, key=lambda one: sign * one.value if math.isfinite(one.value) else math.inf)
    run = row.cell.first if found.seed is None else row.cell.runs[found.seed]
    baseline = row.baseline(victim) if found.seed is None else run.baseline(victim, row.metric)
    before = row.summaries[VICTIMS[0]].mean if found.seed is None else row.values[VICTIMS[0]].get(found.seed, math.nan)
    settings = {**(attack.settings if attack else {}), **described(run, facts.risk, victim)}
    about = spaced(facts.subject.get("attribute", ""))  # other subjects, as a score, are no matter of plain words
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
        budget=told.budget(settings) or facts.at,
        found=found,
        before=math.nan if victim == VICTIMS[0] else before,
        baseline=baseline,
        without=told.without(facts),
        harm=facts.harm,
        unit=facts.unit,
        standing=standing(found, baseline, facts.harm),
        recipe=about_recipe(row),
        models=len(row.cell.runs),
        good=facts.risk == UTILITY or facts.verifies,
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


def clauses_by_framework(findings: Sequence[Finding]) -> Iterator[tuple[Clause, tuple[str, ...]]]:
    """Every clause that some number bears on, with the risks, in the order of the frameworks."""
    known = words()
    found = {clause: {"all of this report": None} for clause in known.every}
    for one in findings:
        for clause in one.clauses if not one.found.missing else ():
            found.setdefault(clause, {})[one.plain] = None
    order = list(known.frameworks)
    for clause in sorted(found, key=lambda one: (order.index(one.framework), _natural(one.clause))):
        yield clause, tuple(found[clause])


def _natural(clause: str) -> list[tuple[str, int]]:
    """2.3 before 2.10, as documents order their clauses.

    >>> sorted(["MEASURE 2.10", "MEASURE 2.3"], key=_natural)
    ['MEASURE 2.3', 'MEASURE 2.10']
    """
    return [(words, int(number or 0)) for words, number in re.findall(r"(\D+)(\d*)", clause)]
