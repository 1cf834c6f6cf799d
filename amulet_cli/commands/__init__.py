"""The verbs: a line in `VERBS`, and a thin module each with ``command_line()`` and ``main(words) -> int``."""

from importlib import import_module
from types import ModuleType

from amulet_cli.base.flags import CommandLine, rows

VERBS = {
    "run": "trains a model without and with a defence, attacks both, says what changed",
    "audit": "every attack against one defence, or one model of yours, as a table for each risk",
    "matrix": "every defence x every risk: what rises, what falls, beside what the literature expects",
    "validate": "composes and checks a run or a sweep without running it",
    "list": "what can be chosen: data sets, models, defences, attacks, metrics, experiments",
    "report": "any runs as one table over seeds: mean, error, paired difference, verdict",
    "gate": "runs held against the limits of a policy: pass, fail, inconclusive, not measured",
    "view": "runs on a page in the browser: filter, compare, open evidence, follow a running sweep",
    "plot": "one figure of any runs, as SVG, PDF or PNG",
    "compare": "two runs: which settings and which metrics differ",
    "data": "data sets: what is here, where, under which licence; check, fetch, look",
    "doctor": "this machine: versions, processor, memory, disk, GPU, extras, and what to do about problems",
    "completion": "makes the Tab key complete commands, options and settings, in bash, zsh and fish",
}
"""In the order of the overview."""


def load(verb: str) -> ModuleType:
    """The module of a verb. It says what it takes when it is asked: parts of that can come from plug-ins."""
    return import_module(f"amulet_cli.commands.{verb}")


def overview() -> CommandLine:
    """What `amulet` itself takes."""
    return CommandLine(
        f"""
        amulet <command> ...

        Amulet measures what a machine-learning defence does to risks that it was not made for: it trains a model
        without and with the defence, attacks both, and says what changed.

        Commands:
        {rows(VERBS)}

        Options:
        -h, --help     this page; of a command: amulet run --help
        -V, --version  the version
        --cite         how to cite Amulet and the paper, as BibTeX

        Examples:
        amulet run defense=adv_training attack=model_extraction  \
            does adversarial training make a model easier to steal? About a minute
        amulet run -m defense=adv_training defense.epsilon=0.01,0.03,0.1  a sweep: one run for each value
        amulet list  the data sets, models, defences and attacks to choose from
        amulet report outputs  all results so far as one table

        Tab completion: amulet completion --help
        """,
        words=tuple(VERBS),
    )
