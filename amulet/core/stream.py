"""Named random streams: one run seed, one independent stream per use."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


class Stream:
    """A random stream that is identified by its name, so no use affects another.

    ``Stream(0) / "victim" / "weights"`` depends only on the run seed and on its path. It does not matter which other
    streams were used, or in which order.

    >>> (Stream(0) / "victim").seed == (Stream(0) / "victim").seed != (Stream(0) / "attack").seed
    True
    """

    def __init__(self, seed: int, path: tuple[str, ...] = ()) -> None:
        self.root = seed
        self.path = path

    def __truediv__(self, name: str | int) -> "Stream":
        return Stream(self.root, (*self.path, str(name)))

    def __repr__(self) -> str:
        return f"Stream({self.root}, {'/'.join(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Stream) and (self.root, self.path) == (other.root, other.path)

    def __hash__(self) -> int:
        return hash((self.root, self.path))

    @classmethod
    def of(cls, seed: "int | Stream") -> "Stream":
        """Take a seed or a stream, return a stream."""
        return seed if isinstance(seed, Stream) else cls(seed)

    @property
    def seed(self) -> int:
        """A 63-bit seed derived by SHA-256 from the run seed and the path."""
        text = "\x1f".join((str(self.root), *self.path))
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1

    def generator(self, device: str | torch.device = "cpu") -> torch.Generator:
        """A fresh torch generator at the start of this stream."""
        return torch.Generator(device=device).manual_seed(self.seed)

    def numpy(self) -> np.random.Generator:
        """A fresh numpy generator at the start of this stream."""
        return np.random.default_rng(self.seed)

    @contextmanager
    def seed_global(self, device: str | torch.device = "cpu") -> Iterator[None]:
        """Seed torch's global generators from this stream inside the block and restore them after it.

        For code that does not accept a generator: weight initialisers, dropout.
        """
        device = torch.device(device)
        cuda = [device] if device.type == "cuda" else []
        apples = torch.mps.get_rng_state() if device.type == "mps" else None  # not known to fork_rng
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(self.seed)
            try:
                yield
            finally:
                if apples is not None:
                    torch.mps.set_rng_state(apples)
