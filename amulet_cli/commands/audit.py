"""`amulet audit`: every attack against one defence or one model."""

import dataclasses

from rich.text import Text

from amulet_cli.base.console import out
from amulet_cli.base.errors import UsageError
from amulet_cli.base.flags import CommandLine
from amulet_cli.config.arguments import SWEEP_FLAGS, Arguments, key_of, parse
from amulet_cli.config.completion import complete
from amulet_cli.config.composition import compose
from amulet_cli.config.options import find_options
from amulet_cli.execution.preflight import check_settings
from amulet_cli.execution.sweep import carry_out, result_of, run_sweep
from amulet_cli.views.audit_tables import audit_tables


def command_line() -> CommandLine:
    """The words of `amulet run`, and no flag that is about one run."""
    return CommandLine(
        f"""
        amulet audit [defense=...] [model=my_module:MyNet] [checkpoint=FILE] [key=value ...]

        A sweep over all attacks, those of your own folder included: the same runs, folders and exit code as
        amulet run -m attack=... has. The victims are trained once. It ends in one table for each risk: what was
        measured here, its baselines and warnings, and beside it what the literature expects.

        A model of your own:
        model=my_module:MyNet  a class or function in my_module.py; its settings: model.width=64
        checkpoint=FILE        its trained weights (a state dict): the undefended victim, attacked as it is
        recipe=given           the checkpoint was trained with the settings of this command: where an attack needs \
            that, a model may be trained again with them
        members=given          the given model was trained on the training records: membership is judged on itself

        Also:
        attack=lira,badnets    these attacks only
        seed=range(0,10)       over seeds; with verdicts from ten seeds on
        {SWEEP_FLAGS}

        Examples:
        amulet audit defense=adv_training dataset=census  what does adversarial training do to every risk?
        amulet audit model=my_nets:Wide model.width=64  every attack on your own architecture
        amulet audit model=my_nets:Wide checkpoint=wide.pt  what can be done to a trained model as it is

        Exit code: 0 fine, 1 a run failed, 2 the command is wrong, 124 time is up, 130 Ctrl-C.
        """,
        words=complete,
    )


def main(words: list[str]) -> int:
    """Run the sweep, then show its results risk by risk."""
    arguments = every_attack(parse(words, command_line()))
    request = compose(arguments)
    check_settings(request)

    def run() -> int:
        code = run_sweep(request, arguments, table=False)
        # A refused run has left no configuration: its attack is to be known all the same.
        results = [dataclasses.replace(result_of(job), config=job.config) for job in request.jobs]
        out.print(Text(), audit_tables(results), sep="\n")
        return code

    return carry_out(request, arguments, run)


def every_attack(arguments: Arguments) -> Arguments:
    """The sweep that an audit is: over all attacks, unless the command names some."""
    if any(key_of(word) == "attack" for word in arguments.overrides):
        return arguments.as_sweep()
    for word in arguments.overrides:
        if key_of(word).startswith("attack."):
            raise UsageError(
                f"`{word}` is a setting of one attack, and an audit runs them all",
                expected="attack=NAME beside it; or an option of your own in --config-dir, with your settings",
            )
    found = find_options(arguments.config_dir, "attack")
    return arguments.as_sweep(f"attack={','.join(o.name for o in found if o.name != 'none' and not o.suite)}")
