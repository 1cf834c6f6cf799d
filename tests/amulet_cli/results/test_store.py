"""The store of trained models: whole or absent, verified, shared by processes."""

import json
import multiprocessing
import os
import pickle
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from amulet.core.reporting import Reporter
from amulet.training.store import Stored
from amulet_cli.base.errors import UsageError
from amulet_cli.results.store import DiskStore
from tests.helpers.unprivileged import open_folder, unprivileged

KEY = "0f" * 16


class Heard(Reporter):
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.warnings: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def store(tmp_path: Path, heard: Heard) -> DiskStore:
    return DiskStore(tmp_path / "models", heard)


def a_model() -> Stored:
    generator = torch.Generator().manual_seed(0)
    tensors = {
        "model.0.weight": torch.randn(3, 4, generator=generator),
        "model.0.half": torch.randn(5, generator=generator).bfloat16(),
        "model.steps": torch.tensor(7),
        "model.mask": torch.tensor([True, False]),
        "model.none": torch.zeros(0, 2),
        "report.loss": torch.randn(4, 4, generator=generator).T,
    }
    return Stored(tensors, {"epochs": 3, "loss": [0.5, 0.25], "text": "größer"})


def file_of(store: DiskStore) -> Path:
    return store.folder / f"{KEY}.safetensors"


def test_what_is_saved_is_loaded_bit_by_bit(store: DiskStore) -> None:
    model = a_model()
    store.save(KEY, model)
    loaded = store.load(KEY)
    assert loaded is not None
    assert loaded.meta == model.meta
    assert set(loaded.tensors) == set(model.tensors)
    for name, tensor in model.tensors.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor), name


def test_tensors_that_share_memory_are_kept_apart(store: DiskStore) -> None:
    weight = torch.arange(6.0)
    store.save(KEY, Stored({"a": weight, "b": weight[:3]}))
    loaded = store.load(KEY)
    assert loaded is not None
    assert torch.equal(loaded.tensors["b"], weight[:3])


def test_the_same_model_gives_the_same_file(store: DiskStore, tmp_path: Path) -> None:
    other = DiskStore(tmp_path / "other")
    store.save(KEY, a_model())
    other.save(KEY, a_model())
    assert file_of(store).read_bytes() == file_of(other).read_bytes()


def test_an_absent_key_is_absent_and_no_cause_for_a_warning(store: DiskStore, heard: Heard) -> None:
    assert store.load(KEY) is None
    assert heard.warnings == []


def _flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _pickled(path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, path)


def _foreign(path: Path) -> None:
    save_file({"weight": torch.zeros(2)}, path)


def _another_key(path: Path) -> None:
    other = "1e" * 16
    DiskStore(path.parent).save(other, a_model())
    path.with_name(f"{other}.safetensors").replace(path)


def _huge_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def _other_report(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b'\\"epochs\\": 3') == 1
    path.write_bytes(content.replace(b'\\"epochs\\": 3', b'\\"epochs\\": 4'))


def _renamed_tensor(path: Path) -> None:
    content = path.read_bytes()
    assert content.count(b"model.mask") == 1
    path.write_bytes(content.replace(b"model.mask", b"model.task"))


@pytest.mark.parametrize(
    "damage",
    [
        _flip_last_byte,
        _cut,
        _empty,
        _pickled,
        _foreign,
        _another_key,
        _huge_header,
        _other_report,
        _renamed_tensor,
    ],
)
def test_what_cannot_be_trusted_is_set_aside_and_reported(store: DiskStore, heard: Heard, damage: Any) -> None:
    store.save(KEY, a_model())
    damage(file_of(store))
    assert store.load(KEY) is None
    assert not file_of(store).exists()
    assert file_of(store).with_name(f"{KEY}.safetensors.bad").exists()
    assert len(heard.warnings) == 1
    assert str(file_of(store)) in heard.warnings[0]
    assert "trained again" in heard.warnings[0]
    assert store.load(KEY) is None  # and now it is plainly absent
    assert len(heard.warnings) == 1
    store.save(KEY, a_model())
    assert store.load(KEY) is not None


def test_a_checksum_made_for_other_content_does_not_help(store: DiskStore, heard: Heard) -> None:
    """The checksum covers the weights themselves, not only that the file is well formed."""
    store.save(KEY, a_model())
    from safetensors import safe_open

    with safe_open(file_of(store), framework="pt") as file:
        header = file.metadata()
    tensors = load_file(file_of(store))
    tensors["model.0.weight"] = tensors["model.0.weight"] + 1
    save_file(tensors, file_of(store), header)
    assert store.load(KEY) is None
    assert "checksum" in heard.warnings[0]


def test_a_failed_save_leaves_the_old_file_and_nothing_else(store: DiskStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.save(KEY, a_model())
    before = file_of(store).read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(OSError, match="No space"):
            store.save(KEY, Stored({"other": torch.ones(3)}))
    assert file_of(store).read_bytes() == before
    assert [path.name for path in store.folder.iterdir()] == [f"{KEY}.safetensors"]


@pytest.mark.parametrize("key", ["../evil", "", "a/b", ".hidden"])
def test_a_key_cannot_leave_the_folder(store: DiskStore, key: str) -> None:
    with pytest.raises(ValueError, match="`key` must be"):
        store.save(key, a_model())


def test_a_pickled_store_works_and_is_silent(store: DiskStore, heard: Heard) -> None:
    store.save(KEY, a_model())
    copy = pickle.loads(pickle.dumps(store))  # noqa: S301  # our own bytes: what joblib does to reach a worker
    assert copy.load(KEY) is not None
    _cut(file_of(store))
    assert copy.load(KEY) is None
    assert heard.warnings == []


def _train_once(folder: str, start: Any) -> None:
    store = DiskStore(folder)
    start.wait()
    with store.lock(KEY):
        if store.load(KEY) is None:
            time.sleep(0.3)
            with (Path(folder) / "trained.txt").open("a") as file:
                file.write("once\n")
            store.save(KEY, a_model())


def test_processes_that_need_a_model_at_once_train_it_once(store: DiskStore) -> None:
    store.folder.mkdir(parents=True)
    context = multiprocessing.get_context("spawn")
    start = context.Barrier(3)
    workers = [context.Process(target=_train_once, args=(str(store.folder), start)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (store.folder / "trained.txt").read_text() == "once\n"
    assert store.load(KEY) is not None


def test_whoever_waits_says_so(store: DiskStore, heard: Heard) -> None:
    held, release = threading.Event(), threading.Event()

    def holder() -> None:
        with DiskStore(store.folder).lock(KEY):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=holder)
    thread.start()
    assert held.wait(10)
    threading.Timer(0.2, release.set).start()
    with store.lock(KEY):
        assert heard.notes == ["waiting for another process training the same model"]
    thread.join()
    with store.lock(KEY):
        pass
    assert len(heard.notes) == 1


def test_a_lock_is_free_again_after_a_failure(store: DiskStore, heard: Heard) -> None:
    with pytest.raises(RuntimeError, match="diverged"), store.lock(KEY):
        raise RuntimeError("diverged")
    with store.lock(KEY):
        pass
    assert heard.notes == []


def test_what_is_loaded_comes_in_the_order_in_which_it_was_saved(store: DiskStore) -> None:
    store.save(KEY, Stored({}, {"z": 1, "metrics": {"b": 0.1, "a": 0.2}}))
    loaded = store.load(KEY)
    assert loaded is not None
    assert list(loaded.meta) == ["z", "metrics"]
    assert list(loaded.meta["metrics"]) == ["b", "a"]


def test_a_model_that_cannot_be_read_is_not_called_damaged(heard: Heard) -> None:
    with open_folder() as folder:
        store = DiskStore(folder, heard)
        store.save(KEY, a_model())
        folder.chmod(0o777)
        file_of(store).chmod(0)
        with unprivileged(), pytest.raises(UsageError, match="cannot be read: Permission denied"):
            store.load(KEY)
        assert [path.name for path in folder.iterdir()] == [f"{KEY}.safetensors"]
    assert heard.warnings == []


def test_a_pipe_among_the_models_is_not_waited_for(store: DiskStore) -> None:
    store.folder.mkdir()
    os.mkfifo(file_of(store))
    with pytest.raises(UsageError, match="not a regular file"):
        store.load(KEY)


def test_a_store_that_may_only_be_read_gives_what_it_has(heard: Heard) -> None:
    other = "1e" * 16
    with open_folder() as folder:
        DiskStore(folder).save(KEY, a_model())
        file_of(DiskStore(folder)).chmod(0o644)
        store = DiskStore(folder, heard)
        with unprivileged():
            with store.lock(KEY):
                assert store.load(KEY) is not None
            for _ in range(2):
                with store.lock(other):
                    assert store.load(other) is None
                    store.save(other, a_model())
        assert [path.name for path in folder.iterdir()] == [f"{KEY}.safetensors"]
    assert heard.warnings == [f"{folder}: Permission denied; what is trained now is not kept there"]


def test_the_report_is_plain_json_in_the_header(store: DiskStore) -> None:
    from safetensors import safe_open

    store.save(KEY, a_model())
    with safe_open(file_of(store), framework="pt") as file:
        [header] = file.metadata().values()
    assert json.loads(header)["meta"]["epochs"] == 3
