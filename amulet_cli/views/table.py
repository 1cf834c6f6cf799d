"""The one table that every file format is made from, and its renderers. Each escapes what its format would obey.

On the console `rich` draws, in the HTML report the template's autoescape does the same.
"""

import html
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from amulet_cli.base.serialize import as_text

Line = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Table:
    """Plain text, cell by cell."""

    title: str
    head: Line
    blocks: tuple[tuple[Line, ...], ...]
    """Lines in groups that belong together."""
    align: str
    """`l` or `r` for each column."""
    notes: tuple[str, ...] = ()
    """What must be read with it."""
    legend: str = ""
    """What its signs and numbers mean, where it goes into a paper alone."""

    @property
    def lines(self) -> Iterator[Line]:
        """All lines, group by group."""
        return (line for block in self.blocks for line in block)


def markdown(tables: Sequence[Table], closing: Sequence[str] = (), *, strong: bool = False) -> str:
    """Tables with their titles in bold, their notes as lists, and paragraphs at the end.

    Args:
        tables: in order.
        closing: paragraphs.
        strong: whether the first cell of each group is bold.
    """
    parts: list[str] = []
    for table in tables:
        marks = tuple("---:" if side == "r" else "---" for side in table.align)
        lines = [tuple(map(markdown_text, table.head)), marks]
        for block in table.blocks:
            cells = [tuple(map(markdown_text, line)) for line in block]
            lines += [(f"**{cells[0][0]}**", *cells[0][1:]), *cells[1:]] if strong else cells
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        parts += [f"**{markdown_text(table.title)}**", rows, *([markdown_list(table.notes)] if table.notes else [])]
    return "\n\n".join((*parts, *closing)) + "\n"


def markdown_list(texts: Sequence[str]) -> str:
    """An item a line."""
    return "\n".join(f"- {markdown_text(text)}" for text in texts)


def markdown_text(text: str) -> str:
    r"""One line that Markdown and the HTML in it leave alone.

    >>> markdown_text("a|b <script>\n")
    'a\\|b &lt;script&gt;'
    """
    return html.escape(" ".join(text.split()), quote=False).replace("|", r"\|").replace("&amp;", "&")


def latex(tables: Sequence[Table], closing: Sequence[str] = (), *, ruled: bool = False) -> str:
    """A `table` with a caption for each, ruled as booktabs does; notes and closing texts are comments.

    Args:
        tables: in order.
        closing: texts below all of them.
        ruled: whether a rule parts the groups of lines.
    """
    parts: list[str] = []
    for table in tables:
        caption = latex_text(". ".join(filter(None, (table.title, table.legend))))
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{caption}}}"]
        lines += [rf"\begin{{tabular}}{{{table.align}}}", r"\toprule", _row(table.head)]
        for block in table.blocks if ruled else [tuple(table.lines)]:
            lines += [r"\midrule", *map(_row, block)]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
        parts.append("\n".join((*lines, *map(_comment, table.notes))))
    if closing:
        parts.append("\n".join(map(_comment, closing)))
    return "\n\n".join(parts) + "\n"


def _row(line: Line) -> str:
    return " & ".join(map(latex_text, line)) + r" \\"


def _comment(text: str) -> str:
    """Never more than a comment: a line break would end it."""
    return f"% {' '.join(text.split())}"


def latex_text(text: str) -> str:
    r"""Plain text for LaTeX, in one line.

    >>> latex_text("robust_accuracy 5% ± 1"), latex_text("[-0.5, +0.5]")
    ('robust\\_accuracy 5\\% $\\pm$ 1', '[$-$0.5, +0.5]')
    """
    text = re.sub(r"([&%$#_{}])", r"\\\1", " ".join(text.split()).replace("\\", "/"))
    for sign, command in (("±", r"$\pm$"), ("→", r"$\rightarrow$"), ("~", r"\textasciitilde{}")):
        text = text.replace(sign, command)
    text = re.sub(r"(?<![\w.)\]-])-(?=\d)", "$-$", text)  # a minus, which is no hyphen and no part of a range
    return text.replace("^", r"\textasciicircum{}")


def parquet(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Records as Parquet, typed; a column of values of several kinds holds them as text."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: dict[str, list[Any]] = {}
    for name in dict.fromkeys(key for record in records for key in record):
        values = [record.get(name) for record in records]
        kinds = {type(value) for value in values if value is not None}
        plain = kinds <= {int, float} or (len(kinds) == 1 and kinds <= {bool, str})
        columns[name] = values if plain else [None if value is None else as_text(value) for value in values]
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()}), buffer)
    return buffer.getvalue()
