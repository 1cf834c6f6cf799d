"""`amulet plot`: one figure of any runs, as a file."""

from collections.abc import Sequence
from pathlib import Path

from amulet_cli.analysis.groups import aggregate
from amulet_cli.base.console import err, here
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.flags import FOLDERS, CommandLine, rows
from amulet_cli.commands.report import finished
from amulet_cli.views.figures.catalogue import drawings, kinds
from amulet_cli.views.figures.drawing import Drawing


def command_line() -> CommandLine:
    """Folders, and which figure of them."""
    return CommandLine(
        f"""
        amulet plot [FOLDER ...]

        Finds every run in the folders (./outputs if none is given) and draws one figure of them: the obvious one,
        unless a kind is given.

        Kinds:
        {rows(kinds())}

        Options:
        --kind KIND        one of the above
        --metric NAME      which metric; by default the one that decides on the attack's risk
        --x KEY            which swept setting stands on the horizontal axis
        -o, --output FILE  its ending says the format: .svg, .pdf or .png; figure.svg if none is given

        Examples:
        amulet plot  the obvious figure of everything in ./outputs
        amulet plot outputs/census --metric fidelity --x defense.epsilon -o fidelity.pdf  a sweep's curve
        amulet plot outputs/census/linearnet/dp_sgd/lira --kind roc -o roc.png  a ROC

        A whole page with tables and figures: amulet report --html report.html
        """,
        {"--kind": tuple(kinds())},
        (FOLDERS,),
    )


def main(words: list[str]) -> int:
    """Draw it and say where it is."""
    folders, asked = command_line().parse(words)
    path = Path(asked.get("--output", "figure.svg"))
    from amulet_cli.views.figures import style

    style.check_format(path)
    results = finished(folders or ["outputs"])
    offered = drawings(aggregate(results), results)
    chosen, others = choose(offered, *map(asked.get, ("--kind", "--metric", "--x")))
    try:
        figure = chosen.draw()
    except LookupError as error:
        raise UsageError(str(error.args[0]), expected="the whole folder of each run, its `evidence.npz` too") from error
    style.save(figure, path)
    err.print(f"{chosen.kind}: {chosen.title} · {chosen.setting}", soft_wrap=True, markup=False)
    for other in others[:3]:
        err.print(f"also: --kind {other.kind} --metric {other.metric}", soft_wrap=True, markup=False)
    err.print(f"written to {here(path)}", soft_wrap=True, markup=False)
    return 0


def choose(
    offered: Sequence[Drawing], kind: str | None = None, metric: str | None = None, key: str | None = None
) -> tuple[Drawing, list[Drawing]]:
    """The one that is meant, and others of its setting that would have been as obvious.

    Raises:
        UsageError: there is none, or several settings have one.
    """
    if kind:
        offered = _narrowed(offered, "--kind", kind, [one for one in offered if one.kind == kind], "kind")
    if key:
        offered = _narrowed(offered, "--x", key, [one for one in offered if one.key == key], "key")
    if metric:
        named = [one for one in offered if one.metric == metric]
        named = named or [one for one in offered if metric in one.metric.split(".")]
        offered = _narrowed(offered, "--metric", metric, named, "metric")
    if not offered:
        raise UsageError("There is nothing to draw in these runs", try_="amulet plot --help")
    best = [one for one in offered if one.rank == offered[0].rank and one.kind == offered[0].kind]
    settings = list(dict.fromkeys(one.setting for one in best))
    if len(settings) > 1:
        first = best[0].command
        shown = "; ".join(settings[:4]) + ("; ..." if len(settings) > 4 else "")
        raise UsageError(
            f"{len(settings)} settings have such a figure: {shown}",
            expected="the folder of one of them, or another `--kind`",
            try_=" ".join(first),
        )
    return best[0], best[1:]


def _narrowed(offered: Sequence[Drawing], flag: str, word: str, found: list[Drawing], field: str) -> list[Drawing]:
    if found:
        return found
    known = list(dict.fromkeys(value for one in offered if (value := str(getattr(one, field)))))
    expected = f"one of {', '.join(known)}" if known else "runs in which something was swept"
    if flag == "--kind":
        expected = f"{kinds()[word]}. These runs have {', '.join(known) or 'nothing to draw'}"
    raise UsageError(f"No figure of these runs has `{flag}` {word}", expected=expected, meant=similar(word, known))
