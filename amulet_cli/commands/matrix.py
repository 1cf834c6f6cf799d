"""`amulet matrix`: every defence x every risk, as a picture, a table and data."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from amulet.assessment.risks import RISKS
from amulet_cli.analysis.comparisons import check_smallest, smallest_effects
from amulet_cli.analysis.matrix.entries import Interactions, matrices
from amulet_cli.base.console import Command, err, hanging, here, out
from amulet_cli.base.errors import UsageError, similar
from amulet_cli.base.files import write_text
from amulet_cli.base.flags import CommandLine, matching
from amulet_cli.config.arguments import SWEEP_FLAGS, Arguments, key_of, parse
from amulet_cli.config.completion import complete
from amulet_cli.config.composition import RunRequest, compose
from amulet_cli.config.options import find_options
from amulet_cli.config.risk_selection import among, named
from amulet_cli.config.schema import ADDED, FACTORIES, GROUPS, SETTINGS
from amulet_cli.config.suites import STRENGTHS, STRONGEST
from amulet_cli.execution.launchers import is_installed
from amulet_cli.execution.preflight import check_settings
from amulet_cli.execution.sweep import carry_out, result_of, run_sweep
from amulet_cli.results.result import VICTIMS
from amulet_cli.views.matrix_data import as_csv, as_json
from amulet_cli.views.matrix_table import matrix_table

_KNOWN = (*SETTINGS, *GROUPS, *FACTORIES, *ADDED)
_OWN = ("seeds", "defenses", "risks", "strength", "smallest")
_FIXED = ("metric", "defense=", "second_defense", "seed=")
"""How words of a run begin that its own stand for, or that make no matrix."""


def command_line() -> CommandLine:
    """Words of its own, and those of `amulet run`."""
    return CommandLine(
        f"""
        amulet matrix [dataset=census] [seeds=10] [defenses=...] [risks=...] [key=value ...]

        Measures all risks of every defence over seeds, and ends in the interaction matrix: a picture, a table and
        data in the output folder. It is a sweep of +experiment=matrix: one run for each defence and seed. The same
        command again continues where it was stopped.

        What to choose:
        seeds=10                       seeds 0 to 9; also seeds=range(3,8), seeds=0,4,7. Verdicts need ten
        defenses=adv_training,dp_sgd   these only (amulet list defense); all if not given
        risks=S1,P1                    these only, by code or name; all if not given
        smallest=robust_accuracy=0.02  changes that count, else 1 point; smallest=fraction=0.02 for all in per cent
        strength=quick                 every risk by several attacks, the worst counts: quick, standard or full
        attack=lira attack.n_shadow=4  measures its own risk, the others keep their default attacks; a,b: a run each
        epochs=10 defense.epsilon=...  any setting of amulet run; settings of one defence with defenses=it
        metric.every.P1.n_shadow=32    a setting of the default attack on a risk

        How it runs:
        hydra/launcher=basic           one run after the other; on the CPU as many at once as there are cores
        output_dir=outputs             where results go, and matrix.svg, .png, .csv, .json
        {SWEEP_FLAGS}

        Examples:
        amulet matrix dataset=census seeds=10  all of it: a run of all risks for each defence and seed
        amulet matrix defenses=adv_training risks=S1,S3,F seeds=3  a corner of it, in minutes

        Exit code: 0 fine, 1 a run failed, 2 the command is wrong, 124 time is up, 130 Ctrl-C.
        """,
        words=_candidates,
    )


def _candidates(before: Sequence[str], word: str) -> list[str]:
    """Its own words, and those of a run that make sense here."""
    key, equals, value = word.partition("=")
    if key == "risks" and equals:
        return matching([*(risk.code for risk in RISKS.values()), *RISKS], value, "risks=")
    if key == "strength" and equals:
        return matching(STRENGTHS, value, "strength=")
    given = _translated(before)
    if key == "defenses" and equals:
        named = complete(given, f"defense={value}")
        return [name.replace("defense=", "defenses=") for name in named if name != "defense=none "]
    own = [f"{name}=" for name in _OWN if name.startswith(word)]
    return own + [name for name in complete(given, word) if not name.startswith(_FIXED)]


def main(words: list[str]) -> int:
    """Run the sweep, then show and draw the matrix."""
    smallest = smallest_effects(",".join(w.partition("=")[2] for w in words if w.startswith("smallest=")))
    arguments = _command(parse(_translated(words), command_line()))
    try:
        request = compose(arguments)
    except UsageError as error:
        raise _in_its_words(error, words) from error
    _check(request, arguments)
    check_settings(request)
    _check_smallest(request, smallest)
    request, arguments = _launched(request, arguments)

    def run() -> int:
        code = run_sweep(request, arguments, table=False)
        return max(code, _close(request, words, smallest))

    return carry_out(request, arguments, run)


def _in_its_words(error: UsageError, words: Sequence[str]) -> UsageError:
    """A mistake in `defenses=` or `strength=` reported as such, not as the override it was translated to."""
    for own, override in (("defenses=", "defense="), ("strength=", "attack.strength=")):
        if any(word.startswith(own) for word in words):
            error.what = error.what.replace(f"`{override[:-1]}`", f"`{own[:-1]}`")
            error.where = error.where and error.where.replace(f"`{override}", f"`{own}")
            error.meant = [word.replace(override, own) for word in error.meant]
    return error


def _translated(words: Sequence[str]) -> list[str]:
    """`seeds=`, `defenses=` and `risks=` as the overrides of a sweep.

    >>> _translated(["seeds=3", "defenses=dp_sgd,watermark", "risks=P1,S1"])
    ['seed=range(0,3)', 'defense=dp_sgd,watermark', 'metric.every.among=[evasion,membership_inference]']
    """
    found: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals and not word.startswith("-") and key in _OWN:
            raise UsageError(f"`{key}` must be followed by = and a value", expected=f"{key}=...")
        if key in _OWN and not value.strip("[] "):
            raise UsageError(f"`{key}` must not be empty", expected="leave it out for all of them")
        if key == "smallest":
            continue
        if key == "seeds":
            found.append(f"seed={_seeds(value)}")
        elif key == "strength":
            found += [f"attack={STRONGEST}", f"attack.strength={value}"]
        elif key == "defenses":
            found.append(f"defense={','.join(_listed(value))}")
        elif key == "risks":
            found.append(f"metric.every.among=[{','.join(named(_listed(value), 'risks'))}]")
        else:
            found.append(word)
    return found


def _seeds(value: str) -> str:
    value = value.replace(" ", "")
    if value.isdecimal():
        if int(value) < 1:
            raise UsageError(f"`seeds` must be at least 1, got {value}")
        return f"range(0,{int(value)})"
    if re.fullmatch(r"range\(\d+(,\d+){0,2}\)", value):
        return value
    if re.fullmatch(r"\[?\d+(,\d+)*,?\]?", value):
        return ",".join(_listed(value))
    raise UsageError(
        f"`seeds` must say how many or which, got {value}", expected="seeds=10, seeds=range(3,8) or seeds=0,4,7"
    )


def _listed(value: str) -> list[str]:
    return list(dict.fromkeys(word for part in value.strip("[] ").split(",") if (word := part.strip())))


def _command(arguments: Arguments) -> Arguments:
    """The same as a sweep of the experiment."""
    overrides = arguments.overrides
    chosen = [word for word in overrides if key_of(word) == "attack"]
    if len(chosen) > 1 and f"attack={STRONGEST}" in chosen:
        raise UsageError(
            "`strength` stands for the attacks on all risks", where=f"`{chosen[-1]}`", expected="one of them"
        )
    for word in overrides:
        key = key_of(word)
        if key.startswith("attack.") and not chosen:
            raise UsageError(
                f"`{word}`: a matrix measures every risk by its default attack",
                expected="attack=NAME beside it; or metric.every.<risk>.<setting>=... for a default attack",
            )
        if key == "metric":
            raise UsageError(f"`{word}`: a matrix measures risks", expected="risks=S1,P1 to choose among them")
        if key == "second_defense":
            raise UsageError(
                f"`{word}`: the rows of a matrix are single defences", try_="amulet run -m second_defense=..."
            )
        if "." not in key and "/" not in key and key not in _KNOWN and (near := similar(key, _OWN)):
            raise UsageError(f"`{key}` is not a setting", where=f"`{word}`", meant=[f"{one}=..." for one in near])
    given = any(key_of(word) == "experiment" for word in overrides)
    return arguments.as_sweep(*([] if given else ["+experiment=matrix"]))


def _check(request: RunRequest, arguments: Arguments) -> None:
    """Refuse what makes no matrix. An attack on a risk that is not measured would not be run."""
    risks = {option.name: option.risk for option in find_options(arguments.config_dir, "attack")}
    for job in request.jobs:
        if job.choices["defense"] == "none":
            raise UsageError(
                "`defenses` must not name none: each defence is compared with the undefended victim anyway",
                where="`defenses=none`",
            )
        if job.config.get("checkpoint"):
            raise UsageError(
                "`checkpoint` is one model, and a matrix compares models over seeds", try_="amulet audit checkpoint=..."
            )
        attack, measured = job.choices["attack"], among(job.config["metric"])
        if (risk := risks.get(attack)) and risk not in measured:
            raise UsageError(
                f"`attack={attack}` is on {risk}, which is not among the risks",
                expected=f"risks=... with {risk} in it, or another attack",
            )


def _check_smallest(request: RunRequest, smallest: Mapping[str, float]) -> None:
    """Refuse a metric that none of the risks has. A prefix, such as an attribute, is known after the runs."""
    if not smallest:
        return
    from amulet.assessment.engine import protocol_of
    from amulet.core.facts import FRACTION, defined_metrics

    risks = list(dict.fromkeys(risk for job in request.jobs for risk in among(job.config["metric"])))
    for risk in risks:
        protocol_of(risk)  # its import defines them
    metrics = [list(defined_metrics(risk)) for risk in risks]
    if not all(metrics):  # a plug-in's risk that says it with its results alone
        return
    known = [FRACTION, *(name for names in metrics for name in names)]
    for name in smallest:
        if not any(name == one or name.endswith(f".{one}") for one in known):
            codes = ", ".join(RISKS[risk].code for risk in risks)
            raise UsageError(
                f"No metric of the risks {codes} is named {name}", where="`smallest=`", meant=similar(name, known)
            )


def _launched(request: RunRequest, arguments: Arguments) -> tuple[RunRequest, Arguments]:
    """One run for each core at a time, on the CPU and unless the user chose; says what is done."""
    chosen = request.launcher != "basic" or any(word.startswith("hydra/launcher=") for word in arguments.overrides)
    if chosen or len(request.jobs) < 2 or request.jobs[0].config["device"] not in ("auto", "cpu"):
        return request, arguments
    from amulet.core.cores import available_cores
    from amulet.training import resolve_device

    cores = min(available_cores(), len(request.jobs))
    if cores < 2 or resolve_device(request.jobs[0].config["device"]).type != "cpu":
        return request, arguments
    if not is_installed("hydra_plugins.hydra_joblib_launcher"):
        err.print(f"[dim]one run after the other; with 'amulet-cli\\[parallel]' installed, {cores} at once[/]")
        return request, arguments
    # A batch of one: jobs that were done before are quick, and joblib would put many that are not into one batch.
    words = ("hydra/launcher=joblib", f"hydra.launcher.n_jobs={cores}", "hydra.launcher.batch_size=1")
    err.print(f"[dim]{cores} runs at once, one thread each (hydra/launcher=joblib)[/]")
    overrides = (*arguments.overrides, *words)
    return dataclasses.replace(request, launcher="joblib"), dataclasses.replace(arguments, overrides=overrides)


def _close(request: RunRequest, words: Sequence[str], smallest: Mapping[str, float]) -> int:
    results = [result_of(job) for job in request.jobs]
    if not any(VICTIMS[1] in result.metrics for result in results):
        return 1
    found = matrices(results, smallest)
    folder = Path(request.jobs[0].config["output_dir"])
    for one in found:
        out.print()
        out.print(matrix_table(one, out.width))
    _save(found, folder, "trial_" if results[0].trial else "")
    _next(found, words, folder)
    check_smallest("smallest=", smallest, results)  # last: a wrong name must not hide what was measured
    return 0


def _save(found: Sequence[Interactions], folder: Path, start: str) -> None:
    """The picture and the data of each matrix, their names begun with `start`; of several, under names of their own."""
    from amulet_cli.views.figures import style
    from amulet_cli.views.figures.matrix import interaction_matrix

    out.print()
    for i, one in enumerate(found):
        name = f"{start}matrix" if len(found) == 1 else f"{start}matrix_{i + 1}_{one.setting['dataset']}"
        figure = interaction_matrix(one)
        for suffix in (".svg", ".png"):
            style.save(figure, folder / f"{name}{suffix}")
        write_text(folder / f"{name}.csv", as_csv(one))
        write_text(folder / f"{name}.json", as_json(one))
        out.print(hanging("picture  ", f"{here(folder / name)}.svg .png"))
        out.print(hanging("data     ", f"{here(folder / name)}.csv .json"))


def _next(found: Sequence[Interactions], words: Sequence[str], folder: Path) -> None:
    """Ten seeds where there are fewer; else the report."""
    from amulet.assessment.verdict import MIN_SEEDS

    if min(len(one.seeds) for one in found) < MIN_SEEDS:
        rest = [word for word in words if not word.startswith(("seeds=", "seed="))]
        command = ["amulet", "matrix", *rest, f"seeds={MIN_SEEDS}"]
    else:
        command = ["amulet", "report", here(folder), "--html", "report.html"]
    out.print(Command("next     ", command))
