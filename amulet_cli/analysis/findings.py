"""What was found, in sentences: what was asked, the verdicts, and apart from them what the literature expects."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from amulet.core.risk import code_order
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.names import metric_title
from amulet_cli.analysis.outcomes import ORDER, UNCERTAIN
from amulet_cli.analysis.rows import Row, change_words
from amulet_cli.analysis.warnings import expectation_of, warnings_of
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text

if TYPE_CHECKING:
    from amulet.assessment.crossed import Change
    from amulet.assessment.literature import Expectation
    from amulet.assessment.verdict import Verdict
    from amulet.core.facts import RiskFacts

_SEVERAL = 4  # names that a sentence can carry


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about one deciding metric."""

    outcome: str
    risk: str
    setting: str
    text: str
    asked: bool
    """Whether it is about the risk that was attacked, and not only about the defence's own."""
    size: float
    """By which findings of one verdict are ordered, the largest first."""
    leaning: str = ""
    """Below ten seeds, where the interval leaves out 0: `up`, the risk would rise, or `down`."""
    warnings: tuple[str, ...] = ()
    """What the risk's measurement warned of: why the number may not carry its claim."""


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One pair of defence and risk: measured here, and expected by the literature."""

    defense: str
    risk: str
    measured: str
    expected: "Expectation"


def question(report: Report) -> str:
    """What these runs ask, as a sentence.

    >>> question(Report(rows=(), keys=()))
    'What does nothing do to the risks of a model?'
    """
    labels = [row.cell.labels for row in report.rows]
    defenses = [report.names[name] for name in _distinct(labels, "defense") if name != "none"]
    risks = _risks(report)
    does = "does" if len(defenses) < 2 else "do"
    where = f"{_several(_distinct(labels, 'model'), 'models')} on {_several(_distinct(labels, 'dataset'), 'data sets')}"
    if not labels:
        where = "a model"
    if not defenses and labels:
        return f"What are the risks of {where} without a defence?"
    to = "the risks"
    if risks:
        to = listed([r.heading for r in risks] if len(risks) <= _SEVERAL else [r.code for r in risks])
    return f"What {does} {_several(defenses, 'defences') if defenses else 'nothing'} do to {to} of {where}?"


def findings(report: Report) -> list[Finding]:
    """A sentence for each metric that decides on its risk, the certain and the large first."""
    found = [_finding(verdict, rows, report) for verdict, rows in report.judged]
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
    leaning = Counter(one.leaning for one in found if one.outcome == UNCERTAIN)
    if leaning["up"] or leaning["down"]:
        ways = [
            f"the interval of {leaning[way]} {text}"
            for way, text in (("up", "points to a higher risk"), ("down", "points to a lower risk"), ("", "holds 0"))
            if leaning[way]
        ]
        parts.append(f"of these {', '.join(ways)}")
    return f"{format_numbers.plural(len(found), 'comparison')}: {', '.join(parts)}" if found else ""


def literature(report: Report) -> list[Expected]:
    """Measured here beside expected, for each pair of a defence and a risk."""
    pairs: dict[tuple[str, str], tuple[list[str], Expectation]] = {}
    for verdict, (row, *_) in report.judged:
        if (expectation := expectation_of(row)) is not None:
            key = report.names[as_text(row.cell.labels["defense"])], row.cell.facts.heading(row.facts.risk)
            pairs.setdefault(key, ([], expectation))[0].append(verdict.outcome)
    return [
        Expected(defense=defense, risk=risk, measured=_measured(words), expected=expectation)
        for (defense, risk), (words, expectation) in pairs.items()
    ]


def _measured(words: Sequence[str]) -> str:
    count = Counter(words)
    if len(count) == 1:
        return words[0]
    return ", ".join(f"{word} ({count[word]} of {len(words)})" for word in ORDER if count[word])


def _finding(verdict: "Verdict", rows: Sequence[Row], report: Report) -> Finding:
    info = rows[0].facts
    row = next((row for row in rows if row.cell.facts.attacked == info.risk), rows[0])
    change, fraction, labels = verdict.change, info.fraction, row.cell.labels
    left_out = ("metric", "defense", *(["attack"] if len(rows) > 1 else []))
    told = {key: value for key in report.telling if key not in left_out and (value := as_text(labels.get(key)))}
    more = [f"{key} {report.names.get(value, value) if key == 'attack' else value}" for key, value in told.items()]
    more += [f"beside {len(rows)} attacks"] if len(rows) > 1 else []
    moved, span = change_words(change, fraction=fraction)
    means = [format_numbers.number(row.summaries[v].mean, fraction=fraction) for v in ("undefended", "defended")]
    unit = " points" if fraction else ""
    title = metric_title(info, row.cell.facts)
    name = f"{title[:1].upper()}{title[1:]} ({row.metric}{f', {info.at}' if info.at else ''})"
    text = f"{name} goes from {means[0]} to {means[1]}: {moved}{unit}"
    text += f", 95% interval {span}, over {format_numbers.plural(change.n, 'seed')}" if span else " on one seed"
    if not math.isnan(verdict.p_value):
        text += f" (p {verdict.p_value:.2g}, Holm-corrected)"
    if verdict.outcome == "unchanged by construction":
        text = f"{name} stays at {means[0]}: the defence alters no weight"
    elif verdict.outcome == "not measurable":
        text = f"{name} cannot be measured: {verdict.reason}"
    elif verdict.outcome == "cannot show":
        text += f"; this cannot show an effect: {verdict.reason}"
    elif verdict.outcome in ("no evidence", UNCERTAIN) and math.isfinite(verdict.detectable):
        seen = format_numbers.number(verdict.detectable, fraction=fraction, unit=False)
        text += f"; a true change of {seen}{unit} or more would have been seen 4 times in 5"
    lean = leaning(change, "lower" if info.harm == "lower" else "higher") if verdict.outcome == UNCERTAIN else ""
    if verdict.outcome == UNCERTAIN:
        text += f". {_with_more_seeds(change, lean, fraction=fraction)}"
    return Finding(
        outcome=verdict.outcome,
        risk=row.cell.facts.heading(info.risk),
        setting=", ".join((report.names[as_text(labels["defense"])], *more)),
        text=f"{text}.",
        asked=row.cell.facts.attacked == info.risk,
        size=abs(change.mean) if math.isfinite(change.mean) else 0.0,
        leaning=lean,
        warnings=warnings_of(row) if verdict.outcome != "unchanged by construction" else (),
    )


def leaning(change: "Change", worse: str) -> str:
    """Where an interval that leaves out 0 points: `up`, the risk would rise, or `down`; else nowhere."""
    if not (change.low > 0 or change.high < 0):
        return ""
    return "up" if (change.low > 0) == (worse == "higher") else "down"


def _with_more_seeds(change: "Change", lean: str, *, fraction: bool) -> str:
    """Which way a change points that has no verdict, and how much more ten seeds could say."""
    from amulet.assessment.verdict import MIN_SEEDS

    if lean:
        text = f"The interval leaves out 0, on the side of a {'higher' if lean == 'up' else 'lower'} risk"
    elif math.isfinite(change.low):
        text = "The interval holds 0: it points neither way"
    else:
        text = "There is no interval"
    text += f"; a verdict needs {MIN_SEEDS} seeds"
    records = change.records_error if math.isfinite(change.records_error) else 0.0
    if change.n > 1 and math.isfinite(change.seeds_error):
        half = 1.96 * math.hypot(change.seeds_error * math.sqrt(change.n / MIN_SEEDS), records)
        shown = format_numbers.number(half, fraction=fraction, unit=False)
        text += f", with which the interval would be about ±{shown}{' points' if fraction else ''}"
    return text


def _risks(report: Report) -> "list[RiskFacts]":
    """The risks that were attacked or judged, in the paper's order."""
    attacked = {row.cell.facts.attacked for row in report.rows}
    decided = {row.facts.risk for row in report.rows if row.verdict is not None}
    known = {name: risk for row in report.rows for name, risk in row.cell.facts.risks.items()}
    return sorted((known[name] for name in attacked | decided if name in known), key=lambda r: code_order(r.code))


def _distinct(labels: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return list(dict.fromkeys(as_text(each[key]) for each in labels))


def _several(names: Sequence[str], noun: str) -> str:
    if len(names) > _SEVERAL:
        return f"{len(names)} {noun}"
    return listed(names)


def listed(names: Sequence[str]) -> str:
    """With `and` before the last.

    >>> listed(["a", "b", "c"]), listed(["a"])
    ('a, b and c', 'a')
    """
    return " and ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))
