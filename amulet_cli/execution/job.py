"""One run: from a composed configuration to the files in its folder. Never raises, so that no sweep is lost."""

import logging
import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from amulet.core import IncompatibleError
from amulet.core.facts import RunFacts
from amulet.core.reporting import reporting_to
from amulet_cli.base.console import err, out
from amulet_cli.base.errors import FAILURE, UsageError, as_usage_error, exit_code, in_a_line, own_code, show
from amulet_cli.base.files import locked
from amulet_cli.base.format_numbers import duration
from amulet_cli.config.composition import Job, chosen, resolved, shaping_overrides
from amulet_cli.config.hydra_setup import find_user_modules
from amulet_cli.execution.launchers import ParentProcess, Worker
from amulet_cli.execution.progress import RichReporter
from amulet_cli.execution.sweep_progress import SweepWatch, announce, numbered
from amulet_cli.execution.trackers import Run, track
from amulet_cli.results.reading import is_complete
from amulet_cli.results.result import Result, config_hash, setting_of
from amulet_cli.results.writing import write_outcome, write_status
from amulet_cli.views.run_table import result_table

if TYPE_CHECKING:
    from omegaconf import DictConfig

ended: dict[Path, int] = {}
"""Exit codes of the jobs that ran in this process, by folder."""


@dataclass(frozen=True)
class Task:
    """What Hydra calls for every job, in this process or in a launcher's worker."""

    sweep: bool = False
    total: int = 1
    swept: tuple[str, ...] = ()
    config_dir: Path | None = None
    """The user's own options, for the commands that a single run ends with."""
    watch: SweepWatch | None = None
    """The progress of the sweep, if its jobs run in this process."""
    before: int = 0
    """The number of jobs of the same command that Hydra got earlier, if it gets them in parts."""
    worker: Worker | None = None
    """What a launcher's process must know; other jobs run at the same time then, so there is no live display."""
    tracked_as: str = ""
    """The key of the sweep under which trackers file the job."""
    deadline: float = math.inf
    """Seconds since the epoch, on every machine, after which no job begins."""

    def __call__(self, cfg: "DictConfig") -> int:
        """Run the job; its exit code."""
        if time.time() >= self.deadline:
            return 0
        from hydra.core.hydra_config import HydraConfig
        from hydra.core.override_parser.overrides_parser import OverridesParser

        if self.worker:
            _be_a_worker(self.worker)
            find_user_modules()
        hydra = HydraConfig.get()
        words = list(hydra.overrides.task)
        parsed = OverridesParser.create().parse_overrides(words)
        said = shaping_overrides(parsed)
        job = Job(resolved(cfg, self.config_dir, said), chosen(hydra.runtime.choices), said, tuple(words))
        number = self.before + int(hydra.job.num) + 1 if self.sweep else 1
        code = _Attempt(self, job, number).code()
        ended[job.folder] = code
        return code


class _Attempt:
    def __init__(self, task: Task, job: Job, number: int) -> None:
        self.task, self.number, self.label = task, number, job.label(task.swept)
        self.config, self.choices, self.overrides, self.folder = job.config, job.choices, job.overrides, job.folder
        self.words = job.words
        self.facts: RunFacts | None = None
        whole = task.watch.standing if task.watch else None
        self.reporter = RichReporter(Console(quiet=True) if task.worker else err, whole=whole)

    def code(self) -> int:
        """Run unless it is done; any error is written to `status.json` and the log."""
        began = time.monotonic()
        try:
            with self._alone():
                if not self.config["force"] and is_complete(self.folder, self.config):
                    return 0 if self.task.sweep else self._say("skipped", "done before, by another process")
                with _logged(self.folder / "run.log"):
                    return self._run(began)
        except Exception as error:  # noqa: BLE001 - the folder or its lock cannot be used
            return self._failed(error)

    def _run(self, began: float) -> int:
        if not self.task.sweep:
            self._say("run", f"{' · '.join(setting_of(self.choices))} · seed {self.config['seed']}")
        else:
            self._say("run", "")
        write_status(self.folder, "running", **self._names())
        try:
            result = self._assess()
        except IncompatibleError as error:
            if not self.task.sweep:
                return self._failed(error)
            write_status(self.folder, "refused", reason=str(error), **self._names())
            return self._say("refused", str(error))
        except (Exception, SystemExit) as error:  # noqa: BLE001 - one failed job must not lose a sweep
            return self._failed(error)
        track(Run(result, self.reporter.curves, self.task.tracked_as), self.reporter.warn)
        if self.task.sweep:
            took = f"in {duration(time.monotonic() - began)}"
            return self._say("done", ", ".join(filter(None, (took, self.reporter.from_store))))
        if self.reporter.from_store:
            err.print(f"[dim]{self.reporter.from_store}[/]")
        out.print(result_table(result, self.words, self.task.config_dir, out.width))
        return 0

    def _assess(self) -> Result:
        import torch

        from amulet.assessment import assess, plan_facts
        from amulet.training import Runtime, resolve_device
        from amulet_cli.execution import environment
        from amulet_cli.execution.plan import load_data, plan_of, store_folder
        from amulet_cli.results.store import DiskStore

        config = self.config
        device = resolve_device(config["device"])
        environment.be_deterministic(device)
        with reporting_to(self.reporter):
            data = load_data(config["dataset"])
        cores = self.task.worker.cores if self.task.worker else None
        store = DiskStore(store_folder(config), self.reporter)
        runtime = Runtime(device, store, self.reporter, environment.workers(config["workers"], cores))
        plan = plan_of(config, data=data, runtime=runtime)
        self.facts = plan_facts(plan)
        model = plan.architecture.build(input_shape=data.shape, num_classes=data.num_classes)
        one = data.train.inputs(slice(0, 1))
        count = environment.threads(config["num_threads"], model, one, plan.batch_size)
        torch.set_num_threads(min(count, cores or count))
        outcome = assess(plan)
        return write_outcome(
            self.folder,
            outcome,
            choices=self.choices,
            overrides=self.overrides,
            config=config,
            environment=environment.environment(device),
        )

    def _failed(self, error: Exception | SystemExit) -> int:
        known = None if isinstance(error, SystemExit) else as_usage_error(error)
        text = str(error) if known else in_a_line(error)
        code = known.code if known else own_code(error)
        text += f" ({code})" if code and self.task.sweep else ""
        log = self.folder / "run.log"
        logging.getLogger("amulet").error("%s\n%s", text, "".join(traceback.format_exception(error)))
        try:
            write_status(self.folder, "failed", error=text, log=str(log), **self._names())
        except OSError as trouble:  # a full disk, a deleted folder: say so, because the closing table will not show it
            text = f"{text} ({self.folder}: {trouble.strerror})"
        except Exception as trouble:  # noqa: BLE001 - what cannot be written must not hide what failed
            text = f"{text} (and `status.json` cannot be written: {trouble})"
        if self.task.sweep:
            self._say("failed", text.splitlines()[0])
            return FAILURE
        failed = UsageError(text, where=f"the whole story: {log}", code=code, title="This run failed")
        show(failed if known is None or code else known)
        return FAILURE if isinstance(error, SystemExit) else exit_code(error)

    def _names(self) -> dict[str, Any]:
        facts = {"facts": self.facts.as_dict()} if self.facts else {}
        return {"choices": dict(self.choices), "overrides": dict(self.overrides), **facts}

    def _say(self, state: str, text: str) -> int:
        """One line on the console: the job and its state. The sweep's own process reports jobs that run elsewhere."""
        if self.task.worker:
            return 0
        name = numbered(self.number, self.task.total, self.label) if self.task.sweep else ""
        left = ""
        if self.task.watch and state != "run":
            self.task.watch.look()
            left = self.task.watch.left()
        announce(err, state, name, text, left)
        return 0

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """If two processes have the same run, the second waits, and then finds it done."""
        lock = f"{config_hash(self.config)[:16]}-{self.config['seed']}.lock"
        note = "another process is at this run; waiting for it"
        with locked(Path(self.config["output_dir"]) / ".locks" / lock, lambda: self.reporter.note(note)):
            yield


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Also write the run's messages to a separate file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    log = logging.getLogger("amulet")
    level, propagate = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False  # the console has it already; opacus prints everything that reaches the root logger
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate
        handler.close()


def _be_a_worker(worker: Worker) -> None:
    """Leave Ctrl-C to the parent process, end with it, and use its working directory."""
    if Path.cwd() != worker.folder:
        os.chdir(worker.folder)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not any(thread.name == _WATCH for thread in threading.enumerate()):
        threading.Thread(target=_watch, args=(os.getppid(), worker.parent), name=_WATCH, daemon=True).start()


_WATCH = "amulet-parent-watch"


def _watch(parent_id: int, parent: ParentProcess | None) -> None:
    while os.getppid() == parent_id and (parent is None or parent.alive()):
        time.sleep(0.5)
    os._exit(1)
