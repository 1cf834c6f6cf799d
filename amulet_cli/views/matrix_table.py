"""The interaction matrix on the console: readable without colour, in as many blocks as the columns ask for."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from amulet.assessment.literature import SOURCE
from amulet_cli.analysis.deciding import deciding_attacks, suites_of
from amulet_cli.analysis.matrix.entries import Entry, Interactions
from amulet_cli.analysis.outcomes import UNCERTAIN, symbol
from amulet_cli.analysis.rows import Row, change_words
from amulet_cli.analysis.warnings import gathered
from amulet_cli.base import format_numbers
from amulet_cli.base.console import ARROWS, aligned, hanging, headed, here
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.row_numbers import INTERVAL
from amulet_cli.views.run_table import at_budget

EXPECTED = {"rises": "△", "falls": "▽", "unexplored": "○"}
_MOVES = ("rises", "falls", "equivalent", "no evidence")
_COLUMN = 16
_LEVEL = 11  # columns of the undefended victim's level


def matrix_table(interactions: Interactions, width: int = 80) -> RenderableType:
    """Rows of risks, columns of defences; then what follows from it, and what has to be read with it."""
    lines = _lines(interactions)
    label = max(len(_label(interactions, line)) for line in lines)
    per_block = max((width - label - _LEVEL - 2) // (_COLUMN + 1), 1)
    parts: list[RenderableType] = [Text(f"Interactions: {interactions.title}", style="bold underline"), Text()]
    for start in range(0, len(interactions.defenses), per_block):
        parts += [_block(interactions, lines, interactions.defenses[start : start + per_block], label), Text()]
    parts += list(_legend(interactions))
    parts += [*_suites(interactions), *_findings(interactions), *_verification(interactions)]
    return Group(*parts, *_warnings_of(interactions))


_Line = tuple[str, str, str]
"""A risk's code, metric with its arrow, and way of measuring: what a row is about."""


def _lines(interactions: Interactions) -> list[_Line]:
    """The rows; a risk that was only refused has one too."""
    found: list[_Line] = []
    for code in interactions.risks:
        its = [entry for name in interactions.defenses for entry in interactions.of(name, code)]
        found += dict.fromkeys(map(_line, its)) or {(code, "", ""): None}
    return found


def _line(entry: Entry) -> _Line:
    facts = entry.facts
    return entry.risk.code, f"{at_budget(entry.metric, facts.at)}{ARROWS[facts.worse]}", entry.setting


def _label(interactions: Interactions, line: _Line) -> str:
    code, metric, setting = line
    if not metric:
        return f"{code:2} {interactions.titles[code]}"
    return "\n".join([f"{code:2} {metric}", *([f"   {setting}"] if setting else [])])


def _block(interactions: Interactions, lines: Sequence[_Line], names: Sequence[str], label: int) -> RenderableType:
    heads = [VICTIMS[0], *(name.replace(" ", "\n") for name in names)]
    rows: list[list[Text]] = [[Text(), *(Text(head, style="bold") for head in heads)]]
    for line in lines:
        code = line[0]
        row = [Text(_label(interactions, line)), _undefended(interactions, line)]
        for name in names:
            entries = interactions.of(name, code)
            entry = next((e for e in entries if _line(e) == line), None)
            if entry is not None:
                row.append(_cell(entry))
            elif (name, code) in interactions.refused:
                row.append(Text("refused", style="dim"))
            else:
                row.append(Text("" if entries else "not measured", style="dim"))
        rows.append(row)
    return aligned(rows, [label, _LEVEL, *([_COLUMN] * len(names))])


def _undefended(interactions: Interactions, line: _Line) -> Text:
    """Where the undefended victim is: its mean, and what the number would be without the attack."""
    entry = next((entry for entry in interactions.entries if _line(entry) == line), None)
    if entry is None or not entry.summaries[VICTIMS[0]].n:
        return Text("")
    level = format_numbers.number(entry.summaries[VICTIMS[0]].mean, fraction=entry.fraction, unit=False)
    text = Text(f"{level:>6}")
    base = format_numbers.number(entry.baseline(VICTIMS[0]), fraction=entry.fraction, unit=False)
    return text if base == "-" else text.append(f"\nbase {base}", style="dim")


def _cell(entry: Entry) -> Text:
    mark = "" if entry.outcome == UNCERTAIN else symbol(entry.outcome)
    expected = EXPECTED[entry.expected.direction] if entry.expected else ""
    doubt = ("†" if entry.pursued else "") + ("!" if entry.warnings else "")
    if entry.fixed:
        return Text(" ".join(filter(None, ("     =", expected))), style="dim")
    change, span = change_words(entry.change, fraction=entry.fraction)
    style = "bold" if entry.outcome in ("rises", "falls") else ""
    text = Text(" ".join(filter(None, (f"{change:>6}", mark, expected, doubt))), style=style)
    if entry.outcome in ("cannot show", "not measurable"):
        return text.append(f"\n {entry.outcome}", style="not bold")
    if span:
        text.append(f"\n {span}", style="not bold dim")
    if entry.outcome == "no evidence":
        sees = format_numbers.number(entry.verdict.detectable, fraction=entry.fraction, unit=False)
        text.append(f"\n sees {sees}", style="not bold dim")
    return text


def _legend(interactions: Interactions) -> Iterator[RenderableType]:
    from amulet.assessment.verdict import MIN_SEEDS

    n = len(interactions.seeds)
    text = (
        f"Defended - undefended in points, paired over {format_numbers.plural(n, 'seed')}, "
        f"with {INTERVAL}. undefended: its mean, and base, what it would be without the attack. ↑ ↓ the way that is "
        "worse for the victim. "
    )
    if interactions.compared:
        text += (
            "▲ the risk rises, ▼ it falls, ≈ equivalent (the change is within the smallest that counts), · no "
            f"evidence: paired tests, Holm-corrected over {interactions.compared} comparisons, for a number of seeds "
            "fixed beforehand; intervals are not. sees: the smallest true difference that is found 4 times in 5. "
        )
    else:
        text += f"No verdicts: they need {MIN_SEEDS} seeds. "
    text += "= unchanged by construction. ! read the warning below. "
    if any(entry.pursued for entry in interactions.entries):
        text += "† what the defence sets out to lower. "
    yield Text(f"{text}△ ▽ ○ the literature expects a rise, a fall, is silent: {SOURCE}.", style="dim")


def _suites(interactions: Interactions) -> Iterator[RenderableType]:
    """By risk that suites attacked, the attacks that decided, of each victim."""
    found: dict[str, dict[str, str]] = {}
    for (name, code), entries in interactions.cells.items():
        for entry in entries:
            group = entry.cell
            if entry.risk.name in suites_of(group):
                for victim, called in zip(VICTIMS, (VICTIMS[0], name), strict=True):
                    if by := deciding_attacks(group.runs.values(), entry.risk.name, victim):
                        found.setdefault(code, {})[called] = by
    if found:
        yield Text()
        yield Text("Which attack of the suite decided", style="bold")
    for code in filter(found.get, interactions.risks):
        words = " · ".join(f"{name}: {by}" for name, by in found[code].items())
        if len(names := set(found[code].values())) == 1:
            words = f"{names.pop()}, for every victim"
        yield hanging(f"  {code:2}  ", words)


def _findings(interactions: Interactions) -> Iterator[RenderableType]:
    if not interactions.compared:
        return
    moved = [(name, entry) for name, entry in interactions.named if entry.outcome in ("rises", "falls")]
    counts = Counter(entry.agreement for entry in interactions.entries if not entry.fixed)
    words = ("agrees", "contradicts", "not seen", "not comparable")
    described = ", ".join(f"{counts[word]} {word}" for word in words if counts[word])
    yield from headed(f"Against the literature: {described or 'nothing to compare'}")
    for word, heading in (("contradicts", "contradicts"), ("was unexplored", "unexplored so far")):
        for name, entry in moved:
            if entry.agreement == word:
                amount = format_numbers.change(entry.change.mean, fraction=entry.fraction)
                text = f"{name}: {entry.risk.code} {entry.metric} {amount}, the risk {entry.outcome}"
                doubt = " !" if entry.warnings else ""
                yield hanging(f"  {heading}  ", f"{text} (p {entry.verdict.p_value:.2g}){doubt}")


def _verification(interactions: Interactions) -> Iterator[RenderableType]:
    if not interactions.verification:
        return
    yield from headed("Does ownership verification work? Defended, mean over seeds")
    for name, rows in interactions.verification.items():
        means = [row.summaries[VICTIMS[1]].mean for row in rows]
        shown = {r.metric: format_numbers.number(x, fraction=r.fraction) for r, x in zip(rows, means, strict=True)}
        count = Counter(row.facts.name for row in rows if not row.facts.after)
        alone = [f"{row.metric} {shown[row.metric]}" for row in rows if count[row.facts.name] < 2]
        yield hanging(f"  {name}  ", ", ".join(alone))
        split = [row for row in rows if count[row.facts.name] > 1 and not row.facts.after]
        if split:
            yield _by_subject(split, shown)
    if any(row.facts.after for rows in interactions.verification.values() for row in rows):
        yield hanging("  ", "The same numbers after another attack are in the JSON file and in `amulet report`.")


def _by_subject(rows: Sequence[Row], shown: Mapping[str, str]) -> RenderableType:
    """A line for each subject, a column for each metric."""
    names = list(dict.fromkeys(row.facts.name for row in rows))
    found: dict[str, dict[str, str]] = {}
    for row in sorted(rows, key=lambda row: bool(row.facts.subject)):
        subject = ", ".join(row.facts.subject.values()) or "overall"
        found.setdefault(subject, {})[row.facts.name] = shown[row.metric]
    lines = [[Text("    suspects"), *map(Text, names)]]
    lines += [
        [Text(f"    {subject}"), *(Text(cells.get(name, "")) for name in names)] for subject, cells in found.items()
    ]
    return aligned(lines, [0] * (len(names) + 1))


def _warnings_of(interactions: Interactions) -> Iterator[RenderableType]:
    described = list(_warnings(interactions))
    if described:
        yield from headed("! Do not average these away", "bold yellow")
    for where, text in described:
        yield hanging(f"  {where}  ", text)
    refused: dict[tuple[str, str], list[str]] = {}
    for (name, code), reason in interactions.refused.items():
        refused.setdefault((code, reason), []).append(name)
    for (code, reason), names in refused.items():
        yield hanging("  refused  ", f"{', '.join(names)} x {code}: {reason}", "yellow")
    for note in interactions.notes:
        yield hanging("  note  ", note, "yellow")
    if interactions.missing:
        yield Text(f"Not in the matrix: {format_numbers.plural(len(interactions.missing), 'run')}", style="bold yellow")
    for result in interactions.missing:
        yield hanging(f"  {result.state}  ", f"{here(result.folder)} {result.reason}".strip())


def _warnings(interactions: Interactions) -> Iterator[tuple[str, str]]:
    """Risk codes with warnings; those that differ only in victim and numbers once, with the victims they concern."""
    for code, text, victims in gathered(_by_victim(interactions)):
        yield f"{code:2}", f"{text} [{', '.join(victims)}]"


def _by_victim(interactions: Interactions) -> Iterator[tuple[str, str, str]]:
    for code, flag, name in _every_warning(interactions):
        victim, _, text = flag.partition(": ")
        yield code, text if victim in VICTIMS else flag, victim if victim == VICTIMS[0] else name


def _every_warning(interactions: Interactions) -> Iterator[tuple[str, str, str]]:
    """A risk's code, or none, a warning and the defence."""
    for name in interactions.defenses:
        yield from (("", flag, name) for flag in interactions.victim_warnings.get(name, ()))
        for code in interactions.risks:
            for entry in interactions.of(name, code):
                if entry.verdict.reason:
                    yield code, f"{entry.outcome}: {entry.verdict.reason}", name
                elif entry.not_comparable and entry.agreement == "not comparable" and entry.outcome in _MOVES:
                    yield code, f"not compared with the literature: {entry.not_comparable}", name
                for flag in entry.warnings:
                    if not (entry.fixed and flag.startswith("defended: ")):
                        yield code, flag, name
