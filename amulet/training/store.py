"""Where trained models are kept: the interface, and a store in memory."""

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
    """A place for trained models, by key: a hash of all that determines them."""

    shared: bool
    """Do other processes see what is saved here?"""

    def load(self, key: str) -> Stored | None:
        """What is kept under `key`, verified; None if there is nothing that can be trusted."""
        ...

    def save(self, key: str, stored: Stored) -> None:
        """Keep it, all or nothing."""
        ...

    def lock(self, key: str) -> AbstractContextManager[object]:
        """Held by whoever trains the model of `key`, so that nobody trains it twice."""
        ...


class MemoryStore:
    """Keeps models for as long as the process lives."""

    shared = False

    def __init__(self) -> None:
        self._kept: dict[str, Stored] = {}

    def load(self, key: str) -> Stored | None:
        """What is kept under `key`, or None."""
        return copy.deepcopy(self._kept.get(key))

    def save(self, key: str, stored: Stored) -> None:
        """Keep a copy."""
        self._kept[key] = copy.deepcopy(stored)

    @contextmanager
    def lock(self, key: str) -> Iterator[None]:
        """Nobody else sees this store: nothing to wait for."""
        yield
