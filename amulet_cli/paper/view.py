"""How ours beside the paper's looks: in the paper's shape, a block of lines per setting."""

import math
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from amulet_cli.base import format_numbers
from amulet_cli.base.console import aligned, hanging
from amulet_cli.paper.choices import Choice, choices
from amulet_cli.paper.tables import BEYOND, RUNS, PaperCell, PaperTable
from amulet_cli.views.table import Table, latex, markdown, markdown_list

_LABEL, _CELL = 21, 15
_READINGS = {"se": "if ± is an error", "sd": "if ± is a deviation"}
LEGEND = (
    "In per cent, AUC and MSE as they are: mean ± standard error over our n seeds; the paper's ± as printed. The "
    "distance is counted in combined errors, sqrt(ours² + theirs²), with the paper's ± read as a standard error and as "
    f"the standard deviation of {RUNS} runs; ! marks more than {BEYOND:g}."
)


def view(tables: Sequence[PaperTable], width: int = 80) -> RenderableType:
    """All tables for a console; what does not fit beside each other goes below."""
    parts: list[RenderableType] = []
    for table in tables:
        parts.append(Text(table.title, style="bold underline"))
        columns = list(dict.fromkeys(cell.column for cell in table.cells))
        cell = max(_CELL, *map(len, columns))
        at_once = max((width - _LABEL - 1) // (cell + 1), 1)
        for start in range(0, len(columns), at_once):
            shown = columns[start : start + at_once]
            widths = [_LABEL, *[cell] * len(shown)]
            parts.append(aligned([[Text(""), *map(Text, shown)]], widths, "bold"))
            parts += [
                aligned([[Text(line[0]), *(_marked(cell) for cell in line[1:])] for line in block], widths)
                for block in _blocks(table, shown)
            ]
            parts.append(Text())
        parts += [*_remarks(remarks(table)), Text()]
    found = choices(tables)
    if found:
        parts += [
            Text("Which choice makes the difference", style="bold underline"),
            *_remarks(choice_sentences(found)),
            Text(),
        ]
    return Group(*parts, Text(LEGEND, style="dim"))


def as_markdown(tables: Sequence[PaperTable]) -> str:
    """A table per data set and variant, in the paper's shape."""
    found = choices(tables)
    more = ["**Which choice makes the difference**", markdown_list(choice_sentences(found))] if found else []
    return markdown(plain_tables(tables), [*more, LEGEND], strong=True)


def as_latex(tables: Sequence[PaperTable]) -> str:
    """A `tabular` per data set and variant, in the paper's shape."""
    return latex(plain_tables(tables), [*choice_sentences(choices(tables)), LEGEND], ruled=True)


def plain_tables(tables: Sequence[PaperTable]) -> list[Table]:
    """In the paper's shape: a group of lines for each setting."""
    found: list[Table] = []
    for table in tables:
        columns = tuple(dict.fromkeys(cell.column for cell in table.cells))
        blocks = tuple(tuple(map(tuple, block)) for block in _blocks(table, columns))
        align = "l" + "r" * len(columns)
        notes = tuple(remarks(table))
        found.append(Table(title=table.title, head=("", *columns), blocks=blocks, align=align, notes=notes))
    return found


def remarks(table: PaperTable) -> list[str]:
    """Seeds, counts, and what must be said about cells: the same words once, with all cells that they are about."""
    counts = {cell.ours.n for cell in table.cells if cell.ours}
    seeds = f"{min(counts)} to {max(counts)} seeds" if len(counts) > 1 else format_numbers.plural(max(counts), "seed")
    runs = f"{table.origin.words}, " if table.origin.words else ""
    found = [f"ours: {runs}{seeds}; the paper: {RUNS} runs"]
    if table.origin.other_size:
        found.append(
            f"ours are not of the paper's size: {table.origin.other_size}; differences are due to that as well"
        )
    if not all(cell.comparable for cell in table.cells):
        found.append("the paper's numbers are of other data, for orientation: there is nothing to be within")
    for reading, words in _READINGS.items():
        within, known = table.count(reading)
        if known:
            found.append(f"{words}: {within} of {known} cells within {BEYOND:g} combined errors")
    places: dict[str, list[str]] = {}
    for cell in table.cells:
        if cell.note:
            places.setdefault(f"the paper's: {cell.note}", []).append(f"{cell.setting}, {cell.column}")
        for flag in cell.warnings:
            places.setdefault(flag, []).append(f"{cell.setting}, {cell.column}")
    described = {words: f"{_places(where)}: " for words, where in places.items()}
    return [*found, *(words if words.startswith(place) else place + words for words, place in described.items())]


def choice_sentences(found: Sequence[Choice]) -> list[str]:
    """Every two variants in a sentence: in what they differ, how far each column moves, towards the paper or not."""
    sentences: list[str] = []
    for choice in found:
        differing = ", ".join(f"{key} {a} or {b}" for key, (a, b) in choice.differing.items())
        alone = " alone" if len(choice.differing) == 1 else ""
        moved = [
            f"{column} {change:+.2f} ({first:.2f} and {second:.2f} from the paper)"
            for column, (change, first, second) in choice.columns.items()
        ]
        names = " and ".join(choice.names)
        sentences.append(f"{choice.dataset}, {names}: {differing}{alone} makes, on average, {'; '.join(moved)}")
    return sentences


def _places(where: Sequence[str]) -> str:
    """A few cells by name; many by their columns."""
    if len(where) <= 2:
        return " and ".join(where)
    columns = dict.fromkeys(place.partition(", ")[2] for place in where)
    settings = dict.fromkeys(place.partition(", ")[0] for place in where)
    shorter = settings if len(settings) < len(columns) else columns
    return ", ".join(shorter)


def _blocks(table: PaperTable, columns: Sequence[str]) -> list[list[list[str]]]:
    """Per setting five lines: ours, the paper's, the difference, and its distance by either reading."""
    blocks: list[list[list[str]]] = []
    for setting in dict.fromkeys(cell.setting for cell in table.cells):
        cells = {cell.column: cell for cell in table.cells if cell.setting == setting}
        row = [cells.get(column) for column in columns]
        # Of a model of the paper's that nobody ran there is nothing to say; a strength that is missing shows as such.
        if not any(row) or (setting.startswith("model=") and not any(cell and cell.ours for cell in row)):
            continue
        block = [[setting.partition(".")[2].replace("=", " ") or _plain(setting), *(_ours(cell) for cell in row)]]
        block.append(["  paper", *(_theirs(cell) for cell in row)])
        if any(cell and not math.isnan(cell.difference) for cell in row):
            block.append(["  difference", *(_difference(cell) for cell in row)])
            for reading, words in _READINGS.items():
                block.append([f"  {words}", *(_distance(cell, reading) for cell in row)])
        blocks.append(block)
    return blocks


def _plain(setting: str) -> str:
    return setting.replace("model=", "")


def _ours(cell: PaperCell | None) -> str:
    if cell is None:
        return ""
    if cell.ours is None:
        return "no run"
    mean, error = cell.scale * cell.ours.mean, cell.scale * cell.ours.error
    return f"{mean:.2f}" if math.isnan(error) else f"{mean:.2f} ± {error:.2f}"


def _theirs(cell: PaperCell | None) -> str:
    if cell is None:
        return ""
    return f"{cell.mean:g}" if math.isnan(cell.error) else f"{cell.mean:.2f} ± {cell.error:.2f}"


def _difference(cell: PaperCell | None) -> str:
    return "" if cell is None or math.isnan(cell.difference) else f"{cell.difference:+.2f}"


def _distance(cell: PaperCell | None, reading: str) -> str:
    if cell is None or math.isnan(cell.difference):
        return ""
    distance = cell.distance(reading)
    if math.isnan(distance):
        return "no error" if math.isnan(cell.error) else "one seed"
    return f"{distance:.1f}{' !' if distance > BEYOND else ''}"


def _marked(text: str) -> Text:
    return Text(text, style="bold yellow" if text.endswith("!") else "")


def _remarks(texts: Sequence[str]) -> Iterator[RenderableType]:
    for text in texts:
        yield hanging("  ", text)
