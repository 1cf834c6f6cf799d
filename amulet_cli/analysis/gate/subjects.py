"""Which victims and which measurements a rule is about."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from amulet_cli.analysis.gate.measured import Measured
from amulet_cli.analysis.gate.policy import Rule
from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.rows import SETTING, Row, RunGroup, described
from amulet_cli.base.errors import similar
from amulet_cli.base.serialize import as_text, canonical_json, flat, plain
from amulet_cli.results.result import VICTIMS, Result, shaping

_OF_THE_ATTACK = ("attack", "metric")
_OF_THE_DEFENSE = ("defense", "second_defense")
Place = tuple[str, Mapping[str, str], str]
"""A victim in words, its settings, and which of both it is."""


def victims_of(rule: Rule, report: Report) -> list[list[RunGroup]]:
    """Of each victim the groups of runs that measured it."""
    found: dict[str, list[RunGroup]] = {}
    for cell in report.cells:
        victim = victim_of(rule, cell)
        if victim not in _measured_victims(cell):
            continue
        left_out = (*_OF_THE_ATTACK, *(_OF_THE_DEFENSE if victim == VICTIMS[0] else ()))
        made = {key: value for key, value in shaping(cell.config).items() if key not in left_out}
        setting = [cell.labels[key] for key in SETTING if key not in left_out]
        found.setdefault(canonical_json(plain([victim, setting, made], finite=False)), []).append(cell)
    return list(found.values())


def _measured_victims(cell: RunGroup) -> set[str]:
    return {victim for run in cell.runs.values() for victim in run.metrics}


def victim_of(rule: Rule, cell: RunGroup) -> str:
    """The victim that a rule names, else the one that would be served: the defended one, if there is a defence."""
    return rule.victim or (VICTIMS[1] if VICTIMS[1] in _measured_victims(cell) else VICTIMS[0])


def is_about(rule: Rule, cells: Sequence[RunGroup]) -> bool:
    """Whether a victim is one of those that a rule is about: what it says of data, model, defence and training."""
    own = {key: value for key, value in rule.where.items() if key.partition(".")[0] not in _OF_THE_ATTACK}
    return any(all(_equal(_setting_value(cell, key), value) for key, value in own.items()) for cell in cells)


def rows_about(rule: Rule, rows: Sequence[Row]) -> list[Row]:
    """The rows of one group that are of a rule's metric: `race.auc`; all `auc`; those of one risk, `P1.auc`.

    Where a name stands for several of a risk, and some of them decide on it, it stands for these.
    """
    exact = [row for row in rows if row.metric == rule.metric]
    meant = exact or [row for row in rows if rule.metric in _names(row) and not row.facts.after]
    deciding = {row.facts.risk for row in meant if row.facts.decides}
    return exact or [row for row in meant if row.facts.decides or row.facts.risk not in deciding]


def _names(row: Row) -> set[str]:
    facts, risk = row.facts, row.cell.facts.risks.get(row.facts.risk)
    return {facts.name, f"{facts.risk}.{facts.name}", *([f"{risk.code}.{facts.name}"] if risk else [])}


def holds(rule: Rule, row: Row) -> bool:
    """Whether a row was measured under the attack that a rule names."""
    return not _departures(rule, row)


def _departures(rule: Rule, row: Row) -> list[str]:
    """Settings of the attack that are others than a rule asks for, in words."""
    found: list[str] = []
    for key, wanted in rule.where.items():
        if key.partition(".")[0] in _OF_THE_ATTACK:
            value = _attack_value(row, key)
            if not _equal(value, wanted):
                found.append(f"{key} {as_text(value) or 'none'} instead of {as_text(wanted)}")
    return found


def _attack_value(row: Row, key: str) -> Any:
    """A setting of the attack that measured a row, chosen or not."""
    first, _, name = key.partition(".")
    facts = row.cell.facts
    attack = facts.attacks.get(row.facts.after or row.facts.risk)
    if first != "attack" or attack is None:
        return _setting_value(row.cell, key)
    if name:
        value = flat(attack.settings).get(name)
        return _chosen_by_protocol(row, name) if value is None else value
    chosen = facts.attack is not None and facts.attack.risk == attack.risk
    return row.cell.labels["attack"] if chosen else attack.kind.rpartition(".")[2]


def _chosen_by_protocol(row: Row, name: str) -> Any:
    """A setting that was left open, as the measurement says that it was: the budget of a defence, say."""
    parts = (described(run, row.facts.risk, victim) for run in row.cell.runs.values() for victim in reversed(VICTIMS))
    return next((part[name] for part in parts if name in part), None)


def _setting_value(cell: RunGroup, key: str) -> Any:
    return cell.labels[key] if key in SETTING else flat(cell.config).get(key)


def _equal(found: Any, wanted: Any) -> bool:
    return found == wanted or as_text(found) == as_text(wanted)


def numbers_of(row: Row, victim: str) -> str:
    """What tells measurements apart: utility, which is measured beside every attack, is one."""
    values = {one: dict(row.values[one]) for one in (VICTIMS[0], victim)}
    return canonical_json(plain([row.metric, values], finite=False)) if row.values[victim] else f"{id(row)}"


def unfinished(cell: RunGroup, report: Report) -> list[Result]:
    """The seeds of a group that are not finished, whose folder is named by the same settings."""
    return [run for run in report.missing if run.folder.parent == cell.first.folder.parent]


def place_of(cell: RunGroup, victim: str, report: Report, *, attack: bool = True) -> Place:
    """A victim in words, its settings, and which of both it is."""
    left_out = (() if attack else ("attack",)) + (("defense",) if victim == VICTIMS[0] else ())
    labels = {key: as_text(value) for key, value in cell.labels.items() if key not in left_out}
    told = [report.names.get(labels[key], labels[key]) for key in SETTING if labels.get(key, "none") != "none"]
    more = [f"{key} {labels[key]}" for key in report.keys if labels.get(key)]
    return ", ".join((" · ".join(told), *more, victim)), labels, victim


def why_not_measured(rule: Rule, rows: Sequence[Row], cells: Sequence[RunGroup], report: Report) -> str:
    """Why a victim has no measurement that a rule could judge."""
    if departures := [", ".join(_departures(rule, row)) for row in rows]:
        return f"measured only under {'; '.join(dict.fromkeys(departures))}"
    settings = {cell.first.setting[:3] for cell in cells}
    for run in report.missing:
        if run.setting[:3] in settings:
            why = f": {run.reason}" if run.reason else ""
            return f"no finished run has it; {run.setting[3]}, seed {run.seed}, is {run.state}{why}"
    if rows_about(rule, report.rows):
        return f"no run of this victim measures {rule.metric}"
    near = similar(rule.metric, {word for row in report.rows for word in (row.metric, row.facts.name)})
    return f"no run measures {rule.metric}{f'; there is {near[0]}' if near else ''}"


def is_attacked(row: Row) -> bool:
    """Whether the attack that was chosen is the one that measured a row."""
    return row.cell.facts.attacked in (row.facts.risk, row.facts.after) and bool(row.cell.facts.attacked)


def nobody(rule: Rule, report: Report) -> Measured:
    """Why no victim is one that a rule is about."""
    if not report.rows:
        states = Counter(run.state for run in report.missing)
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        reasons = [run.reason for run in report.missing if run.reason]
        return Measured(missing=f"no run is finished ({told}){f': {reasons[0]}' if reasons else ''}")
    told = [f"{key} {as_text(value)}" for key, value in rule.where.items()]
    what = f"a {rule.victim} victim" if rule.victim else "a victim"
    return Measured(missing=f"no run has {what}{' with ' + ', '.join(told) if told else ''}")
