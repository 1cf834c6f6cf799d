"""What a person sees: the closing tables, and progress with and without a terminal."""

import dataclasses
import io
import math
import pickle
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from amulet_cli.base import format_numbers
from amulet_cli.base.console import Command, err, out
from amulet_cli.execution.progress import RichReporter
from amulet_cli.results.result import Result
from amulet_cli.views.run_table import next_commands, result_table
from amulet_cli.views.sweep_table import sweep_table
from tests.helpers.made_up_results import MadeUp, choices, config, stated, typical, with_records, write


def shown(renderable: object, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(renderable)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def line_of(text: str, word: str) -> str:
    """The row of a table, not the sentence below it."""
    [line] = [line for line in text.partition("in words")[0].splitlines() if word in line]
    return line


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_of_a_run(tmp_path: Path, width: int) -> None:
    outcome = with_records(typical())
    text = shown(result_table(write(tmp_path, outcome, overrides={"defense.epsilon": 0.05}), width=width), width)
    line = line_of(text, "robust_accuracy")
    below = text.splitlines()[text.splitlines().index(line) + 1]
    before, after = (outcome.metrics[victim]["robust_accuracy"] for victim in ("undefended", "defended"))
    assert f"{100 * before:.2f}%" in line
    assert f"[{100 * before - 0.5:.1f}, {100 * before + 0.5:.1f}]" in (below if width < 110 else line)
    assert f"{100 * after:.2f}%" in line
    assert re.search(rf"\{100 * (after - before):+.2f}.* better", line)  # lower is worse, and it rose
    assert re.search(r"\[\+52\.\d, \+5[34]\.\d\]", below if width < 110 else line), "of the change"
    assert line.startswith("* ")
    assert "worse" in line_of(text, "  fidelity ")  # higher is worse, and it rose
    assert not re.search("worse|better", line_of(text, "fidelity_kappa")), "nothing is known of its records"
    assert "≈" in line_of(text, "stolen_test_accuracy")
    assert "76.07%" in text  # the baseline
    headings = [text.index(heading) for heading in ("Utility", "S1 evasion", "S3 unauthorized model ownership")]
    assert headings == sorted(headings)
    assert max(map(len, text.splitlines())) <= width


def test_the_change_of_a_model_that_answers_one_class_is_not_called_better(tmp_path: Path) -> None:
    outcome = stated(with_records(typical()), config())
    text = shown(result_table(write(tmp_path / "a", outcome)), 120)
    assert "better" in line_of(text, "* robust_accuracy")
    lost = dataclasses.replace(outcome, facts=dataclasses.replace(outcome.facts, collapsed=("defended",)))
    text = shown(result_table(write(tmp_path / "b", lost)), 120)
    for metric in ("* robust_accuracy", "  fidelity "):
        assert line_of(text, metric).endswith("not measurable")
    assert "not measurable" not in line_of(text, "  test_accuracy"), "its accuracy is a number like another"


def test_arrows_say_which_way_is_worse_without_colour(tmp_path: Path) -> None:
    text = shown(result_table(write(tmp_path, typical())))
    assert "robust_accuracy ↓" in text
    assert "fidelity ↑" in text
    assert not re.search("train_accuracy [↑↓]", text)


def test_warnings_and_what_to_do_next_stand_below(tmp_path: Path) -> None:
    outcome = typical()
    outcome.warnings = ["the attack had not converged. Raise attack.steps"]
    result = write(tmp_path, outcome, chosen=choices(second_defense="watermark"), overrides={"epochs": 3})
    words = ("second_defense=watermark", "epochs=3", "dataset.positive=<=50K", "output_dir=my runs", "seed=4")
    text = shown(result_table(result, words), 200)
    assert "warning  the attack had not converged" in text
    assert str(result.folder) in text
    more, report = next_commands(result, words)
    assert more == ["amulet", "run", "-m", *words[:-1], "seed=range(0,10)"], "the same command over seeds"
    assert "'dataset.positive=<=50K' 'output_dir=my runs' 'seed=range(0,10)'" in text, "a shell reads them back"
    assert report == ["amulet", "report", str(result.folder.parent)]
    assert f"amulet run --config-dir {tmp_path} -m" in shown(result_table(result, words, tmp_path), 400)


def test_an_undefended_run_has_no_change(tmp_path: Path) -> None:
    outcome = MadeUp({"undefended": {"test_accuracy": 0.83, "mse": 0.0123456, "race.auc": math.nan}})
    text = shown(result_table(write(tmp_path, outcome, chosen=choices(defense="none"))))
    assert "change" not in text
    assert "83.00%" in text
    assert re.search(r"mse ↓ +0\.0123 *\n", text)
    assert "defense=none" not in text


def test_a_metric_of_somebody_elses_is_shown_too(tmp_path: Path) -> None:
    outcome = MadeUp({"undefended": {"mine": 0.5}, "defended": {"mine": 0.75}})
    text = shown(result_table(write(tmp_path, outcome)))
    assert "Other" in text
    assert "+25.00" in line_of(text, "mine")
    assert not re.search("better|worse$", line_of(text, "mine"))


@pytest.mark.parametrize("width", [60, 80, 200])
def test_a_command_can_be_copied_from_the_console(width: int) -> None:
    words = ["amulet", "run", "-m", "defense=adv_training", "optimizer={_target_: torch.optim.SGD}", "seed=range(0,10)"]
    text = shown(Command("next     ", words), width)
    code = text.removeprefix("next     ").replace(
        "amulet ", f"{sys.executable} -c 'import sys; print(sys.argv[1:])' ", 1
    )
    run = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(words[1:])


def some_jobs(tmp_path: Path) -> list[Result]:
    jobs = [
        write(tmp_path, typical(seed, epsilon), seed=seed, overrides={"defense.epsilon": epsilon, "epochs": 3})
        for epsilon in (0.01, 0.1)
        for seed in (0, 1)
    ]
    jobs[1] = dataclasses.replace(jobs[1], state="skipped")
    jobs[2] = dataclasses.replace(jobs[2], state="failed", metrics={}, reason="the loss is not finite")
    jobs[3] = dataclasses.replace(jobs[3], state="refused", metrics={}, reason="it makes no sense")
    return jobs


def test_the_table_of_a_sweep(tmp_path: Path) -> None:
    jobs = some_jobs(tmp_path)
    text = shown(sweep_table(jobs, 200), 200)
    (row,) = (line for line in text.splitlines() if "fidelity_kappa" in line and "±" in line)
    for victim in ("undefended", "defended"):
        first, second = (100 * job.metrics[victim]["fidelity_kappa"] for job in jobs[:2])
        assert f"{(first + second) / 2:.2f} ± {abs(first - second) / 2:.2f}" in row, "the mean over the seeds"
    assert "No verdicts: they need 10 seeds" in text
    assert "stolen_test_accuracy" not in text, "the main metrics alone"
    assert "next     amulet report" in text
    assert "4 jobs: 1 done, 1 skipped, 1 failed, 1 refused" in text
    assert "the loss is not finite" in text
    assert str(jobs[2].log) in text
    assert "it makes no sense" in text
    assert str(jobs[3].log) not in text  # a refusal is no failure: there is nothing to look up


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_sweep_ends_in_whole_words_at_any_width(tmp_path: Path, width: int) -> None:
    jobs = [
        write(tmp_path, typical(seed, epsilon), seed=seed, overrides={"defense.epsilon": epsilon})
        for epsilon in (0.01, 0.1)
        for seed in range(3)
    ]
    text = shown(sweep_table(jobs, width), width)
    assert max(map(len, text.splitlines())) <= width
    for word in ("adv_training", "defense.epsilon", "test_accuracy", "robust_accuracy", "fidelity_kappa", "defended"):
        assert word in text, "no name is cut"
    for epsilon, runs in ((0.01, jobs[:3]), (0.1, jobs[3:])):
        mean = sum(run.metrics["defended"]["robust_accuracy"] for run in runs) / 3
        assert f"{100 * mean:.2f} ±" in text, f"the mean at {epsilon}"


def test_a_sweep_without_any_result_still_has_its_table(tmp_path: Path) -> None:
    jobs = [dataclasses.replace(job, state="failed", metrics={}, reason="x") for job in some_jobs(tmp_path)]
    assert "4 jobs: 4 failed" in shown(sweep_table(jobs))


def test_consoles_have_room_where_there_is_no_terminal_and_no_colour_where_none_is_wanted() -> None:
    code = "from amulet_cli.base.console import out; print(out.width); out.print('[red]x')"

    def answer(**environment: str) -> list[str]:
        run = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            stdin=subprocess.DEVNULL,
            env={"PATH": "", "PYTHONPATH": str(Path(__file__).parents[3])} | environment,
        )
        return run.stdout.split()

    assert answer() == ["120", "x"]
    assert answer(COLUMNS="70") == ["70", "x"]
    forced = answer(FORCE_COLOR="1", COLUMNS="80")[1]
    assert "\x1b[31m" in forced
    assert "\x1b[31m" not in answer(FORCE_COLOR="1", COLUMNS="80", NO_COLOR="1")[1]


def test_results_and_talk_go_to_different_streams() -> None:
    assert not out.stderr
    assert err.stderr


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _do_nothing(_: object) -> None:
    """Instead of a thread."""


class Plain:
    """A reporter that writes to a pipe, by a clock of ours, beating only when told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("amulet_cli.execution.progress.Beat.start", _do_nothing)
        self.clock = Clock()
        self.file = io.StringIO()
        self.reporter = RichReporter(Console(file=self.file, width=120), self.clock)

    def passes(self, seconds: float) -> None:
        self.clock.now += seconds
        self.reporter.tick()

    @property
    def lines(self) -> list[str]:
        return self.file.getvalue().splitlines()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Plain:
    return Plain(monkeypatch)


def test_without_a_terminal_a_long_stage_leaves_a_few_plain_lines(plain: Plain) -> None:
    with plain.reporter.stage("train undefended", 30, "epoch") as stage:
        for _ in range(30):
            stage.advance(1, loss=0.3123)
            plain.passes(1)
    assert plain.lines[0] == "        train undefended: 2/30 epochs, loss 0.312, 28 s left"
    assert plain.lines[1] == "        train undefended: 22/30 epochs, loss 0.312, 8.0 s left"
    assert plain.lines[2:] == ["done    train undefended: 30 epochs, loss 0.312, 30 s"]


def test_a_short_stage_leaves_nothing(plain: Plain) -> None:
    with plain.reporter.stage("load", 1, "file") as stage:
        stage.advance()
        plain.passes(1.9)
    assert plain.lines == []


def test_a_stage_that_never_advances_is_seen_to_live(plain: Plain) -> None:
    with plain.reporter.stage("values of records"):
        plain.passes(2.5)
        plain.passes(10)
        plain.passes(20)
    assert plain.lines == [
        "        values of records: 2.5 s",
        "        values of records: 32 s",
        "done    values of records: 32 s",
    ]


def test_stages_may_be_nested(plain: Plain) -> None:
    with plain.reporter.stage("shadow models", 2, "model") as outer:
        for _ in range(2):
            with plain.reporter.stage("train", 3, "epoch") as inner:
                inner.advance(3)
                plain.passes(3)
            outer.advance()
    done = [line for line in plain.lines if line.startswith("done")]
    assert done == ["done    train: 3 epochs, 3.0 s"] * 2 + ["done    shadow models: 2 models, 6.0 s"]


def test_a_stage_that_fails_says_how_far_it_came_and_lets_the_error_through(plain: Plain) -> None:
    def train() -> None:
        with plain.reporter.stage("train", 30, "epoch") as stage:
            stage.advance(4)
            plain.clock.now += 5
            raise RuntimeError("diverged")

    with pytest.raises(RuntimeError, match="diverged"):
        train()
    assert plain.lines == ["stopped train: 4/30 epochs, 5.0 s"]


def test_notes_and_warnings_are_printed_and_logged(plain: Plain, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "amulet"):
        plain.reporter.note("loaded the undefended model [0f1e]")
        plain.reporter.warn("a damaged file was set aside")
    assert plain.lines == ["loaded the undefended model [0f1e]", "warning: a damaged file was set aside"]
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "loaded the undefended model [0f1e]"),
        ("WARNING", "a damaged file was set aside"),
    ]


def test_a_terminal_gets_a_live_line_that_disappears() -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=80, color_system=None)
    reporter = RichReporter(console)
    with reporter.stage("train undefended", 30, "epoch") as stage:
        stage.advance(12, loss=0.25)
        time.sleep(0.6)
        reporter.note("loaded a model")
        with reporter.stage("inner"):
            time.sleep(0.3)
    written = file.getvalue()
    assert "12/30 epochs, loss 0.25" in written
    assert "loaded a model" in written
    assert written.count("train undefended") < 12  # a few updates per second
    assert written.rstrip("\r").endswith("\x1b[1A\x1b[2K\x1b[?25h")  # lines cleared, cursor shown again
    drawing = [thread for thread in threading.enumerate() if "Refresh" in type(thread).__name__]
    for thread in drawing:
        thread.join(5)
    assert not any(thread.is_alive() for thread in drawing)


def test_reporting_costs_nothing_per_step(plain: Plain) -> None:
    with plain.reporter.stage("attack", 1_000_000, "record") as stage:
        began = time.perf_counter()
        for _ in range(100_000):
            stage.advance(1, loss=0.5)
        each = (time.perf_counter() - began) / 100_000
    assert plain.lines == []
    assert each < 1e-5  # ten times what it takes here; drawing would take a hundred times more


def test_the_silent_reporter_of_a_worker_can_be_sent_to_it() -> None:
    from amulet.core.reporting import Reporter

    assert isinstance(pickle.loads(pickle.dumps(Reporter())), Reporter)  # noqa: S301


@pytest.mark.parametrize(("seconds", "text"), [(9.96, "10 s"), (59.7, "1 min 00 s"), (3599.9, "1 h 00 min")])
def test_durations_round_into_the_next_unit(seconds: float, text: str) -> None:
    assert format_numbers.duration(seconds) == text
