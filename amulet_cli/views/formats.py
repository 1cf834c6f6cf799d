"""A report as a file: tidy CSV with everything, Markdown and LaTeX with the tables."""

import math
import re
from collections.abc import Sequence
from typing import Any

from amulet_cli.analysis.groups import SETTING, Report, Row
from amulet_cli.base import format_numbers
from amulet_cli.base.serialize import as_text, tidy_csv
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.report_tables import label_keys, remarks, sections


def as_csv(report: Report) -> str:
    """One row per setting and metric: statistics as fractions, and each seed's value."""
    return tidy_csv(_records(report))


def as_parquet(report: Report) -> bytes:
    """The table of `as_csv`, typed; a column of settings of several kinds holds them as text."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    records = _records(report)
    columns: dict[str, list[Any]] = {}
    for name in dict.fromkeys(key for record in records for key in record):
        values = [record.get(name) for record in records]
        kinds = {type(value) for value in values if value is not None}
        plain = kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str})
        columns[name] = values if plain else [None if value is None else as_text(value) for value in values]
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}), buffer)
    return buffer.getvalue()


def as_markdown(report: Report, by: str) -> str:
    """A table per section; fractions in per cent."""
    parts: list[str] = []
    for title, head, rows in _tables(report, by):
        labels = len(head) - 5
        lines = [head, ["---"] * labels + ["---:"] * 5, *rows]
        table = (f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
        parts.append("\n".join((f"**{title}**", "", *table)))
    notes = "\n".join(f"- {remark}" for remark in remarks(report))
    return "\n\n".join(filter(None, (*parts, _caption(report), notes))) + "\n"


def as_latex(report: Report, by: str) -> str:
    """A `tabular` per section with the rules of booktabs; fractions in per cent."""
    parts: list[str] = []
    for title, head, rows in _tables(report, by):
        labels = len(head) - 5
        body = [" & ".join(map(_tex, line)) + r" \\" for line in (head, *rows)]
        parts.append(
            "\n".join(
                (
                    f"% {title}",
                    rf"\begin{{tabular}}{{{'l' * labels}{'r' * 5}}}",
                    r"\toprule",
                    body[0],
                    r"\midrule",
                    *body[1:],
                    r"\bottomrule",
                    r"\end{tabular}",
                )
            )
        )
    notes = "\n".join(f"% {text}" for text in (_caption(report), *remarks(report)))
    return "\n\n".join((*parts, notes)) + "\n"


def latex_text(text: str) -> str:
    r"""Plain text for LaTeX.

    >>> latex_text("robust_accuracy 5% ± 1")
    'robust\\_accuracy 5\\% $\\pm$ 1'
    """
    text = re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", "/"))
    return text.replace("±", r"$\pm$").replace("~", r"\textasciitilde{}").replace("^", r"\textasciicircum{}")


_tex = latex_text


def _tables(report: Report, by: str) -> list[tuple[str, list[str], list[list[str]]]]:
    """Title, head and rows of each section; five columns of numbers at the right."""
    keys = label_keys(report, by)
    if by not in (*SETTING, "metric"):
        keys = [by, *keys]
    head = ["metric", *keys, *VICTIMS, "change", "95% interval", "n"]
    tables: list[tuple[str, list[str], list[list[str]]]] = []
    for title, blocks in sections(report, by):
        rows = [_cells(row, keys) for block in blocks.values() for row in block]
        tables.append((title, head, rows))
    return tables


def _cells(row: Row, keys: Sequence[str]) -> list[str]:
    fraction = row.facts.fraction
    cells = [row.metric, *(as_text(row.cell.labels.get(key)) for key in keys)]
    for victim in VICTIMS:
        summary = row.summaries[victim]
        cells.append(format_numbers.plus_minus(summary.mean, summary.error, fraction=fraction))
    change = row.change
    cells.append(format_numbers.change(change.mean, fraction=fraction))
    cells.append(format_numbers.interval(change.low, change.high, fraction=fraction, signed=True))
    return [*cells, str(change.n or max(summary.n for summary in row.summaries.values()))]


def _caption(report: Report) -> str:
    common = ", ".join(f"{key}={as_text(value)}" for key, value in report.common.items())
    text = (
        "In per cent: mean ± standard error over n seeds; change in points: defended - undefended, paired by seed, "
        "with its 95% t interval."
    )
    return f"{text} All with {common}." if common else text


def _records(report: Report) -> list[dict[str, Any]]:
    return [_record(report, row) for row in report.rows]


def _record(report: Report, row: Row) -> dict[str, Any]:
    from amulet.assessment.verdict import wilcoxon

    info, change, verdict = row.facts, row.change, row.verdict
    record: dict[str, Any] = {key: row.cell.labels.get(key) for key in (*SETTING, *report.keys)}
    record |= {"metric": row.metric, "risk": info.risk, "primary": info.decides, "worse": info.worse}
    for victim in VICTIMS:
        summary = row.summaries[victim]
        record |= {
            f"{victim}_n": summary.n,
            f"{victim}_mean": summary.mean,
            f"{victim}_error": summary.error,
            f"{victim}_sd": summary.sd,
        }
    record |= {
        "change_n": change.n,
        "change_mean": change.mean,
        "change_error": change.error,
        "change_sd": change.sd,
        "change_low": change.low,
        "change_high": change.high,
        "p_value": change.p_value,
        "p_wilcoxon": wilcoxon(*row.pairs),
        "p_holm": verdict.p_value if verdict else math.nan,
        "verdict": verdict.outcome if verdict else "",
        "detectable": verdict.detectable if verdict else math.nan,
    }
    for victim in VICTIMS:
        record[f"{victim}_by_seed"] = " ".join(f"{seed}:{value!r}" for seed, value in row.values[victim].items())
    return record | {"flags": "; ".join(row.flags)}
