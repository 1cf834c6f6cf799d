"""Which figures there can be of some runs, each ready to be drawn. What `amulet plot` and the HTML report show."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from amulet_cli.analysis.groups import Report
from amulet_cli.analysis.matrix.entries import matrices
from amulet_cli.analysis.names import rows_title, setting_name, setting_title, value_title
from amulet_cli.analysis.rows import Row, groups_of
from amulet_cli.base import format_numbers
from amulet_cli.base.console import here
from amulet_cli.base.errors import UsageError
from amulet_cli.base.serialize import as_text
from amulet_cli.results.result import VICTIMS, Result
from amulet_cli.views.figures.drawing import Drawing, common_folder
from amulet_cli.views.registry import views
from amulet_cli.views.row_numbers import row_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from amulet_cli.analysis.matrix.entries import Interactions

KINDS: Mapping[str, str] = {
    "matrix": "every defence x every risk: change, interval, verdict, the literature's expectation; from runs of "
    "several defences or risks",
    "sweep": "a metric over what was swept, both victims, with the 95% interval over seeds; from runs in which a "
    "number was swept, such as defense.epsilon=0.01,0.1",
    "robustness": "accuracy with and without an evasion attack over its budget; from runs in which that was swept, "
    "such as attack.epsilon=0.01,0.1",
    "roc": "membership inference at few false positives, log-log; from runs of attack=lira with their evidence.npz",
    "groups": "predicted-positive rate, TPR and FPR of each group of people; from runs of "
    "attack=discriminatory_behavior with their evidence.npz",
    "reconstruction": "class means beside what model inversion made of them; from runs of attack=model_inversion on "
    "pictures, with their evidence.npz",
}
"""Kinds of figures: what each shows, and the runs that it is drawn from."""
_PARTS = 3  # defences times risks from which a matrix is the obvious figure


def kinds() -> dict[str, str]:
    """Kinds of figures, those of plug-ins too: what each shows, and the runs that it is drawn from."""
    return {**KINDS, **{kind: runs for view in views() for kind, runs in view.kinds.items()}}


def drawings(report: Report, results: Sequence[Result]) -> list[Drawing]:
    """Every figure that these runs allow, the obvious ones first."""
    found = [*_matrices(results), *_sweeps(report), *_of_evidence(report)]
    found += [one for view in views() if view.drawings for one in view.drawings(report, results)]
    return sorted(found, key=lambda drawing: (drawing.rank, list(kinds()).index(drawing.kind)))


def _rank(row: Row) -> int:
    info = row.facts
    if not info.decides:
        return 8 if info.risk != "utility" else 7
    return 2 if info.risk == row.cell.facts.attacked else 4


def _matrices(results: Sequence[Result]) -> Iterator[Drawing]:
    try:
        found = matrices(results)
    except UsageError:  # no defence
        return
    yield from (_matrix(one) for one in found if one.entries)


def _matrix(one: "Interactions") -> Drawing:
    from amulet_cli.views.figures.matrix import description, interaction_matrix

    names = len({name.split(" ")[0] for name in one.defenses})  # without the settings that tell apart a sweep's rows
    return Drawing(
        kind="matrix",
        title="What each defence does to each risk",
        setting=one.title,
        description=description(one),
        cells=tuple(groups_of(entry for entry in one.entries)),
        draw=lambda: interaction_matrix(one),
        rank=1 if names > 1 and names * len(one.risks) >= _PARTS else 6,
    )


def _sweeps(report: Report) -> Iterator[Drawing]:
    from amulet_cli.views.figures.sweep import number, robustness_curve, sweep_curve

    for key in report.keys:
        series: dict[tuple[str, ...], list[Row]] = {}
        for row in report.rows:
            if math.isfinite(number(row.cell.labels.get(key))):
                others = (f"{k}={as_text(v)}" for k, v in row.cell.labels.items() if k != key)
                series.setdefault((row.metric, *others), []).append(row)
        for name, rows in series.items():
            if len({number(row.cell.labels[key]) for row in rows}) < 2:
                continue
            budget = rows[0].metric == "robust_accuracy" and key.rpartition(".")[2] == "epsilon"
            title = rows_title(rows)
            rank = 7 if budget else _rank(rows[0])  # the other figure says the same and more
            yield _curve("sweep", title, rows, key, rank, partial(sweep_curve, rows, key))
            if budget:
                rank = 1 if _rank(rows[0]) == 2 else 5
                draw = partial(robustness_curve, rows, series.get(("test_accuracy", *name[1:]), []), key)
                yield _curve("robustness", "Accuracy under attack and without one", rows, key, rank, draw)


def _curve(kind: str, title: str, rows: Sequence[Row], key: str, rank: int, draw: Callable[[], "Figure"]) -> Drawing:
    return Drawing(
        kind=kind,
        title=f"{title} over {setting_title(key)}",
        setting=setting_name(rows[0].cell.labels, without=key),
        description=_in_words(rows, key),
        cells=tuple(row.cell for row in rows),
        draw=draw,
        metric=rows[0].metric,
        key=key,
        rank=rank,
    )


def _in_words(rows: Sequence[Row], key: str) -> str:
    described: list[str] = []
    for row in rows:
        known = {victim: one.mean for victim, one in row.summaries.items() if one.n}
        means = [f"{victim} {format_numbers.number(mean, fraction=row.fraction)}" for victim, mean in known.items()]
        described.append(f"at {as_text(row.cell.labels[key])} {' and '.join(means)}")
    return f"Mean {rows[0].metric} by {key}: {'; '.join(described)}."


def _of_evidence(report: Report) -> Iterator[Drawing]:
    """What is drawn from arrays: a measurement that is in several groups once, where its attack was asked for."""
    seen: set[tuple[Any, ...]] = set()
    for row in sorted(report.rows, key=_rank):
        values = tuple(tuple(sorted(row.values[victim].items())) for victim in VICTIMS)
        same = (*(row.cell.labels[key] for key in ("dataset", "model", "defense")), row.metric, values)
        if same in seen or not any(values):
            continue
        seen.add(same)
        facts = row.facts
        if facts.name == "auc" and "score" in facts.subject and "members" not in facts.subject:
            yield _roc(row, facts.subject["score"])
        elif facts.risk == "discriminatory_behavior" and facts.decides:
            yield _groups(row, facts.subject["attribute"])
        elif facts.risk == "data_reconstruction" and facts.decides and _has_pictures(row):
            yield _reconstruction(row)


def _roc(row: Row, score: str) -> Drawing:
    def draw() -> "Figure":
        from amulet_cli.results.evidence import Ranking, rankings
        from amulet_cli.views.figures.roc import roc_curves

        found: dict[str, list[Ranking]] = {}
        for run in row.cell.runs.values():
            for victim, ranking in rankings(run, score).items():
                found.setdefault(victim, []).append(ranking)
        if not found:
            raise LookupError(f"`evidence.npz` in {here(common_folder([row.cell]))} has no scores of {score}")
        return roc_curves(found)

    return _of_row(row, "roc", f"ROC of membership inference by {value_title(score, row.cell.facts)}", draw)


def _groups(row: Row, attribute: str) -> Drawing:
    def draw() -> "Figure":
        from amulet_cli.results import evidence
        from amulet_cli.views.figures.groups import group_rates

        every = [evidence.group_rates(run) for run in row.cell.runs.values()]
        found = [rates for of_run in every for rates in of_run if rates.attribute == attribute]
        if not found:
            raise LookupError(f"`evidence.npz` in {here(common_folder([row.cell]))} has no groups by {attribute}")
        same = found[0].groups, found[0].favourable
        return group_rates([rates for rates in found if (rates.groups, rates.favourable) == same])

    return _of_row(row, "groups", f"How groups by {attribute} are answered", draw)


def _reconstruction(row: Row) -> Drawing:
    seed, run = next(iter(row.cell.runs.items()))

    def draw() -> "Figure":
        from amulet_cli.results.evidence import arrays
        from amulet_cli.results.evidence_images import rows_by_file
        from amulet_cli.views.figures.reconstruction import reconstruction_grid

        rows = rows_by_file(arrays(run, [".picture.reconstructions."]))["reconstructions"]
        return reconstruction_grid(rows, run.manifest.get("dataset", {}).get("labels", ()))

    return _of_row(row, "reconstruction", f"Class means and what was reconstructed (seed {seed})", draw)


def _has_pictures(row: Row) -> bool:
    from amulet_cli.results.evidence import names

    return any(".picture.reconstructions." in name for name in names(row.cell.first))


def _of_row(row: Row, kind: str, title: str, draw: Callable[[], "Figure"]) -> Drawing:
    shown = dict(zip(VICTIMS, row_numbers(row).victims, strict=True))
    means = ", ".join(f"{victim} {text}" for victim, text in shown.items() if row.summaries[victim].n)
    unit = " (in per cent)" if row.fraction else ""
    return Drawing(
        kind=kind,
        title=title,
        setting=setting_name(row.cell.labels),
        description=f"{title}: {row.metric}{unit}: {means}.",
        cells=(row.cell,),
        draw=draw,
        metric=row.metric,
        rank=_rank(row) + (0 if _rank(row) == 2 else 1),
    )
