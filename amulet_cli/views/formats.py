"""A report as a file: tidy CSV with everything, Markdown and LaTeX with the tables."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from amulet_cli.analysis.groups import SETTING, Report
from amulet_cli.analysis.names import named, row_title, setting_title
from amulet_cli.analysis.rows import Row
from amulet_cli.base.serialize import as_text, tidy_csv
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.report_tables import label_keys, remarks, sections
from amulet_cli.views.row_numbers import INTERVAL, change_record, row_numbers, seed_records, victim_records
from amulet_cli.views.table import Table, latex, markdown, markdown_list, parquet

DECIDES = "*"
"""Beside a metric: the verdict on its risk rests on it."""


def as_csv(report: Report) -> str:
    """One row per setting and metric: statistics as fractions, and each seed's value."""
    return tidy_csv(as_records(report))


def as_parquet(report: Report) -> bytes:
    """The table of `as_csv`, typed."""
    return parquet(as_records(report))


def as_markdown(report: Report, by: str) -> str:
    """A table per section; fractions in per cent."""
    found = remarks(report)
    return markdown(_tables(report, by), [_caption(report), *([markdown_list(found)] if found else [])])


def as_latex(report: Report, by: str) -> str:
    """A table per section for a paper: metrics in words, rows without a number left out; fractions in per cent."""
    return latex([_for_paper(table) for table in _tables(report, by, words=True)], [_caption(report), *remarks(report)])


def _for_paper(table: Table) -> Table:
    """Without rows that have no number, and with what the reader of a paper must know below its title."""
    blocks = tuple(tuple(line for line in block if any(map(_is_number, line[-5:-1]))) for block in table.blocks)
    starred = any(line[0].startswith(DECIDES) for block in blocks for line in block)
    text = "Mean and standard error over n seeds, in per cent or in its own unit; change in points, paired by seed"
    legend = f"{text}. {DECIDES} decides the verdict on its risk" if starred else text
    return replace(table, blocks=blocks, legend=f"{legend}.")


def _is_number(cell: str) -> bool:
    return cell not in ("", "-")


def _tables(report: Report, by: str, *, words: bool = False) -> list[Table]:
    """A table for each section; five columns of numbers at the right. With `words` instead of names from the code."""
    names = report.names if words else {}
    keys = label_keys(report, by)
    if by not in (*SETTING, "metric"):
        keys = [by, *keys]
    shown = [setting_title(key) for key in keys] if words else keys
    head = ("metric", *shown, *VICTIMS, "change", "95% interval", "n")
    align = "l" * (1 + len(keys)) + "r" * 5
    return [
        Table(
            title=named(title, names),
            head=head,
            align=align,
            blocks=(tuple(_cells(r, keys, words=words) for b in blocks.values() for r in b),),
        )
        for title, blocks in sections(report, by)
    ]


def _cells(row: Row, keys: Sequence[str], *, words: bool) -> tuple[str, ...]:
    numbers = row_numbers(row)
    labels = (as_text(row.cell.labels.get(key)) for key in keys)
    metric = f"{DECIDES if row.facts.decides else ''} {row_title(row)}".strip() if words else row.metric
    return metric, *labels, *numbers.victims, numbers.change, numbers.interval, str(numbers.n)


def _caption(report: Report) -> str:
    common = ", ".join(f"{key}={as_text(value)}" for key, value in report.common.items())
    text = (
        "In per cent, or in its own unit: mean ± standard error "
        "over n seeds; change in points: defended - undefended, paired by seed, "
        f"with {INTERVAL}."
    )
    return f"{text} All with {common}." if common else text


def as_records(report: Report) -> list[dict[str, Any]]:
    """The rows of `as_csv`, as JSON has them."""
    return [_record(report, row) for row in report.rows]


def _record(report: Report, row: Row) -> dict[str, Any]:
    info = row.facts
    record: dict[str, Any] = {key: row.cell.labels.get(key) for key in (*SETTING, *report.keys)}
    record |= {"metric": row.metric, "at": info.at, "risk": info.risk, "primary": info.decides, "worse": info.worse}
    record |= victim_records(row, count=True) | {"change_n": row.change.n} | change_record(row, row.verdict)
    return record | seed_records(row) | {"flags": "; ".join(row.warnings)}
