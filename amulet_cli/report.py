"""`amulet report`: any runs and sweeps as one table over their seeds."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amulet_cli.errors import UsageError, alike
from amulet_cli.help import Page

if TYPE_CHECKING:
    from amulet_cli.aggregate import Report
    from amulet_cli.results import Result

Forms = Mapping[str, Callable[[], str]]

SUMMARY = "any runs as one table over seeds: mean, error, paired difference, verdict"
HELP = Page(
    usage="amulet report [FOLDER ...] [--metrics NAME,...] [--by KEY] [--csv FILE] [--markdown FILE] [--latex FILE]",
    about="Finds every run in the folders (./outputs if none is given), puts those together that differ only in the\n"
    "seed, and compares the defended victim with the undefended one seed by seed.",
    sections=(
        (
            "What to show",
            (
                ("--metrics NAME,...", "only these metrics; auc takes every score's auc"),
                ("--by KEY", "group rows by a swept key, dataset, model, defense or attack instead of by metric"),
                ("--paper TABLE", "table7 or table8: the paper's table, ours beside the paper's, cell by cell"),
            ),
        ),
        (
            "What to write (- is the standard output)",
            (
                ("--csv FILE", "tidy: a row per setting and metric, all statistics, the value of every seed"),
                ("--markdown FILE", "the tables as Markdown"),
                ("--latex FILE", "the tables as LaTeX, for the package booktabs"),
            ),
        ),
    ),
    examples=(
        ("amulet report", "everything in ./outputs"),
        ("amulet report outputs/census --metrics fidelity,robust_accuracy", "two metrics of one data set"),
        (
            "amulet report outputs --by defense.epsilon --latex table.tex",
            "all metrics under each budget, also as LaTeX",
        ),
        ("amulet report outputs --paper table7", "how close are we to the paper?"),
    ),
    more="Verdicts take ten seeds; with fewer the report says what difference could have been seen.",
)


def main(words: list[str]) -> int:
    """Print the table, and write it where asked."""
    from amulet_cli.options import Options
    from amulet_cli.results import find_results

    options = Options("report")
    options.add_argument("folders", nargs="*", default=["outputs"])
    for flag in ("--metrics", "--by", "--paper", "--csv", "--markdown", "--latex"):
        options.add_argument(flag)
    asked = options.parse_args(words)
    results = find_results(asked.folders)
    if not any(result.state == "done" for result in results):
        there = f"; {len(results)} unfinished or failed" if results else ""
        raise UsageError(
            f"There is no finished run in {', '.join(asked.folders)}{there}",
            expected="the output folder of `amulet run`, or any folder below it",
        )
    files = {"csv": asked.csv, "markdown": asked.markdown, "latex": asked.latex}
    if asked.paper:
        return _paper(asked.paper, results, files)
    from amulet_cli.aggregate import aggregate

    wanted = [name for name in (asked.metrics or "").split(",") if name]
    report = aggregate(results, wanted)
    if not report.rows:
        known = {name for result in results for row in result.metrics.values() for name in row}
        raise UsageError(f"No run has a metric named {asked.metrics}", meant=alike(wanted[0], known))
    _check(report, asked.by)
    _show(report, asked.by or "metric", files)
    return 0


def _check(report: "Report", by: str | None) -> None:
    from amulet_cli.aggregate import SETTING

    known = ("metric", *SETTING, *report.keys)
    if by and by not in known:
        raise UsageError(
            f"`--by` must be a key in which these runs differ, got {by}",
            expected=", ".join(known),
            meant=alike(by, known),
        )


def _show(report: "Report", by: str, files: Mapping[str, str | None]) -> None:
    from amulet_cli.console import out
    from amulet_cli.formats import as_csv, as_latex, as_markdown
    from amulet_cli.tables import report_table

    if "-" not in files.values():
        out.print(report_table(report, by, out.width))
    forms: Forms = {
        "csv": lambda: as_csv(report),
        "markdown": lambda: as_markdown(report, by),
        "latex": lambda: as_latex(report, by),
    }
    _write(forms, files)


def _paper(table: str, results: "Sequence[Result]", files: Mapping[str, str | None]) -> int:
    from amulet_cli.console import out
    from amulet_cli.paper import as_csv, compare
    from amulet_cli.paper_view import as_latex, as_markdown, view

    tables = compare(table, results)
    if "-" not in files.values():
        out.print(view(tables, out.width))
    forms: Forms = {
        "csv": lambda: as_csv(tables),
        "markdown": lambda: as_markdown(tables),
        "latex": lambda: as_latex(tables),
    }
    _write(forms, files)
    return 0


def _write(forms: Forms, files: Mapping[str, str | None]) -> None:
    import sys

    from amulet_cli.console import err, here
    from amulet_cli.files import write_text

    for form, name in files.items():
        if name == "-":
            sys.stdout.write(forms[form]())
        elif name:
            path = Path(name)
            try:
                write_text(path, forms[form]())
            except OSError as error:
                raise UsageError(f"`--{form}` {name} cannot be written: {error.strerror}") from error
            err.print(f"{form} written to {here(path)}", soft_wrap=True)
