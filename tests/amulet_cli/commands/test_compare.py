"""`amulet compare`: what differs between two runs, and nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amulet_cli.base.errors import UsageError
from amulet_cli.commands import compare as verb
from amulet_cli.results.result import result_folder
from amulet_cli.results.writing import write_status
from tests.helpers.made_up_results import MadeUp, choices, config, typical, with_records, write

Compared = Callable[..., str]


@pytest.fixture
def compared(capsys: pytest.CaptureFixture[str]) -> Compared:
    def run(*paths: Path) -> str:
        assert verb.main([str(path) for path in paths]) == 0
        return capsys.readouterr().out

    return run


def line_of(text: str, word: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.strip().startswith(word)]
    return line.split()


def test_settings_that_differ_are_shown_and_others_are_not(tmp_path: Path, compared: Compared) -> None:
    a = write(tmp_path, typical(), seed=0, overrides={"defense.epsilon": 0.1})
    b = write(tmp_path, typical(), seed=1, overrides={"defense.epsilon": 0.03, "attack.steps": 40})
    text = compared(a.folder, b.folder)
    assert line_of(text, "defense.epsilon") == ["defense.epsilon", "0.1", "0.03"]
    assert line_of(text, "attack.steps") == ["attack.steps", "-", "40"]
    assert line_of(text, "seed") == ["seed", "0", "1"]
    assert "epochs" not in text
    assert "output_dir" not in text


def test_metrics_that_differ_for_both_victims_with_intervals(tmp_path: Path, compared: Compared) -> None:
    def outcome(robust: float, far: float) -> MadeUp:
        made = MadeUp(
            {"undefended": {"same": 0.5, "robust_accuracy": robust}, "defended": {"same": 0.6, "fidelity": far}},
            intervals={
                "undefended": {"robust_accuracy": (robust - 0.01, robust + 0.01)},
                "defended": {"fidelity": (far - 0.01, far + 0.01)},
            },
        )
        return with_records(made)

    a = write(tmp_path / "a", outcome(0.25, 0.9))
    b = write(tmp_path / "b", outcome(0.255, 0.95))
    text = compared(a.folder, b.folder)
    assert line_of(text, "robust_accuracy")[1:] == [
        "25.00%",
        "[24.0,",
        "26.0]",
        "25.50%",
        "[24.5,",
        "26.5]",
        "+0.50",
        "[+0.5,",
        "+0.5]",
    ]
    assert line_of(text, "fidelity")[1:] == [
        "90.00%",
        "[89.0,",
        "91.0]",
        "95.00%",
        "[94.0,",
        "96.0]",
        "+5.00",
        "[+5.0,",
        "+5.0]",
    ]
    assert (
        text.index("undefended")
        < text.index("robust_accuracy")
        < text.index("defended\n".strip(), text.index("robust"))
    )
    assert "2 others are the same" in text
    assert "The same settings" in text


def test_a_metric_that_only_one_run_has(tmp_path: Path, compared: Compared) -> None:
    a = write(tmp_path / "a", MadeUp({"undefended": {"test_accuracy": 0.5}}))
    b = write(tmp_path / "b", MadeUp({"undefended": {"test_accuracy": 0.5, "mse": 0.125}}))
    text = compared(a.folder, b.folder)
    assert line_of(text, "mse")[1:] == ["-", "0.125", "-"]


def test_the_same_run_twice(tmp_path: Path, compared: Compared) -> None:
    result = write(tmp_path, typical())
    text = compared(result.folder, result.folder.parent)  # the folder above holds only this one
    assert "No metric differs" in text
    assert "all 16 are the same" in text


def test_a_nan_is_equal_to_a_nan(tmp_path: Path, compared: Compared) -> None:
    nothing = MadeUp({"undefended": {"auc": float("nan"), "fidelity": 0.5}})
    text = compared(write(tmp_path / "a", nothing).folder, write(tmp_path / "b", nothing).folder)
    assert "No metric differs" in text


@pytest.mark.parametrize("count", [0, 1, 3])
def test_two_runs_are_compared(count: int) -> None:
    with pytest.raises(UsageError, match=f"takes two runs, got {count}"):
        verb.main(["x"] * count)


def test_mistakes_are_told(tmp_path: Path) -> None:
    good = write(tmp_path / "good", typical())
    write(tmp_path / "good", typical(), seed=1)
    failed = result_folder(config(), choices(), tmp_path / "bad")
    write_status(failed, "failed", error="out of memory")
    (tmp_path / "empty").mkdir()
    cases = {
        tmp_path / "nowhere": "There is no folder",
        tmp_path / "empty": "There is no run in",
        tmp_path / "good": "There are 2 runs in",
        failed: "This run failed: out of memory",
    }
    for path, message in cases.items():
        with pytest.raises(UsageError) as error:
            verb.main([str(good.folder), str(path)])
        assert message in error.value.what
