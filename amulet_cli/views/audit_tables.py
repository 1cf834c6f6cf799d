"""The end of an audit: a table for each risk, what was measured apart from what the literature expects."""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from amulet.assessment.literature import SOURCE, expected
from amulet.core.risk import code_order
from amulet_cli.analysis.groups import SETTING, Report, aggregate
from amulet_cli.analysis.rows import Row, change_words
from amulet_cli.base import format_numbers
from amulet_cli.base.console import hanging, headed
from amulet_cli.base.serialize import as_text, canonical_json, plain
from amulet_cli.results.result import LOST, VICTIMS, Result
from amulet_cli.views.row_numbers import INTERVAL, row_numbers
from amulet_cli.views.run_table import in_blocks, judged_word, marked_name

if TYPE_CHECKING:
    from amulet.assessment.verdict import Verdict

_LEGEND = (
    "In per cent. One seed: with the interval of its records; more: mean ± standard error. Change in points: defended "
    f"- undefended, with {INTERVAL}. ↑ ↓ the way that is worse for the victim; * decides the verdict on its risk."
)


def audit_tables(results: Sequence[Result]) -> RenderableType:
    """One table for each risk that was attacked, utility first; refusals and failures in their places.

    Args:
        results: every run of the audit, finished or not.
    """
    attacked = [(result, result.facts.attacked) for result in results]
    report = aggregate(list(_trimmed(attacked)))
    described = [_described(result) for result in results if result.finished]
    first, *others = described if len(described) > 1 else [[]]
    everywhere = [text for text in dict.fromkeys(first) if all(text in more for more in others)]
    parts: list[RenderableType] = [Text("Audit, risk by risk", style="bold")]
    known = {name: risk for result in results for name, risk in result.facts.risks.items()}
    ordered = sorted(known, key=lambda name: (name != "utility", code_order(known[name].code)))
    for risk in (*ordered, ""):
        mine = [result for result, its in attacked if its == risk]
        rows = [row for row in report.rows if _place(row) == risk]
        if not (mine or rows):
            continue
        parts += headed(known[risk].heading if risk else "Other", "bold underline")
        parts += [*_table(rows, report), *_said(mine, rows, risk, report), *_notes(mine, everywhere)]
    if everywhere:
        parts += headed("Of every run", "bold underline")
        parts += [hanging("  warning  ", text, "yellow") for text in everywhere]
    return Group(*parts, *_legend(report))


def _trimmed(attacked: Sequence[tuple[Result, str]]) -> Iterator[Result]:
    """Results with what their attack measures alone: in an audit a defence's own risk has an attack of its own.

    The utility stays in one of those that differ in the attack alone, whose victims are the same.
    """
    homes: dict[str, set[str]] = {}
    for result, risk in attacked:
        for name in result.names:
            homes.setdefault(name, set()).add(risk)
    seen: set[str] = set()
    for result, risk in attacked:
        config = {key: value for key, value in result.config.items() if key != "attack"}
        victims = canonical_json(plain([result.setting[:3], result.seed, config], finite=False))
        own = {one.risk for one in result.facts.defenses}
        kept = {
            name
            for name in result.names
            if (of := result.facts.of(name).risk) == risk
            or (of == "utility" and victims not in seen)
            # A metric that no risk claims is the attack's, or where every run has it, the defence's.
            or (of == "" and (homes[name] == {risk} or risk in own))
        }
        if result.finished:
            seen.add(victims)
        metrics = {v: {n: value for n, value in row.items() if n in kept} for v, row in result.metrics.items()}
        yield dataclasses.replace(result, metrics=metrics)


def _place(row: Row) -> str:
    """The table that a row is in: the attack's, unless it is about utility."""
    return "utility" if row.facts.risk == "utility" else row.cell.facts.attacked


def _described(result: Result) -> list[str]:
    """A run's warnings; numbers that are missing show as such in the table."""
    return [text for text in result.warnings if not text.endswith(LOST)]


def _name(row: Row, report: Report, *, attack: bool) -> str:
    """What a row's runs are among the others: `lira, defense.epsilon 1`."""
    differ = ("defense", *report.keys) if len({r.cell.labels["defense"] for r in report.rows}) > 1 else report.keys
    words = [f"{key} {as_text(row.cell.labels[key])}" for key in differ if row.cell.labels.get(key) is not None]
    return ", ".join([str(row.cell.labels[SETTING[3]])] * attack + words)


def _table(rows: Sequence[Row], report: Report) -> Iterator[RenderableType]:
    defended = any(row.values["defended"] for row in rows)
    victims = VICTIMS if defended else VICTIMS[:1]
    head = [Text(word) for word in ("", *victims, *(("change",) if defended else ()), "baseline")]
    lines: dict[str, list[list[Text]]] = {}
    for row in rows:
        name = _name(row, report, attack=_place(row) != "utility")
        lines.setdefault(name and f"  {name}", []).extend(_lines(row, victims))
    return in_blocks(head, lines, "dim") if rows else iter(())


def _lines(row: Row, victims: Sequence[str]) -> Iterator[list[Text]]:
    """The numbers of a metric, and below them their intervals: of one seed's records, and of the change."""
    numbers = row_numbers(row)
    cells = [marked_name(row.metric, row.facts), *numbers.victims[: len(victims)]]
    below = ["    95% interval", *(_span(row, victim) for victim in victims)]
    if len(victims) > 1:
        cells.append(f"{numbers.change:>6}")
        below.append(numbers.interval)
    cells.append(" → ".join(dict.fromkeys(numbers.baselines[: len(victims)])))
    yield [Text(cell) for cell in cells]
    if any(below[1:]):
        yield [Text(text, style="dim") for text in (*below, "")]


def _span(row: Row, victim: str) -> str:
    """The interval of the only seed's records; empty without one."""
    span = row.cell.first.intervals.get(victim, {}).get(row.metric)
    if span is None or len(row.cell.runs) > 1 or not row.values[victim]:
        return ""
    return format_numbers.interval(*span, fraction=row.fraction)


def _said(results: Sequence[Result], rows: Sequence[Row], risk: str, report: Report) -> Iterator[RenderableType]:
    """By defence: what the literature expects, and then what was measured."""
    described: dict[str, None] = {}
    for facts in (result.facts for result in results if risk):
        for defense in facts.defenses:
            found = expected(defense.family, facts.risks[risk].code) if risk in facts.risks else None
            note = f"; {found.note}" if found and found.note else ""
            name = defense.kind.rpartition(".")[2]
            described[f"{found.direction} under {found.family}{note}" if found else f"says nothing of {name}"] = None
    if described:
        yield hanging("  expected by the literature  ", "\n".join(described), "cyan")
    several = len({row.cell.labels["attack"] for row in rows}) > 1
    seen: list[str] = []
    for row in rows:
        if row.verdict is not None and row.values["defended"]:
            name = _name(row, report, attack=several)
            seen.append(f"{row.metric}{f' ({name})' if name else ''}: {_measured(row, row.verdict)}")
    if seen:
        yield hanging("  measured here               ", "\n".join(seen), "bold")


def _measured(row: Row, verdict: "Verdict") -> str:
    """The verdict; below the seeds that one takes, only what was seen."""
    if verdict.outcome in _MOVES:
        return f"the risk {verdict.outcome}"
    if verdict.outcome != "too few seeds":
        return f"{verdict.outcome}: {verdict.reason}" if verdict.reason else verdict.outcome
    change = verdict.change
    amount, span = change_words(change, fraction=row.fraction)
    if not span:
        return f"{amount} on {format_numbers.plural(change.n, 'seed')}"
    over = "the records of one seed" if change.n == 1 else format_numbers.plural(change.n, "seed")
    word = judged_word(change, row.facts).plain
    meaning = {"": "", "≈": ", 0 is in the interval"}.get(word, f", {word} for the victim")
    return f"{amount} {span} over {over}{meaning}"


_MOVES = ("rises", "falls")


def _notes(results: Sequence[Result], everywhere: Sequence[str]) -> Iterator[RenderableType]:
    """Warnings of the risk's runs, and why some of them have no numbers; each once."""
    for text in dict.fromkeys(text for result in results for text in _described(result) if text not in everywhere):
        yield hanging("  warning  ", text, "yellow")
    reasons = dict.fromkeys(
        (result.choices.get("attack", ""), result.state, result.reason.strip())
        for result in results
        if not result.finished
    )
    for attack, state, reason in reasons:
        yield hanging(f"  {state}  ", f"{attack}: {reason}" if reason else attack, "yellow")


def _legend(report: Report) -> Iterator[RenderableType]:
    from amulet.assessment.verdict import MIN_SEEDS

    yield Text()
    if report.rows:
        yield Text(_LEGEND, style="dim")
    if any(row.verdict is not None and row.verdict.outcome == "too few seeds" for row in report.rows):
        yield Text(f"No verdicts: they need {MIN_SEEDS} seeds.", style="dim")
    if any(row.values["defended"] for row in report.rows):
        yield Text(f"Expected, where the defence is effective: {SOURCE}.", style="dim")
