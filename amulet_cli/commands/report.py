"""`amulet report`: any runs and sweeps as one table over their seeds."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from importlib.util import find_spec

from rich.console import RenderableType

from amulet_cli.analysis.comparisons import check_smallest, smallest_effects
from amulet_cli.analysis.deployment.handout import handout
from amulet_cli.analysis.gate.policy import read_policy
from amulet_cli.analysis.groups import SETTING, Report, aggregate
from amulet_cli.base.console import err, out, print_json, silent
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.files import Forms, write_forms
from amulet_cli.base.flags import FOLDERS, CommandLine, rows
from amulet_cli.results.reading import find_results
from amulet_cli.results.result import Result, without_trials
from amulet_cli.views.deployment.card import as_json
from amulet_cli.views.deployment.forms import deployment_forms, deployment_text
from amulet_cli.views.deployment.pdf import check_pdf
from amulet_cli.views.formats import as_csv, as_latex, as_markdown, as_parquet, as_records
from amulet_cli.views.html.build import html_report
from amulet_cli.views.registry import views
from amulet_cli.views.report_tables import report_table

FORMS = ("html", "csv", "parquet", "markdown", "latex", "pdf", "model-card")
READERS = ("deployment",)
"""For whom there is a report of its own."""


def command_line() -> CommandLine:
    """Folders, what to show of them, and where to write it; the flags of plug-ins among that."""
    special = [view for view in views() if view.shown]
    return CommandLine(
        f"""
        amulet report [FOLDER ...]

        Finds every run in the folders (./outputs if none is given), puts those together that differ only in the seed,
        and compares the defended victim with the undefended one seed by seed.

        What to show:
        --metrics NAME,...  only these metrics; auc takes every score's auc
        --smallest SIZES    changes that count, as robust_accuracy=0.02,mse=0.001; fraction=0.02 is for all in per cent
        --by KEY            group rows by a swept key, dataset, model, defense or attack instead of by metric
        --for READER        deployment: about one model, for those who decide whether it is put to use, in plain words
        --policy POLICY     with --for: the limits of `amulet gate`, a YAML file or a name
        {rows({f"--{view.name} NAME": view.about for view in special})}

        What to write (- is the standard output):
        --html FILE      one page with everything: findings, tables, figures, warnings, seeds, configurations
        --csv FILE       tidy: a row per setting and metric, all statistics, the value of every seed
        --parquet FILE   the same as the CSV, with types; a file, not -
        --markdown FILE  the tables as Markdown
        --latex FILE     the tables as LaTeX, for the package booktabs
        --pdf FILE       with --for: the page as tagged PDF; needs the extra pdf
        --model-card FILE  with --for: a model card of the Hugging Face Hub
        --json           the rows of the CSV, what all have in common, and what is missing, on the standard output

        Examples:
        amulet report  everything in ./outputs
        amulet report outputs --html report.html  the same as a page to read and to hand on
        amulet report outputs/census --metrics fidelity,robust_accuracy  two metrics of one data set
        amulet report outputs --by defense.epsilon --latex table.tex  all metrics under each budget, also as LaTeX
        amulet report outputs/census --for deployment --policy bank_credit --html page.html  may this model be used?
        amulet report outputs --paper table7  how close are we to the paper?

        Verdicts need ten seeds; with fewer the report says what difference could have been seen.
        """,
        {f"--{view.name}": view.names for view in special} | {"--for": READERS},
        (FOLDERS,),
    )


def main(words: list[str]) -> int:
    """Print the table, and write it where asked."""
    folders, asked = command_line().parse(words)
    by = asked.get("--by")
    files = {form: name for form in FORMS if (name := asked.get(f"--{form}"))}
    if "parquet" in files:
        _check_parquet(files["parquet"])
    if "--for" in asked:
        return _for_deployment(folders or ["outputs"], asked, files, shlex.join(["amulet", "report", *words]))
    for flag in ("--policy", "--pdf", "--model-card"):
        if flag in asked:
            raise UsageError(f"`{flag}` goes only with `--for`", meant=[f"--for {READERS[0]} {flag}"])
    results = finished(folders or ["outputs"])
    for view in views():
        if view.shown and f"--{view.name}" in asked and "--json" in asked:
            raise UsageError(f"`--json` does not go with `--{view.name}`", expected="--csv -")
        if view.shown and (chosen := asked.get(f"--{view.name}")):
            found = view.shown(chosen, results)
            _write(found.forms, files, found.view, f"--{view.name}")
            return 0
    wanted = [name for name in asked.get("--metrics", "").split(",") if name]
    smallest = smallest_effects(asked.get("--smallest", ""))
    check_smallest("--smallest", smallest, results)
    report = aggregate(results, wanted, smallest)
    if not report.rows:
        known = {name for result in results for name in result.names}
        raise UsageError(f"No run has a metric named {','.join(wanted)}", meant=similar(wanted[0], known))
    _check(report, by)
    if "--json" in asked:
        missing = [{"folder": str(r.folder), "state": r.state, "reason": r.reason} for r in report.missing]
        common = {"common": dict(report.common), "notes": list(report.notes), "missing": missing}
        print_json({"rows": as_records(report), **common})
    today = datetime.now().astimezone().date().isoformat()
    command = shlex.join(["amulet", "report", *words])
    with silent(asked="--json" in asked):
        _show(report, by or "metric", files, lambda: html_report(report, results, command=command, date=today))
    return 0


def _for_deployment(folders: "Sequence[str]", asked: Mapping[str, str], files: Mapping[str, str], command: str) -> int:
    """A report about one model, in plain words."""
    for flag in asked:
        if flag in ("--metrics", "--smallest", "--by") or any(flag == f"--{view.name}" for view in views()):
            raise UsageError(f"`{flag}` does not go with `--for`")
    if "pdf" in files:
        check_pdf(files["pdf"])
    policy = read_policy(asked["--policy"]) if "--policy" in asked else None
    found = find_results(folders)
    finished(folders)
    made = handout(found, policy)
    today = datetime.now().astimezone().date().isoformat()
    if "--json" in asked:
        print_json(as_json(made, date=today))
    forms = deployment_forms(made, command=command, date=today)
    with silent(asked="--json" in asked):
        _write(forms, files, lambda width: deployment_text(made), "--for")
    return 0


def finished(folders: "Sequence[str]") -> list[Result]:
    """Every run in the folders, of which at least one is finished.

    Raises:
        UsageError: none is, or a folder does not exist.
    """
    results = find_results(folders)
    if not any(result.state == "done" for result in results):
        there = f"; {len(results)} unfinished or failed" if results else ""
        unreadable = [result.reason for result in results if result.state == "unreadable"]
        raise UsageError(
            f"There is no finished run in {', '.join(folders)}{there}",
            where=unreadable[0] if unreadable else None,
            expected="the output folder of `amulet run`, or any folder below it",
        )
    counted, trials = without_trials(results)
    if trials:
        err.print(f"[dim]{trials}[/]", soft_wrap=True)
    return counted


def _check_parquet(name: str) -> None:
    if name == "-":
        raise UsageError("`--parquet` must be the name of a file, got -", meant=["--csv -"])
    if find_spec("pyarrow") is None:
        raise UsageError(
            "`--parquet` needs pyarrow, which is not installed", try_="pip install 'amulet-cli[parquet]'; or --csv"
        )


def _check(report: Report, by: str | None) -> None:
    known = ("metric", *SETTING, *report.keys)
    if by and by not in known:
        raise UsageError(
            f"`--by` must be a key in which these runs differ, got {by}",
            expected=", ".join(known),
            meant=similar(by, known),
        )


def _show(report: Report, by: str, files: Mapping[str, str], page: Callable[[], str]) -> None:
    forms: Forms = {
        "html": page,
        "csv": lambda: as_csv(report),
        "parquet": lambda: as_parquet(report),
        "markdown": lambda: as_markdown(report, by),
        "latex": lambda: as_latex(report, by),
    }
    _write(forms, files, lambda width: report_table(report, by, width))


def _write(forms: Forms, files: Mapping[str, str], view: Callable[[int], RenderableType], beside: str = "") -> None:
    """Print the view, unless a file goes to standard output, and write the files."""
    if "-" not in files.values():
        out.print(view(out.width))
    for form in files:
        if form not in forms:
            raise UsageError(f"`--{form}` does not go with `{beside}`", expected=", ".join(f"--{one}" for one in forms))
    write_forms(forms, files)
