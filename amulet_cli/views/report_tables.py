"""A report on the console: sections by setting, rows in the order of the sweep, verdicts, and what was left out."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from amulet_cli.analysis.deciding import suites_of
from amulet_cli.analysis.groups import SETTING, Report
from amulet_cli.analysis.rows import Row
from amulet_cli.base import format_numbers
from amulet_cli.base.console import aligned, hanging, headed, here
from amulet_cli.base.serialize import as_text, differing
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.row_numbers import INTERVAL, row_numbers
from amulet_cli.views.run_table import at_budget, in_blocks, marked_name, widths_of

if TYPE_CHECKING:
    from amulet.assessment.verdict import Verdict

_WIDE = 110
LEGEND = (
    "In per cent, or in its own unit: mean ± standard error "
    "over n seeds. Change in points: defended - undefended, seed by seed, with "
    f"{INTERVAL}. ↑ ↓ the way that is worse for the victim; * decides the verdict on its risk."
)


VERDICT_LEGEND = (
    "rises, falls: the risk. equivalent: the interval lies within the smallest change that counts. cannot show: "
    "neither could be seen. sees: the smallest true difference that is found 4 times in 5. The tests assume that the "
    "number of seeds was fixed beforehand, and count the comparisons of this report alone; an interval is not "
    "corrected for them, so it may leave out 0 where there is no evidence."
)


def report_table(report: Report, by: str = "metric", width: int = 80) -> RenderableType:
    """The whole report, for a console of `width` columns.

    Args:
        report: from `aggregate`.
        by: what the rows of a section are grouped by: `metric`, a swept key, or one of the setting's keys.
        width: from 110 columns on there is room for the standard deviations.
    """
    parts = [*section_tables(report, by, width), Text(LEGEND, style="dim")]
    return Group(*parts, *_flags(report), *verdict_lines(report, width), *_rest(report))


def section_tables(report: Report, by: str = "metric", width: int = 80) -> Iterator[RenderableType]:
    """A table for each section; one that is wider than the console has its rows stacked."""
    for title, blocks in sections(report, by):
        head, rows = _lines(report, blocks, by, wide=width >= _WIDE)
        yield Text(title, style="bold underline")
        too_wide = sum(widths_of(head, rows)) + len(head) > width
        yield from _stacked(head, rows) if too_wide else in_blocks(head, rows)
        yield Text()


def sections(report: Report, by: str) -> list[tuple[str, dict[str, list[Row]]]]:
    """Titles with their rows, grouped under headings."""
    titles = (by,) if by in SETTING else SETTING
    found: dict[str, dict[str, list[Row]]] = {}
    for row in report.rows:
        title = " · ".join(as_text(row.cell.labels[key]) for key in titles)
        heading = row.metric if by in (*SETTING, "metric") else f"{by} {as_text(row.cell.labels.get(by))}"
        found.setdefault(title, {}).setdefault(heading, []).append(row)
    return list(found.items())


def label_keys(report: Report, by: str) -> list[str]:
    """The columns that name a row within its section and heading."""
    keys = [key for key in SETTING if by in SETTING and key != by] + [key for key in report.keys if key != by]
    return [key for key in keys if key in report.telling]


def row_name(row: Row, keys: Sequence[str]) -> str:
    """What tells a row from others: `robust_accuracy, defense.epsilon 0.01`."""
    words = [f"{key} {as_text(row.cell.labels[key])}" for key in keys if row.cell.labels.get(key) is not None]
    return ", ".join((at_budget(row.metric, row.facts.at), *words))


def _lines(
    report: Report, blocks: Mapping[str, Sequence[Row]], by: str, *, wide: bool
) -> tuple[list[Text], dict[str, list[list[Text]]]]:
    """The head and, by heading, the rows of a section; without labels the metric is the label, under no heading."""
    here_too = differing([row.cell.labels for rows in blocks.values() for row in rows])
    keys = [key for key in label_keys(report, by) if key in here_too]
    plain = not keys and by in (*SETTING, "metric")
    names = by not in (*SETTING, "metric") or plain
    head = [*((["metric"] if names else []) + keys), *VICTIMS, "change", "95% interval", "n", ""]
    lines: dict[str, list[list[Text]]] = {}
    for heading, rows in blocks.items():
        facts, one = rows[0].facts, len({row.facts.at for row in rows}) == 1
        shown = heading if names else marked_name(heading, facts if one else dataclasses.replace(facts, at=""))
        for row in rows:
            labels = [as_text(row.cell.labels.get(key)) for key in keys]
            if not (one or names):
                labels[-1] = at_budget(labels[-1], row.facts.at)
            name = marked_name(row.metric, row.facts)
            labels = [name, *labels] if names else [f"  {labels[0]}", *labels[1:]]
            lines.setdefault("" if plain else shown, []).append([*map(Text, labels), *_numbers(row, wide=wide)])
    return [Text(word) for word in head], lines


def _stacked(head: Sequence[Text], rows: Mapping[str, Sequence[Sequence[Text]]]) -> Iterator[RenderableType]:
    """A section that is wider than the console: the labels of a row, and below them its numbers, each with its name."""
    numbers = len(VICTIMS) + 4
    for heading, lines in rows.items():
        if heading:
            yield Text(heading, style="bold")
        for line in lines:
            names, cells = head[:-numbers], line[:-numbers]
            yield Text(
                "  "
                + ", ".join(f"{name} {cell.plain.strip()}".strip() for name, cell in zip(names, cells, strict=True))
            )
            pairs = zip(head[-numbers:-1], line[-numbers:-1], strict=True)
            shown = [f"{name} {cell.plain.strip()}" for name, cell in pairs if cell.plain.strip()]
            yield Text(f"    {'   '.join(shown[:2])}")
            yield Text(f"    {'   '.join(shown[2:])} {line[-1].plain}".rstrip())


def _numbers(row: Row, *, wide: bool) -> list[Text]:
    numbers = row_numbers(row)
    cells = list(numbers.victims)
    for place, victim in enumerate(VICTIMS):
        summary = row.summaries[victim]
        if wide and summary.n > 1:
            cells[place] += f" (sd {format_numbers.spread(summary.sd, summary.mean, fraction=row.facts.fraction)})"
    words = [*cells, f"{numbers.change:>6}", numbers.interval, str(numbers.n)]
    return [*map(Text, words), Text("!" if row.warnings else "", style="bold yellow")]


def remarks(report: Report) -> list[str]:
    """Flags, verdicts and missing runs as sentences, for files."""
    found = [f"{row_name(row, report.telling)}: {flag}" for row in report.rows for flag in row.warnings]
    for row in report.rows:
        if row.verdict is not None:
            name = f"{row_name(row, report.telling)}: {row.verdict.outcome}"
            sure = "" if math.isnan(row.verdict.p_value) else f" (p {row.verdict.p_value:.2g}, Holm-corrected)"
            found.append(name + sure)
    found += [f"{name}: {text}" for name, text in _suites(report)]
    return found + [": ".join(filter(None, (here(r.folder), r.standing, r.reason))) for r in report.missing]


def _suites(report: Report) -> list[tuple[str, str]]:
    """Runs and the attacks that decided there, where suites did."""
    found: dict[tuple[str, str], None] = {}
    for row in report.rows:
        name = " · ".join(as_text(value) for value in row.cell.labels.values() if value is not None)
        found |= dict.fromkeys((name, text) for text in suites_of(row.cell).values())
    return list(found)


def _flags(report: Report) -> Iterator[RenderableType]:
    flagged = [(row, flag) for row in report.rows for flag in row.warnings]
    if flagged:
        yield from headed("! Do not average these away", "bold yellow")
    same: dict[tuple[str, str], dict[str, None]] = {}
    for row, flag in flagged:
        same.setdefault((row.metric, flag), {})[row_name(row, report.telling)] = None
    for (metric, flag), names in same.items():
        more = f" (in {len(names)} rows)" if len(names) > 1 else ""
        yield hanging("  ", f"{metric if more else next(iter(names))}: {flag}{more}")


def verdict_lines(report: Report, width: int) -> Iterator[RenderableType]:
    """The verdicts on the risks, or that there are too few seeds for any."""
    from amulet.assessment.verdict import MIN_SEEDS

    judged = [(row, row.verdict) for row in report.rows if row.verdict is not None]
    if not judged:
        return
    tests = f"Verdicts: paired tests, Holm-corrected over {format_numbers.plural(report.tested, 'comparison')}"
    yield from headed(tests if report.tested else f"No verdicts: they need {MIN_SEEDS} seeds")
    if all(verdict.change.n < 2 and verdict.outcome == "too few seeds" for _, verdict in judged):
        return
    differ = report.telling
    shared = _common(judged)
    yield from _together(judged, shared, differ)
    rows = [[Text(word, style="dim") for word in ("", ", ".join(differ), "", "", "")]]
    for row, verdict in judged:
        if (verdict.outcome, verdict.reason) in shared:
            continue
        info = row.facts
        words = [as_text(row.cell.labels.get(key)) for key in differ]
        sees = format_numbers.number(verdict.detectable, fraction=info.fraction, unit=False)
        sees = verdict.reason or ("more seeds needed" if sees == "-" else f"sees {sees} or more")
        rows.append(
            [
                Text(f"  {_coded(row)}"),
                Text(", ".join(filter(None, words))),
                Text(verdict.outcome, style="bold" if verdict.outcome in ("rises", "falls") else ""),
                Text("" if math.isnan(verdict.p_value) else f"p {verdict.p_value:.2g}"),
                Text("" if verdict.outcome == "unchanged by construction" else sees, style="dim"),
            ]
        )
    widths = widths_of(rows[0], {"": rows[1:]})
    if len(rows) > 1 and sum(widths) + len(widths) <= width:
        yield aligned(rows, widths)
    else:
        for name, labels, outcome, *rest in rows[1:]:
            said = "   ".join(text.plain for text in (labels, *rest) if text.plain)
            yield hanging(f"  {outcome.plain}  ", f"{name.plain.strip()}   {said}")
    yield hanging("  ", VERDICT_LEGEND, "dim")


_Judged = Sequence[tuple[Row, "Verdict"]]


def _common(judged: _Judged) -> set[tuple[str, str]]:
    """Outcomes with a reason that three rows or more have."""
    counted = Counter((verdict.outcome, verdict.reason) for _, verdict in judged if verdict.reason)
    return {found for found, count in counted.items() if count > 2}


def _together(judged: _Judged, shared: set[tuple[str, str]], differ: Sequence[str]) -> Iterator[RenderableType]:
    """One line for all rows that have the same reason."""
    for outcome, reason in sorted(shared):
        its = [row for row, verdict in judged if (verdict.outcome, verdict.reason) == (outcome, reason)]
        metrics = dict.fromkeys(map(_coded, its))
        labels = dict.fromkeys(as_text(row.cell.labels.get(key)) for key in differ for row in its)
        where = ", ".join(filter(None, labels))
        yield hanging(f"  {outcome}  ", f"{reason}: {', '.join(metrics)}{f' ({where})' if where else ''}")


def _coded(row: Row) -> str:
    """A metric with its risk's code and its budget."""
    return f"{row.cell.facts.risks[row.facts.risk].code} {at_budget(row.metric, row.facts.at)}"


def _rest(report: Report) -> Iterator[RenderableType]:
    if report.common:
        yield Text()
        yield hanging("all with  ", ", ".join(f"{key}={as_text(value)}" for key, value in report.common.items()))
    for name, text in _suites(report):
        yield hanging("suite  ", f"{name}: {text}")
    for note in report.notes:
        yield hanging("note  ", note, "yellow")
    if report.missing:
        yield from headed(f"Not in these tables: {format_numbers.plural(len(report.missing), 'run')}", "bold yellow")
    for result in report.missing:
        yield hanging(f"  {result.standing}  ", ": ".join(filter(None, (here(result.folder), result.reason))))
