"""Result folders: names, hashes, whole or not there, the same bytes for the same run, found and read again."""

import csv
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from amulet_cli.base import files
from amulet_cli.base.errors import UsageError
from amulet_cli.base.serialize import canonical_json, plain
from amulet_cli.results.reading import find_results, is_complete, read_result
from amulet_cli.results.result import Result, config_hash, result_folder
from amulet_cli.results.writing import write_outcome, write_status
from tests.helpers.made_up_results import MadeUp, choices, config, reseal, stated, typical, write

FILES = {"config.yaml", "metrics.json", "metrics.csv", "evidence.npz", "status.json"}


def metrics_json(result: Result) -> dict[str, Any]:
    return json.loads((result.folder / "metrics.json").read_text())


def refusal(folder: Path) -> str:
    with pytest.raises(UsageError) as error:
        read_result(folder)
    return f"{error.value.what} {error.value.expected or ''}"


@pytest.mark.parametrize("key", ["seed", "device", "num_threads", "workers", "output_dir", "store", "force", "hydra"])
def test_the_hash_is_blind_to_what_does_not_shape_a_result(key: str) -> None:
    assert config_hash(config(**{key: "other"})) == config_hash(config())


@pytest.mark.parametrize("key", ["epochs", "defense.epsilon", "metric", "attack.steps"])
def test_the_hash_sees_what_does(key: str) -> None:
    assert config_hash(config(**{key: 99})) != config_hash(config())


def test_the_hash_ignores_about_texts_at_any_depth_and_the_order_of_keys() -> None:
    a = {"defense": {"epsilon": 0.1, "inner": [{"about": "x", "b": 1}]}, "epochs": 1}
    b = {"epochs": 1, "about": {"line": "y"}, "defense": {"inner": [{"b": 1}], "epsilon": 0.1, "about": "z"}}
    assert config_hash(a) == config_hash(b)


@given(
    st.dictionaries(
        st.text("abc", min_size=1),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text()),
    )
)
def test_the_hash_survives_the_way_through_yaml(cfg: dict[str, Any]) -> None:
    assert config_hash(yaml.safe_load(yaml.safe_dump(cfg))) == config_hash(cfg)


def test_folder_names() -> None:
    cfg = config(seed=3)
    folder = result_folder(cfg, choices(), "out")
    assert folder == Path("out/census/linearnet/adv_training/model_extraction") / config_hash(cfg)[:8] / "seed=3"
    two = result_folder(cfg, choices(second_defense="watermark"), "out")
    assert two.parts[3] == "adv_training+watermark"
    assert result_folder(cfg, choices(second_defense="none"), "out") == folder


def test_no_choice_can_leave_the_output_folder() -> None:
    folder = result_folder(config(), choices(attack="../../evil", dataset=".."), "out")
    assert ".." not in folder.parts
    assert len(folder.parts) == len(result_folder(config(), choices(), "out").parts)


def test_a_written_run_has_the_documented_form(tmp_path: Path) -> None:
    result = write(tmp_path, typical(), overrides={"defense.epsilon": 0.05})
    assert {path.name for path in result.folder.iterdir()} == FILES
    content = metrics_json(result)
    assert set(content) == {
        "schema",
        "seed",
        "choices",
        "overrides",
        "metrics",
        "baselines",
        "intervals",
        "influences",
        "invalid",
        "manifest",
        "warnings",
        "timings",
        "environment",
        "facts",
        "seal",
    }
    assert content["schema"] == 2
    assert content["choices"] == choices()
    assert content["overrides"] == {"defense.epsilon": 0.05}
    assert content["metrics"] == typical().metrics
    assert json.loads((result.folder / "status.json").read_text()) == {"state": "done"}
    with np.load(result.folder / "evidence.npz") as arrays:
        assert arrays["undefended.ids"].tolist() == [0, 1, 2]
    assert is_complete(result.folder, config(**{"defense.epsilon": 0.05}))


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    written = write(tmp_path, typical(), seed=4)
    read = read_result(written.folder)
    assert read == written
    assert read.metrics == typical().metrics
    assert read.intervals == typical().intervals
    assert read.hash == written.folder.parent.name


def test_the_csv_is_tidy(tmp_path: Path) -> None:
    outcome = typical()
    result = write(tmp_path, outcome, seed=2, overrides={"defense.epsilon": 0.1, "attack": "model_extraction"})
    with (result.folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        "dataset",
        "model",
        "defense",
        "attack",
        "defense.epsilon",
        "seed",
        "victim",
        "metric",
        "value",
        "baseline",
        "low",
        "high",
    ]
    assert len(rows) == sum(len(row) for row in outcome.metrics.values())
    [row] = [row for row in rows if (row["victim"], row["metric"]) == ("defended", "robust_accuracy")]
    assert float(row["value"]) == outcome.metrics["defended"]["robust_accuracy"]
    assert float(row["baseline"]) == outcome.baselines["defended"]["robust_accuracy"]
    assert (float(row["low"]), float(row["high"])) == outcome.intervals["defended"]["robust_accuracy"]
    assert (row["defense.epsilon"], row["seed"]) == ("0.1", "2")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    shuffled = typical()
    shuffled.metrics = {victim: dict(reversed(row.items())) for victim, row in reversed(typical().metrics.items())}
    first, second = write(tmp_path / "a", typical()), write(tmp_path / "b", shuffled)
    for name in ("metrics.json", "config.yaml", "evidence.npz"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_are_written_exactly(value: float) -> None:
    assert json.loads(canonical_json({"x": value}))["x"] == value


def test_canonical_json_refuses_what_json_does_not_have() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"x": math.nan})


def test_numbers_that_are_not_finite_become_null_and_are_named(tmp_path: Path) -> None:
    outcome = MadeUp(
        {"undefended": {"auc": math.nan, "mse": 0.5}},
        baselines={"undefended": {"mse": math.inf}},
        intervals={"undefended": {"mse": (-math.inf, 1.0)}},
        manifest={"p1": {"shadows": [1.0, math.nan]}},
        warnings=["first"],
    )
    result = write(tmp_path, outcome)
    content = metrics_json(result)
    assert content["metrics"]["undefended"] == {"auc": None, "mse": 0.5}
    assert content["intervals"]["undefended"]["mse"] == [None, 1.0]
    assert content["warnings"][0] == "first"
    assert len(content["warnings"]) == 2  # one for all of them
    named = " ".join(content["warnings"][1:])
    for name in ("metrics.undefended.auc", "baselines.undefended.mse", "intervals.undefended.mse[0]"):
        assert f"`{name}`" in named
    assert "`manifest.p1.shadows[1]`" in named
    assert "`metrics.undefended.mse`" not in named
    read = read_result(result.folder)
    assert math.isnan(read.metrics["undefended"]["auc"])
    assert "undefended,auc,,," in (result.folder / "metrics.csv").read_text()


def test_scalars_of_numpy_and_torch_are_numbers() -> None:
    import torch

    value = {"a": np.float32(0.5), "b": np.int64(3), "c": torch.tensor([1.0, 2.0]), "d": np.bool_(True), "e": Path("x")}
    assert plain(value) == {"a": 0.5, "b": 3, "c": [1.0, 2.0], "d": True, "e": "x"}


def test_another_configuration_or_seed_is_not_this_run(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    assert is_complete(result.folder, config(device="cuda", force=True))
    assert not is_complete(result.folder, config(epochs=31))
    assert not is_complete(result.folder, config(seed=1))
    assert not is_complete(tmp_path / "nowhere", config())


@pytest.mark.parametrize("name", ["metrics.json", "config.yaml"])
@pytest.mark.parametrize("damage", ["cut", "empty", "gone"])
def test_a_damaged_run_is_not_complete(tmp_path: Path, name: str, damage: str) -> None:
    result = write(tmp_path, typical())
    path = result.folder / name
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: 40 if damage == "cut" else 0])
    assert not is_complete(result.folder, config())
    if name == "metrics.json":
        assert find_results([tmp_path])[0].state == "unreadable"


@pytest.mark.parametrize("last", ["config.yaml", "metrics.csv", "evidence.npz", "metrics.json"])
def test_a_run_killed_while_it_writes_is_never_taken_for_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str
) -> None:
    """Killed before any of its files has its name; also when it was redoing an older, whole result."""
    write(tmp_path, MadeUp({"undefended": {"test_accuracy": 0.1}}))
    replace = Path.replace

    def until(self: Path, target: str | Path) -> Path:
        if Path(target).name == last:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", until)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, typical())
    folder = result_folder(config(), choices(), tmp_path)
    assert not is_complete(folder, config())
    assert not list(folder.glob(".*"))
    result = write(tmp_path, typical())
    assert is_complete(result.folder, config())


def test_what_a_killed_process_left_half_written_is_tidied_up_later(tmp_path: Path) -> None:
    old, fresh = tmp_path / ".a.txt.123.tmp", tmp_path / ".a.txt.456.tmp"
    for path in (old, fresh):
        path.write_text("half")
    os.utime(old, (0, 0))
    files.write_text(tmp_path / "a.txt", "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "a.txt"]  # another process may be at it


def test_a_run_whose_last_attempt_failed_is_done_again(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    write_status(result.folder, "failed", error="no memory", log="run.log")
    assert not is_complete(result.folder, config())
    assert "failed: no memory" in refusal(result.folder)
    [found] = find_results([tmp_path])
    assert (found.state, found.reason, found.log.name) == ("failed", "no memory", "run.log")


def test_a_run_that_is_being_redone_keeps_its_old_result_until_then(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    write_status(result.folder, "running")
    assert is_complete(result.folder, config())


@pytest.mark.parametrize("schema", [3, 0, "1", None])
def test_an_unknown_schema_is_refused_with_a_reason(tmp_path: Path, schema: Any) -> None:
    result = write(tmp_path, typical())
    reseal(result.folder / "metrics.json", schema=schema)
    text = refusal(result.folder)
    assert "`schema`" in text
    if schema is not None:
        assert "another version" in text
    [found] = find_results([tmp_path])
    assert found.state == "unreadable"
    assert "`schema`" in found.reason


def test_a_file_of_the_same_schema_with_less_in_it_is_read(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    few = dict.fromkeys(("baselines", "intervals", "manifest", "warnings", "timings", "environment"))
    reseal(result.folder / "metrics.json", **few)
    read = read_result(result.folder)
    assert read.metrics == typical().metrics
    assert read.baselines == {}
    reseal(result.folder / "metrics.json", metrics=None)
    assert "`metrics` missing" in refusal(result.folder)


@pytest.mark.parametrize("content", ["[]", "3", "{}", "not json"])
def test_a_foreign_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "metrics.json").write_text(content)
    assert refusal(tmp_path)


def test_every_run_is_found_in_whatever_state(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    for seed in (10, 2, 0):
        write(outputs, typical(seed), seed=seed)
    failed = result_folder(config(seed=5), choices(), outputs)
    write_status(failed, "failed", error="diverged", choices=choices(), overrides={"epochs": 3})
    refused = result_folder(config(seed=6), choices(attack="x"), outputs)
    write_status(refused, "refused", reason="makes no sense")
    running = result_folder(config(seed=7), choices(), outputs)
    write_status(running, "running")
    (outputs / "models").mkdir()
    (outputs / "models" / "x.json").write_text("{}")
    found = find_results([outputs])
    assert [(r.seed, r.state) for r in found] == [
        (0, "done"),
        (2, "done"),
        (5, "failed"),
        (7, "running"),
        (10, "done"),
        (6, "refused"),
    ]
    by_state = {r.state: r for r in found}
    assert by_state["failed"].overrides == {"epochs": 3}
    assert by_state["refused"].reason == "makes no sense"
    assert by_state["refused"].choices["attack"] == "x"  # from the folder's name
    assert by_state["running"].setting == ("census", "linearnet", "adv_training", "model_extraction")


def test_one_run_is_found_once_however_it_is_named(tmp_path: Path) -> None:
    result = write(tmp_path, typical())
    paths = [tmp_path, result.folder, result.folder / "metrics.json", result.folder.parent]
    assert len(find_results(paths)) == 1


def test_a_folder_is_enough_wherever_it_is(tmp_path: Path) -> None:
    result = write(tmp_path / "here", typical(), seed=3, overrides={"defense.epsilon": 0.1})
    moved = tmp_path / "there"
    result.folder.rename(moved)
    [found] = find_results([moved])
    assert (found.seed, found.overrides, found.hash) == (3, {"defense.epsilon": 0.1}, result.hash)


def test_a_folder_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no folder"):
        find_results([tmp_path / "nope"])


def test_the_configuration_is_kept_without_loss(tmp_path: Path) -> None:
    cfg = config(**{"optimizer.lr": 1e-05, "schedule": None, "attack.limit": math.inf, "metric": ["a", "b"]})
    result = write_outcome(
        tmp_path / "run",
        stated(typical(), cfg),
        choices=choices(),
        overrides={},
        config=cfg,
        environment={"python": "3"},
    )
    assert read_result(result.folder).config == cfg
