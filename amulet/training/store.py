"""The store of trained models: the interface, and a store in memory."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Stored:
    """What is kept of a trained model."""

    tensors: Mapping[str, Tensor]
    """Weights and buffers under `model.*`, arrays of the training report under `report.*`; on the CPU."""
    meta: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """The training report, JSON."""


class Store(Protocol):
    """Keeps trained models by key: a hash of everything that determines them."""

    shared: bool
    """Do other processes see what is saved?"""

    def load(self, key: str) -> Stored | None:
        """The entry for `key`, verified; None if there is no valid one."""
        ...

    def save(self, key: str, stored: Stored) -> None:
        """Save it completely or not at all."""
        ...

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Held while the model of `key` is trained, so that it is not trained twice."""
        ...


class MemoryStore:
    """Keeps models as long as the process runs."""

    shared = False

    def __init__(self) -> None:
        self._kept: dict[str, Stored] = {}

    def load(self, key: str) -> Stored | None:
        """The entry for `key`, or None."""
        return copy.deepcopy(self._kept.get(key))

    def save(self, key: str, stored: Stored) -> None:
        """Keep a copy."""
        self._kept[key] = copy.deepcopy(stored)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """No other process uses this store: nothing to wait for."""
        yield
