"""`amulet run`: one run, or a sweep of many."""

from amulet_cli.base.console import err, out
from amulet_cli.base.errors import MISTAKE, UsageError
from amulet_cli.base.flags import CommandLine, rows
from amulet_cli.config.arguments import RUN_FLAGS, SHOWN, Arguments, parse
from amulet_cli.config.completion import complete
from amulet_cli.config.composition import RunRequest, compose
from amulet_cli.config.hydra_errors import explained
from amulet_cli.config.hydra_setup import find_user_modules, opened
from amulet_cli.config.schema import ADDED, CHOICES
from amulet_cli.execution.hydra_run import hand_over
from amulet_cli.execution.job import Task, ended
from amulet_cli.execution.preflight import check_jobs, check_settings, check_writable
from amulet_cli.execution.progress import RichReporter
from amulet_cli.execution.sweep import carry_out, run_sweep
from amulet_cli.execution.trackers import track_done
from amulet_cli.results.reading import read_result
from amulet_cli.views.run_table import result_table


def command_line() -> CommandLine:
    """Hydra's words and flags."""
    groups = {f"{'+' if group in ADDED else ''}{group}=": about for group, about in CHOICES.items()}
    return CommandLine(
        f"""
        amulet run [group=option ...] [key=value ...]

        Trains a model without and with a defence on the same records, attacks both, and shows the metrics side by
        side. Results are kept: the same command again does only what is missing.

        What to choose (amulet list shows the options):
        {rows(groups)}

        What to set (an option's own settings: defense.epsilon=0.05, attack.steps=20, model.hidden=[64]):
        seed=0                    every random choice derives from it
        epochs=20 batch_size=256  training; also optimizer.lr, schedule, early_stopping, precision
        augmentation=flip_crop    random changes of training images
        device=auto               auto, cpu, cuda, cuda:<n>, mps; num_threads and workers: auto or a number
        output_dir=outputs        where results go; store= for the trained models
        force=true                do it again although it is done

        Flags:
        {RUN_FLAGS}

        Examples:
        amulet run defense=adv_training attack=model_extraction dataset=census  the main job, about a minute
        amulet run +experiment=smoke  a tiny run of a few seconds
        amulet run -m defense=adv_training defense.epsilon=0.01,0.03 'seed=range(0,3)' hydra/launcher=joblib  \
            a sweep of six runs, in as many processes as there are cores
        amulet run --config-dir my_conf attack=mine  your own attack: my_conf/attack/mine.yaml names its class

        Exit code: 0 fine, 1 a run failed, 2 the command is wrong, 124 time is up, 130 Ctrl-C.
        """,
        SHOWN,
        complete,
    )


def main(words: list[str]) -> int:
    """Check everything, then let Hydra run what is not done yet."""
    arguments = parse(words, command_line())
    if arguments.asking:
        return _let_hydra_answer(arguments)
    request = compose(arguments)
    check_settings(request)
    if "--max-time" in arguments.flags and not request.sweep:
        raise UsageError("`--max-time` ends a sweep between two runs, and this is one run", meant=["amulet run -m ..."])
    run = run_sweep if request.sweep else _run_one
    return carry_out(request, arguments, lambda: run(request, arguments))


def _run_one(request: RunRequest, arguments: Arguments) -> int:
    job = request.jobs[0]
    if not job.to_do:
        result = read_result(job.folder)
        out.print(result_table(result, job.words, arguments.config_dir, out.width))
        err.print("[dim]done before, nothing to do; force=true does it again[/]")
        if job.config.get("logger"):  # it may have been there before any tracker was asked for
            track_done(result, job.config["logger"], RichReporter(err).warn)
        return 0
    check_jobs(request, request.jobs)
    check_writable(request.jobs)
    hand_over(arguments, Task(config_dir=arguments.config_dir))
    return ended.get(job.folder, MISTAKE)


def _let_hydra_answer(arguments: Arguments) -> int:
    """`--cfg`, `--info` and `--hydra-help`: nothing is run."""
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    find_user_modules()
    if "--hydra-help" not in arguments.flags:
        with opened(arguments.config_dir) as hydra, explained(hydra, arguments.overrides, arguments.config_name):
            from hydra.types import RunMode

            hydra.compose_config(arguments.config_name, list(arguments.overrides), run_mode=RunMode.RUN)
    try:
        hand_over(arguments, Task())
    except (HydraException, OmegaConfBaseException) as error:
        raise UsageError(f"Hydra cannot show this: {str(error).splitlines()[0]}") from error
    except SystemExit as left:  # it has said why
        return MISTAKE if left.code else 0
    return 0
