"""What was found, in sentences: what was asked, the verdicts, and apart from them what the literature expects."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from amulet.core.risk import code_order
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.outcomes import ORDER, UNCERTAIN, symbol
from amulet_cli.analysis.rows import Row
from amulet_cli.analysis.warnings import expectation_of, warnings_of
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text

if TYPE_CHECKING:
    from amulet.assessment.literature import Expectation
    from amulet.assessment.verdict import Verdict

_SEVERAL = 4  # names that a sentence can carry


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about one deciding metric."""

    outcome: str
    mark: str
    risk: str
    setting: str
    text: str
    asked: bool
    """Whether it is about the risk that was attacked, and not only about the defence's own."""
    size: float
    """By which findings of one verdict are ordered, the largest first."""
    warnings: tuple[str, ...] = ()
    """What the risk's measurement warned of: why the number may not carry its claim."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One pair of defence and risk: measured here, and expected by the literature."""

    defense: str
    family: str
    risk: str
    measured: str
    direction: str
    note: str


def question(report: Report) -> str:
    """What these runs ask, as a sentence.

    >>> question(Report(rows=(), keys=()))
    'What does nothing do to the risks of a model?'
    """
    labels = [row.cell.labels for row in report.rows]
    defenses = [name for name in _distinct(labels, "defense") if name != "none"]
    risks = _risks(report)
    does = "does" if len(defenses) < 2 else "do"
    where = f"{_several(_distinct(labels, 'model'), 'models')} on {_several(_distinct(labels, 'dataset'), 'data sets')}"
    if not labels:
        where = "a model"
    if not defenses and labels:
        return f"What are the risks of {where} without a defence?"
    to = _several(risks, "risks") if risks else "the risks"
    return f"What {does} {_several(defenses, 'defences') if defenses else 'nothing'} do to {to} of {where}?"


def findings(report: Report) -> list[Finding]:
    """A sentence for each metric that decides on its risk, the certain and the large first."""
    keys = [key for key in report.telling if key != "metric"]
    judged: dict[int, list[Row]] = {}
    for row in report.rows:
        if row.verdict is not None:  # one measurement in several settings has one verdict
            judged.setdefault(id(row.verdict), []).append(row)
    found = [_finding(rows, keys) for rows in judged.values()]
    return sorted(found, key=lambda one: (ORDER.index(one.outcome), not one.asked, -one.size))


def tally(found: Sequence[Finding]) -> str:
    """How many of each verdict: `4 comparisons: in 3 the risk rises, in 1 it falls`."""
    count = Counter(one.outcome for one in found)
    words = {
        "rises": "the risk rises",
        "falls": "it falls",
        "equivalent": "the change is too small to count",
        "no evidence": "there is no evidence",
        "cannot show": "the numbers cannot show an effect",
        "not measurable": "there is nothing to measure",
        "unchanged by construction": "nothing can change",
        UNCERTAIN: "there are too few seeds for a verdict",
    }
    parts = [f"in {count[word]} {words[word]}" for word in ORDER if count[word]]
    return f"{format_numbers.plural(len(found), 'comparison')}: {', '.join(parts)}" if found else ""


def literature(report: Report) -> list[Expected]:
    """Measured here beside expected, for each pair of a defence and a risk."""
    pairs: dict[tuple[str, str], tuple[list[str], Expectation]] = {}
    seen: set[int] = set()
    for row in report.rows:
        if row.verdict is None or id(row.verdict) in seen:
            continue
        seen.add(id(row.verdict))
        risk = row.cell.facts.heading(row.facts.risk)
        expectation = expectation_of(row)
        if expectation is not None:
            key = (as_text(row.cell.labels["defense"]), risk)
            pairs.setdefault(key, ([], expectation))[0].append(row.verdict.outcome)
    return [
        Expected(
            defense=defense,
            family=expectation.family,
            risk=risk,
            measured=_measured(words),
            direction=expectation.direction,
            note=expectation.note,
        )
        for (defense, risk), (words, expectation) in pairs.items()
    ]


def _measured(words: Sequence[str]) -> str:
    count = Counter(words)
    if len(count) == 1:
        return words[0]
    return ", ".join(f"{word} ({count[word]} of {len(words)})" for word in ORDER if count[word])


def _finding(rows: Sequence[Row], keys: Sequence[str]) -> Finding:
    info = rows[0].facts
    row = next((row for row in rows if row.cell.facts.attacked == info.risk), rows[0])
    verdict = cast("Verdict", row.verdict)
    change = verdict.change
    fraction = info.fraction
    labels = row.cell.labels
    more = [f"{key} {as_text(labels.get(key))}" for key in keys if key != "defense" and as_text(labels.get(key))]
    others = [f"beside {len(rows)} attacks"] if len(rows) > 1 else []
    more = [word for word in more if not (others and word.startswith("attack "))]
    setting = ", ".join((as_text(labels["defense"]), *more, *others))
    moved = format_numbers.change(change.mean, fraction=fraction)
    span = format_numbers.interval(change.low, change.high, fraction=fraction, signed=True)
    means = [format_numbers.number(row.summaries[v].mean, fraction=fraction) for v in ("undefended", "defended")]
    unit = " points" if fraction else ""
    name = f"{row.metric} at {info.at}" if info.at else row.metric
    text = f"{name} goes from {means[0]} to {means[1]}: {moved}{unit}"
    text += f", 95% interval {span}, over {format_numbers.plural(change.n, 'seed')}" if span else " on one seed"
    if not math.isnan(verdict.p_value):
        text += f" (p {verdict.p_value:.2g}, Holm-corrected)"
    if verdict.outcome == "unchanged by construction":
        text = f"{row.metric} stays at {means[0]}: the defence alters no weight"
    elif verdict.outcome == "not measurable":
        text = f"{row.metric} cannot be measured: {verdict.reason}"
    elif verdict.outcome == "cannot show":
        text += f"; this cannot show an effect: {verdict.reason}"
    elif verdict.outcome in ("no evidence", UNCERTAIN) and math.isfinite(verdict.detectable):
        seen = format_numbers.number(verdict.detectable, fraction=fraction, unit=False)
        text += f"; a true change of {seen}{unit} or more would have been seen 4 times in 5"
    return Finding(
        outcome=verdict.outcome,
        mark=symbol(verdict.outcome),
        risk=row.cell.facts.heading(info.risk),
        setting=setting,
        text=f"{text}.",
        asked=row.cell.facts.attacked == info.risk,
        size=abs(change.mean) if math.isfinite(change.mean) else 0.0,
        warnings=warnings_of(row) if verdict.outcome != "unchanged by construction" else (),
    )


def _risks(report: Report) -> list[str]:
    """The risks that were attacked; without an attack, those that were judged."""
    attacked = {row.cell.facts.attacked for row in report.rows} - {""}
    decided = {row.facts.risk for row in report.rows if row.verdict is not None}
    known = {name: risk for row in report.rows for name, risk in row.cell.facts.risks.items()}
    found = sorted((known[name] for name in attacked or decided if name in known), key=lambda r: code_order(r.code))
    return [risk.heading for risk in found]


def _distinct(labels: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(as_text(each[key]) for each in labels))


def _several(names: Sequence[str], noun: str) -> str:
    if len(names) > _SEVERAL:
        return f"{len(names)} {noun}"
    return _listed(names)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def sentences(found: Sequence[Finding]) -> Iterator[tuple[str, list[Finding]]]:
    """Findings by verdict."""
    for word in ORDER:
        if its := [one for one in found if one.outcome == word]:
            yield word, its
