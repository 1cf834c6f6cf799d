"""How ours beside the paper's looks: in the paper's shape, a block of lines per setting."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from amulet_cli import numbers
from amulet_cli.console import aligned, hanging
from amulet_cli.formats import latex_text
from amulet_cli.paper import BEYOND, RUNS, PaperCell, PaperTable

_LABEL, _CELL = 21, 15
_READINGS = {"se": "if ± is an error", "sd": "if ± is a deviation"}
LEGEND = (
    "In per cent: mean ± standard error over our n seeds; the paper's ± as printed. The distance is counted in "
    "combined errors, sqrt(ours² + theirs²), with the paper's ± read as a standard error and as the standard "
    f"deviation of {RUNS} runs; ! marks more than {BEYOND:g}."
)


def view(tables: Sequence[PaperTable], width: int = 80) -> RenderableType:
    """All tables for a console; what does not fit beside each other goes below."""
    parts: list[RenderableType] = []
    at_once = max((width - _LABEL - 1) // (_CELL + 1), 1)
    for table in tables:
        parts.append(Text(table.title, style="bold underline"))
        columns = list(dict.fromkeys(cell.column for cell in table.cells))
        for start in range(0, len(columns), at_once):
            shown = columns[start : start + at_once]
            widths = [_LABEL, *[_CELL] * len(shown)]
            parts.append(aligned([[Text(""), *map(Text, shown)]], widths, "bold"))
            parts += [
                aligned([[Text(line[0]), *(_marked(cell) for cell in line[1:])] for line in block], widths)
                for block in _blocks(table, shown)
            ]
            parts.append(Text())
        parts += [*_remarks(table), Text()]
    return Group(*parts, Text(LEGEND, style="dim"))


def as_markdown(tables: Sequence[PaperTable]) -> str:
    """A table per data set and variant, in the paper's shape."""
    parts: list[str] = []
    for table in tables:
        columns = list(dict.fromkeys(cell.column for cell in table.cells))
        lines = [["", *columns], ["---"] + ["---:"] * len(columns)]
        for block in _blocks(table, columns):
            lines += [[f"**{block[0][0]}**", *block[0][1:]], *block[1:]]
        rows = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        remarks = "\n".join(f"- {remark}" for remark in _texts(table))
        parts.append(f"**{table.title}**\n\n{rows}\n\n{remarks}")
    return "\n\n".join((*parts, LEGEND)) + "\n"


def as_latex(tables: Sequence[PaperTable]) -> str:
    """A `tabular` with the rules of booktabs per data set and variant, in the paper's shape."""
    parts: list[str] = []
    for table in tables:
        columns = list(dict.fromkeys(cell.column for cell in table.cells))
        lines = [rf"% {table.title}", rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"]
        lines.append(" & ".join(map(latex_text, ("", *columns))) + r" \\")
        for block in _blocks(table, columns):
            lines += [r"\midrule", *(" & ".join(map(latex_text, line)) + r" \\" for line in block)]
        lines += [r"\bottomrule", r"\end{tabular}", *(f"% {remark}" for remark in _texts(table))]
        parts.append("\n".join(lines))
    return "\n\n".join((*parts, f"% {LEGEND}")) + "\n"


def _blocks(table: PaperTable, columns: Sequence[str]) -> list[list[list[str]]]:
    """Per setting five lines: ours, the paper's, the difference, and its distance by either reading."""
    blocks: list[list[list[str]]] = []
    for setting in dict.fromkeys(cell.setting for cell in table.cells):
        cells = {cell.column: cell for cell in table.cells if cell.setting == setting}
        if not any(column in cells for column in columns):
            continue
        row = [cells.get(column) for column in columns]
        block = [[setting.partition(".")[2].replace("=", " ") or setting, *(_ours(cell) for cell in row)]]
        block.append(["  paper", *(f"{cell.mean:.2f} ± {cell.error:.2f}" if cell else "" for cell in row)])
        block.append(["  difference", *(f"{cell.difference:+.2f}" if cell and cell.ours else "" for cell in row)])
        for reading, words in _READINGS.items():
            block.append([f"  {words}", *(_distance(cell, reading) for cell in row)])
        blocks.append(block)
    return blocks


def _ours(cell: PaperCell | None) -> str:
    if cell is None:
        return ""
    return numbers.plus_minus(cell.ours.mean, cell.ours.error) if cell.ours else "no run"


def _distance(cell: PaperCell | None, reading: str) -> str:
    distance = cell.distance(reading) if cell else math.nan
    if math.isnan(distance):
        return "one seed" if cell and cell.ours else ""
    return f"{distance:.1f}{' !' if distance > BEYOND else ''}"


def _marked(text: str) -> Text:
    return Text(text, style="bold yellow" if text.endswith("!") else "")


def _remarks(table: PaperTable) -> Iterator[RenderableType]:
    for text in _texts(table):
        yield hanging("  ", text)


def _texts(table: PaperTable) -> list[str]:
    counts = {cell.ours.n for cell in table.cells if cell.ours}
    seeds = f"{min(counts)} to {max(counts)} seeds" if len(counts) > 1 else numbers.plural(max(counts), "seed")
    found = [f"ours: {seeds}; the paper: {RUNS} runs"]
    for reading, words in _READINGS.items():
        within, known = table.count(reading)
        if known:
            found.append(f"{words}: {within} of {known} cells within {BEYOND:g} combined errors")
    for cell in table.cells:
        if cell.note:
            found.append(f"{cell.setting}, {cell.column}, the paper's: {cell.note}")
        found += [f"{cell.setting}, {cell.column}: {flag}" for flag in cell.flags]
    return found
