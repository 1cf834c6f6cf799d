"""Where our runs beside a table of the paper come from, and whether they are of its size."""

from collections.abc import Sequence
from dataclasses import dataclass

from amulet_cli.analysis.rows import Row
from amulet_cli.base.serialize import as_text, flat
from amulet_cli.results.result import Result

_EXPERIMENT, _SIZE = ("+experiment", "experiment"), ("+paper_size", "paper_size")
_SIZES = ("epochs", "dataset.limit")
"""What an experiment of the paper sets to the paper's size, unless the command says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The experiment and the size of some runs."""

    words: str
    """`+experiment=table7_census +paper_size=quick, 10 epochs`."""
    other_size: str = ""
    """Why they are not of the paper's size; empty if they are."""


def origin_of(rows: Sequence[Row]) -> Origin:
    """What the runs of some rows were asked for with."""
    runs = list({run.folder: run for row in rows for run in row.cell.runs.values()}.values())
    experiments, sizes = _asked(runs, _EXPERIMENT), _asked(runs, _SIZE)
    words = f"+experiment={'+'.join(experiments)}" if experiments else "no experiment"
    words += f" +paper_size={'+'.join(sizes)}" if sizes else ""
    epochs = sorted({int(run.config["epochs"]) for run in runs if "epochs" in run.config})
    limits = sorted({int(limit) for run in runs if (limit := flat(run.config).get("dataset.limit"))})
    words += f", {' or '.join(map(str, epochs))} epochs" if epochs else ""
    words += f", at most {' or '.join(f'{limit:,}' for limit in limits)} training records" if limits else ""
    changed = [key for key in _SIZES if any(key in run.overrides for run in runs)]
    other = ""
    if not all(_asked([run], _EXPERIMENT) for run in runs):
        other = "they are of no experiment, so their settings are not known to be the paper's"
    elif reduced := [size for size in sizes if size != "full"]:
        other = f"paper_size={'+'.join(reduced)} reduces them"
    elif limits or changed:
        other = f"{' and '.join(changed or _SIZES[1:])} {'is' if len(changed) < 2 else 'are'} set otherwise"
    return Origin(words=words, other_size=other)


def _asked(runs: Sequence[Result], keys: Sequence[str]) -> list[str]:
    found = (as_text(run.overrides.get(key, "")).partition("/")[0] for run in runs for key in keys)
    return [word for word in dict.fromkeys(found) if word]
