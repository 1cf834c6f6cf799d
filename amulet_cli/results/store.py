"""Trained models on disk: one file per key, never loaded unless it is exactly what was saved."""

import errno
import hashlib
import json
import re
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from amulet.core.reporting import Reporter
from amulet.training.store import Stored
from amulet_cli.base.errors import UsageError
from amulet_cli.base.files import locked, opened, write_whole

_SUFFIX = ".safetensors"
_FORMAT = "amulet-model-1"
_READ_ONLY = {errno.EACCES, errno.EPERM, errno.EROFS}


class _NotOurs(Exception):
    """Why a file is not valid."""


class DiskStore:
    """Trained models in a folder, one safetensors file per key, shared by all processes that use the folder.

    A SHA-256 of the key, the tensors and the training report is verified on load. A file that is damaged, foreign
    or under another key is reported, renamed to `<file>.bad`, and counts as absent. A folder that may only be read
    gives what it has; what is trained is then not kept, which is said once. Can be pickled; the copy is silent, because
    a reporter belongs to its process.
    """

    shared = True

    def __init__(self, folder: str | Path, reporter: Reporter | None = None) -> None:
        self.folder = Path(folder)
        self.reporter = reporter or Reporter()
        self._told = False

    def __getstate__(self) -> dict[str, Any]:
        return {"folder": self.folder, "reporter": Reporter(), "_told": False}

    def __repr__(self) -> str:
        return f"DiskStore({str(self.folder)!r})"

    def load(self, key: str) -> Stored | None:
        """The entry for `key`, verified; None if there is no valid one.

        Raises:
            UsageError: there is a file that cannot be read, which does not say that it is damaged.
        """
        path = self._path(key)
        try:
            return _read(path, key)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UsageError(
                f"a trained model in the store cannot be read: {error.strerror or error}",
                where=str(path),
                expected="a file that this user may read; or another folder: store=...",
            ) from error
        except _NotOurs as reason:
            return self._set_aside(path, reason)

    def _set_aside(self, path: Path, reason: _NotOurs) -> None:
        aside = path.with_name(path.name + ".bad")
        try:
            path.replace(aside)
        except FileNotFoundError:  # another process was faster
            return
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            self.reporter.warn(f"{path}: {reason}; the model is trained again")
            return
        self.reporter.warn(f"{path}: {reason}; set aside as {aside.name}, the model is trained again")

    def save(self, key: str, stored: Stored) -> None:
        """Save it completely or not at all."""
        tensors = {name: value.detach().cpu().contiguous().clone() for name, value in stored.tensors.items()}
        header = {"key": key, "meta": dict(stored.meta), "sha256": _digest(key, tensors, stored.meta)}
        content = save(
            tensors, {_FORMAT: json.dumps(header)}
        )  # in the order given: what is loaded equals what was made
        try:
            write_whole(self._path(key), lambda file: file.write(content))
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            if not self._told:
                self._told = True
                self.reporter.warn(f"{self.folder}: {error.strerror}; what is trained now is not kept there")

    @contextmanager
    def lock(self, key: str) -> Generator[None]:
        """Held while the model of `key` is trained, in any process; a process that waits for it says so.

        In a folder that may only be read nothing is locked: nobody can save there what others wait for.
        """
        note = "waiting for another process training the same model"
        with ExitStack() as held:
            try:
                lock = locked(self._path(key).with_suffix(".lock"), lambda: self.reporter.note(note))
                held.enter_context(lock)
            except OSError as error:
                if error.errno not in _READ_ONLY:
                    raise
            yield

    def _path(self, key: str) -> Path:
        if not re.fullmatch(r"\w[\w.-]*", key):
            raise ValueError(f"`key` must be letters, digits, `_`, `.` and `-`, got {key!r}")
        return self.folder / f"{key}{_SUFFIX}"


def _read(path: Path, key: str) -> Stored:
    opened(path).close()  # the exceptions of safetensors depend on its version, and it waits for pipes
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
            if _FORMAT not in metadata:
                raise _NotOurs("not a model that Amulet has stored")
            header: dict[str, Any] = json.loads(metadata[_FORMAT])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header["key"] != key:
            raise _NotOurs("holds another model than its name says")
        if header["sha256"] != _digest(key, tensors, header["meta"]):
            raise _NotOurs("damaged (its content does not match its checksum)")
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _NotOurs(f"damaged ({error})") from error
    return Stored(tensors, header["meta"])


def _digest(key: str, tensors: Mapping[str, Tensor], meta: Mapping[str, Any]) -> str:
    report = json.dumps(dict(meta), sort_keys=True)
    sha = hashlib.sha256(f"{_FORMAT}\n{key}\n{report}\n".encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        sha.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return sha.hexdigest()
